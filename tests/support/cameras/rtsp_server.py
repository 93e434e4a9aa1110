"""An RTSP camera in a process of its own, run by Debian's Python: that has GStreamer's bindings.

    /usr/bin/python3 rtsp_server.py OPTIONS      (see `RTSPCamera` in rtsp.py for the JSON object)

Prints "ready PORT" when it listens, then a line for each answer it gives: "200", "401"... Standard input
takes "drop" (end all sessions) and "size WIDTH HEIGHT" (of every running stream); its end ends the server.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

ENCODERS = {
    "h264": "x264enc tune=zerolatency sliced-threads={slices} speed-preset=ultrafast"
    " key-int-max={gop} bitrate={kbps} ! rtph264pay mtu={mtu} config-interval=-1",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast key-int-max={gop} bitrate={kbps}"
    " ! rtph265pay mtu={mtu} config-interval=-1",
    "mjpeg": "jpegenc ! rtpjpegpay mtu={mtu}",
}
SOUND = "( audiotestsrc is-live=true ! alawenc ! rtppcmapay pt=8 name=pay0 )"
CAPS = "video/x-raw,format=I420,width={width},height={height},framerate={fps}/1,pixel-aspect-ratio={aspect}"

running: list[Any] = []


def launch_line(stream: dict[str, Any]) -> str:
    if stream["codec"] == "sound":
        return SOUND
    # The name is that of the last element, which is the one whose packets are sent.
    loss = " ! identity drop-probability={loss}" if stream["loss"] else ""
    source = "videotestsrc is-live=true pattern={pattern} ! capsfilter name=caps caps=" + CAPS
    return ("( " + source + " ! " + ENCODERS[stream["codec"]] + loss + " name=pay0 )").format(**stream)


def media_factory(stream: dict[str, Any], is_open: bool) -> Any:
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(launch_line(stream))
    factory.set_shared(True)
    factory.connect("media-configure", lambda _factory, media: running.append(media))
    if not is_open:
        role = Gst.Structure.new_empty("viewer")
        role.set_value(GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, True)
        role.set_value(GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, True)
        factory.add_role_from_structure(role)
    return factory


def authentication(options: dict[str, Any]) -> Any:
    auth = GstRtspServer.RTSPAuth()
    if options["certificate"]:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(options["certificate"]))
    if options["username"] is None:
        return auth
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "viewer")
    if options["authentication"] == "digest":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(options["username"], options["password"], token)
    else:
        basic = GstRtspServer.RTSPAuth.make_basic(options["username"], options["password"])
        auth.add_basic(basic, token)
    return auth


def build(options: dict[str, Any]) -> Any:
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    for path, stream in options["streams"].items():
        server.get_mount_points().add_factory(path, media_factory(stream, options["username"] is None))
    if options["certificate"] or options["username"] is not None:
        server.set_auth(authentication(options))
    server.connect("client-connected", lambda _server, client: client.connect("send-message", tell_answer))
    return server


def tell_answer(_client: Any, _context: Any, message: Any) -> None:
    if message.get_type() == GstRtsp.RTSPMsgType.RESPONSE:
        say(str(int(message.parse_response()[1])))


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the parent reads it


def drop(server: Any) -> None:
    server.client_filter(lambda *_: GstRtspServer.RTSPFilterResult.REMOVE)


def resize(width: str, height: str) -> None:
    for media in running:
        caps = media.get_element().get_by_name("caps")
        structure = caps.get_property("caps").to_string()
        fps = structure.split("framerate=(fraction)")[1].split("/")[0]
        caps.set_property(
            "caps", Gst.Caps.from_string(CAPS.format(width=width, height=height, fps=fps, aspect="1/1"))
        )


def obey(server: Any, loop: Any) -> None:
    for line in sys.stdin:
        command, *arguments = line.split()
        action, arguments = (drop, [server]) if command == "drop" else (resize, arguments)
        GLib.idle_add(lambda action, arguments: action(*arguments) and False, action, arguments)
    GLib.idle_add(loop.quit)


def main() -> None:
    Gst.init(None)
    server = build(json.loads(sys.argv[1]))
    loop = GLib.MainLoop()
    server.attach(None)
    say(f"ready {server.get_bound_port()}")
    threading.Thread(target=obey, args=(server, loop), daemon=True).start()
    loop.run()


if __name__ == "__main__":
    main()
