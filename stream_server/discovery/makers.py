"""Where cameras of common makers have their streams: for the first page, the search, docs/cameras.md.

Sources: the makers' own manuals (Hikvision, Hanwha, Axis VAPIX, Bosch, Vivotek, Mobotix, Uniview), those of
Frigate, go2rtc, MediaMTX and docker-wyze-bridge for what restreams.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address


@dataclass(frozen=True, slots=True)
class Maker:
    """Addresses of one maker's cameras; {address} stands for the camera's.

    main: its best picture. sub: a smaller one, cheaper to decode. words: by one of these, in lower case, a
    camera on the network is known as theirs.
    """

    name: str
    main: str
    sub: str | None = None
    note: str = ""
    words: tuple[str, ...] = ()

    def hints(self, address: IPv4Address) -> tuple[str, ...]:
        """Return what to try for a camera of theirs at `address`, best first."""
        return tuple(url.replace("{address}", str(address)) for url in (self.main, self.sub) if url)

    @property
    def shown(self) -> tuple[str, str]:
        """The two patterns as people read them."""
        return self.main.replace("{address}", "ADDRESS"), (self.sub or "").replace("{address}", "ADDRESS")


MAKERS: tuple[Maker, ...] = (
    Maker(
        "Hikvision, Annke, HiLook",
        "rtsp://{address}/Streaming/Channels/101",
        "rtsp://{address}/Streaming/Channels/102",
        "Recorders: 201 and 202 for their second camera, and so on.",
        ("hikvision", "annke", "hilook"),
    ),
    Maker(
        "Dahua, Amcrest, Lorex",
        "rtsp://{address}/cam/realmonitor?channel=1&subtype=0",
        "rtsp://{address}/cam/realmonitor?channel=1&subtype=1",
        "channel: the camera of a recorder.",
        ("dahua", "amcrest", "lorex"),
    ),
    Maker(
        "Reolink",
        "rtsp://{address}/h264Preview_01_main",
        "rtsp://{address}/h264Preview_01_sub",
        "Switch RTSP on: Network, Advanced, Server settings. 4K models: h265Preview_01_main. Those with a "
        "battery have no RTSP.",
        ("reolink",),
    ),
    Maker(
        "TP-Link Tapo, VIGI",
        "rtsp://{address}/stream1",
        "rtsp://{address}/stream2",
        "Tapo: user and password are those of the camera account, made in the app under Advanced settings.",
        ("tp-link", "tapo", "vigi"),
    ),
    Maker(
        "Axis",
        "rtsp://{address}/axis-media/media.amp",
        "rtsp://{address}/axis-media/media.amp?resolution=640x360",
        "As MJPEG: http://ADDRESS/axis-cgi/mjpg/video.cgi",
        ("axis",),
    ),
    Maker(
        "Ubiquiti UniFi Protect",
        "rtsps://{address}:7441/KEY",
        None,
        "Of the recorder: switch a stream on in the camera's settings and copy its address, without "
        "?enableSrtp. It needs verify_tls: false.",
    ),
    Maker(
        "Foscam (HD)",
        "rtsp://{address}:88/videoMain",
        "rtsp://{address}:88/videoSub",
        "Some models: port 554.",
        ("foscam",),
    ),
    Maker(
        "Hanwha Vision, Wisenet, Samsung Techwin",
        "rtsp://{address}/profile2/media.smp",
        "rtsp://{address}/profile3/media.smp",
        "The number is that of a video profile in the camera's settings; 1 is MJPEG.",
        ("hanwha", "wisenet", "samsung_techwin", "samsung techwin"),
    ),
    Maker(
        "Bosch",
        "rtsp://{address}/?inst=1",
        "rtsp://{address}/?inst=2",
        "line=2: the second input of an encoder.",
        ("bosch",),
    ),
    Maker(
        "Vivotek",
        "rtsp://{address}/live1s1.sdp",
        "rtsp://{address}/live1s2.sdp",
        "Older ones: live.sdp, live2.sdp.",
        ("vivotek",),
    ),
    Maker(
        "Mobotix",
        "http://{address}/control/faststream.jpg?stream=full&fps=15",
        None,
        "MJPEG. For guests: /cgi-bin/ in place of /control/.",
        ("mobotix",),
    ),
    Maker(
        "Uniview",
        "rtsp://{address}/media/video1",
        "rtsp://{address}/media/video2",
        "Recorders: /unicast/c1/s0/live, s1 the smaller one.",
        ("uniview",),
    ),
    Maker(
        "D-Link (MJPEG)",
        "http://{address}/video.cgi",
        None,
        "DCS-930L, 932L, 5030L and their like.",
    ),
    Maker(
        "Wyze, through docker-wyze-bridge",
        "rtsp://{address}:8554/CAMERA",
        None,
        "ADDRESS is the bridge's. CAMERA: its name in the Wyze app in lower case, with - for blanks.",
    ),
    Maker(
        "Eufy",
        "rtsp://{address}/live0",
        None,
        "Only models with NAS (RTSP) in the app's storage settings, which shows the address too.",
    ),
    Maker(
        "ESP32-CAM",
        "http://{address}:81/stream",
        None,
        "Of the CameraWebServer example. One viewer at a time: this server shares it.",
    ),
    Maker(
        "OctoPrint, mjpg-streamer",
        "http://{address}:8080/?action=stream",
        None,
        "OctoPi: http://ADDRESS/webcam/?action=stream",
    ),
    Maker(
        "IP Webcam for Android",
        "http://{address}:8080/video",
        None,
        "H.264: rtsp://ADDRESS:8080/h264_ulaw.sdp",
    ),
    Maker(
        "Raspberry Pi camera, through MediaMTX",
        "rtsp://{address}:8554/cam",
        None,
        "In mediamtx.yml: paths: {cam: {source: rpiCamera}}. libcamera's cameras are no /dev/video.",
    ),
    Maker(
        "MediaMTX",
        "rtsp://{address}:8554/PATH",
        None,
        "PATH: as in mediamtx.yml.",
    ),
    Maker(
        "go2rtc",
        "rtsp://{address}:8554/NAME",
        None,
        "NAME: as under streams. As MJPEG, where it has one: http://ADDRESS:1984/api/stream.mjpeg?src=NAME",
    ),
    Maker(
        "Frigate",
        "rtsp://{address}:8554/NAME",
        None,
        "Its restream, once it is set up: NAME as under go2rtc, streams.",
    ),
)


def maker_of(words: str) -> Maker | None:
    """Return whose camera it is that describes itself by `words`, None where nothing tells."""
    text = words.lower()
    return next((maker for maker in MAKERS if any(word in text for word in maker.words)), None)
