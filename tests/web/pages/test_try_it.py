"""The page that takes pictures and the browser's camera, in Chromium with a film of a cat as its camera."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from detector.detections import BGRImage
from tests.support.accessibility import violations
from tests.support.browser import WITHIN_MS, box_sides, chromium
from tests.support.leaks import wait_until
from tests.support.needs import need
from tests.support.nginx import Nginx
from tests.support.paths import DATA
from tests.support.server import NO_DETECTOR, ONE_WORKER, Server, settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Request, WebSocket, WebSocketRoute

pytestmark = pytest.mark.browser

CAT, ASTRONAUT, COFFEE = (DATA / f"{name}.jpg" for name in ("chelsea", "astronaut", "coffee"))
TURNED = DATA / "pictures" / "turned.jpg"
MOST_BYTES = 1_000_000
LINE_PX = 3
"""How far the middle of a box's line may be from where the API says."""

HAND_OVER = """
([how, name, type, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, {type}));
  const event = how === "drop" ? new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true})
    : new ClipboardEvent("paste", {clipboardData: data, bubbles: true});
  document.querySelector("h1").dispatchEvent(event);
}
"""
"""Drops or pastes a file, as a hand would."""

COPY_PICTURE = """
async () => {
  const canvas = new OffscreenCanvas(320, 200);
  canvas.getContext("2d").fillRect(0, 0, 320, 200);
  const png = await canvas.convertToBlob({type: "image/png"});
  await navigator.clipboard.write([new ClipboardItem({"image/png": png})]);
}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    options = settings(
        "api.models=[centernet-mobilenetv3]",
        f"server.max_image_bytes={MOST_BYTES}",
        "server.trusted_proxies=[127.0.0.1]",
    )
    with Server(*options, *ONE_WORKER) as server:
        assert wait_until(lambda: server.get("/readyz").status == 200, 30)
        yield server


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium whose camera shows a cat, and who lets pages use it."""
    film = tmp_path_factory.mktemp("camera") / "cat.mjpeg"
    cat = cv2.imread(str(CAT))
    assert cat is not None
    jpeg = cv2.imencode(".jpg", cv2.resize(cat, (640, 426)))[1]  # of odd sides Chromium makes no camera
    film.write_bytes(jpeg.tobytes() * 30)
    with chromium(
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    ) as browser:
        yield browser


@pytest.fixture
def troubled(browser: Browser) -> Iterator[Page]:
    """A tab whose console may complain: it tells of answers that are errors."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(WITHIN_MS)
    yield page
    page.close()


def _send(page: Page, *pictures: Path) -> None:
    page.locator("#files").set_input_files(list(pictures))


def _wait_for(page: Page, label: str) -> None:
    page.locator("#detections td", has_text=label).first.wait_for()


def _labels(page: Page) -> set[str]:
    return set(page.locator("#detections td:first-child").all_inner_texts())


def _wait_for_labels(page: Page, labels: set[str]) -> None:
    for _ in range(50):
        if _labels(page) == labels:
            return
        page.wait_for_timeout(20)
    pytest.fail(f"the table has {_labels(page)}, not {labels}")


def _score(page: Page, percent: int) -> None:
    page.get_by_label("Score of at least").fill(str(percent))


def _read(png: bytes) -> BGRImage:
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image, np.uint8)


def _stage(page: Page) -> BGRImage:
    return _read(base64.b64decode(page.evaluate("canvas.toDataURL('image/png').split(',')[1]")))


def _saved(page: Page, button: str) -> tuple[str, bytes]:
    """Return name and content of the file that a button saves."""
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def _saved_json(page: Page) -> dict[str, Any]:
    name, content = _saved(page, "Save JSON")
    assert name.endswith(".json")
    answer: dict[str, Any] = json.loads(content)
    return answer


def _on_stage(found: dict[str, Any], answer: dict[str, Any], stage: BGRImage) -> dict[str, Any]:
    """Return what was found with its box in pixels of the stage, in whose middle the picture is."""
    height, width = stage.shape[:2]
    scale = min(width / answer["width"], height / answer["height"])
    left, top = (width - scale * answer["width"]) / 2, (height - scale * answer["height"]) / 2
    box = {side: value * scale + (left if side[0] == "x" else top) for side, value in found["box"].items()}
    return {**found, "box": box}


def _top(element: Locator) -> float:
    box = element.bounding_box()
    assert box
    return box["y"]


# Pictures.


def test_page_is_one_click_away(page: Page, server: Server) -> None:
    page.goto(server.url)
    page.get_by_role("link", name="Try it").click()
    page.get_by_role("heading", name="Try it").wait_for()
    page.get_by_text("Drop pictures or a video here").wait_for()
    assert page.get_by_role("button", name="Save picture").is_disabled()


def test_boxes_are_drawn_where_the_api_says(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/try")
    _send(page, CAT)
    page.get_by_role("status").filter(has_text="chelsea.jpg: cat.").wait_for()
    answer, stage = _saved_json(page), _stage(page)
    (cat,) = answer["detections"]
    assert min(box_sides(stage, _on_stage(cat, answer, stage), LINE_PX)) > 0.9


def test_saved_picture_is_of_its_own_size_with_its_boxes(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/try")
    _send(page, CAT)
    _wait_for(page, "cat")
    name, jpeg = _saved(page, "Save picture")
    (cat,) = _saved_json(page)["detections"]
    picture = _read(jpeg)
    assert (name, picture.shape) == ("chelsea-boxes.jpg", (300, 451, 3))
    assert min(box_sides(picture, cat, LINE_PX)) > 0.9


def test_turned_picture_is_shown_upright(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/try")
    _send(page, TURNED)
    page.get_by_role("status").filter(has_text="turned.jpg:").wait_for()
    _score(page, 95)
    _, jpeg = _saved(page, "Save picture")
    upright = cv2.imread(str(TURNED))
    assert upright is not None
    assert cv2.absdiff(_read(jpeg), upright).mean() < 10


def test_scores_and_classes_are_chosen_without_asking_again(page: Page, server: Server) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
    page.goto(f"{server.url}/try")
    _send(page, COFFEE)
    _wait_for(page, "cup")
    sure = _labels(page)
    _score(page, 5)
    assert _labels(page) > sure
    page.get_by_role("checkbox", name="cup").uncheck()
    assert "cup" not in _labels(page)
    assert "cup" not in {found["label"] for found in _saved_json(page)["detections"]}
    assert "cup" not in page.locator("#curl").inner_text()
    page.get_by_role("button", name="None").click()
    assert not _labels(page)
    page.get_by_role("button", name="All").click()
    assert "cup" in _labels(page)
    _score(page, 95)
    assert not _labels(page)
    page.get_by_text("nothing of what is to be shown").wait_for()
    assert len(asked) == 1


def test_of_several_pictures_one_is_chosen(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/try")
    _send(page, CAT, ASTRONAUT)
    page.get_by_role("button", name="astronaut.jpg person").click()
    _wait_for_labels(page, {"person"})
    page.get_by_role("button", name="chelsea.jpg cat").click()
    _wait_for_labels(page, {"cat"})


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_picture_is_dropped_or_pasted_anywhere(page: Page, server: Server, how: str) -> None:
    page.goto(f"{server.url}/try")
    page.evaluate(HAND_OVER, [how, "cat.jpg", "image/jpeg", base64.b64encode(CAT.read_bytes()).decode()])
    _wait_for(page, "cat")


def test_button_pastes_a_picture(page: Page, server: Server) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{server.url}/try")
    page.evaluate(COPY_PICTURE)
    page.get_by_role("button", name="Paste").click()
    page.locator("[data-fact=size]", has_text="320 × 200").wait_for()
    page.evaluate("navigator.clipboard.writeText('no picture')")
    page.get_by_role("button", name="Paste").click()
    page.get_by_role("alert").filter(has_text="no picture in the clipboard").wait_for()


def test_lines_that_are_shown_ask_the_same(page: Page, server: Server, tmp_path: Path) -> None:
    picture = tmp_path / "it's a cat.jpg"
    picture.write_bytes(CAT.read_bytes())
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{server.url}/try")
    _send(page, picture)
    _wait_for(page, "cat")
    need("curl")
    curl = subprocess.run(
        ["sh", "-c", page.locator("#curl").inner_text()], cwd=tmp_path, capture_output=True, check=True
    )
    assert json.loads(curl.stdout)["images"][0]["detections"] == _saved_json(page)["detections"]
    page.get_by_role("button", name="Copy").last.click()
    page.get_by_role("button", name="Copied").wait_for()
    python = subprocess.run(
        [sys.executable, "-c", page.evaluate("navigator.clipboard.readText()")],
        cwd=tmp_path, capture_output=True, check=True,
    )  # fmt: skip
    assert python.stdout.startswith(b"cat 0.")


def test_keyboard_chooses_pictures(page: Page, server: Server) -> None:
    page.on("filechooser", lambda _: None)  # from now on it opens nothing of the system's
    page.goto(f"{server.url}/try")
    choose = page.get_by_label("Choose files")
    page.get_by_role("link", name="API").focus()
    for _ in range(9):
        page.keyboard.press("Tab")
        if choose.evaluate("input => input === document.activeElement"):
            break
    assert choose.evaluate("input => input === document.activeElement")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files(CAT)
    _wait_for(page, "cat")


# Videos.


def test_video_plays_with_boxes_until_it_is_stopped(page: Page, server: Server, tmp_path: Path) -> None:
    video = tmp_path / "cat.webm"
    ffmpeg = (need("ffmpeg"), "-loglevel", "error", "-loop", "1", "-i", str(CAT), "-t", "1")
    subprocess.run([*ffmpeg, "-vf", "scale=640:426", "-c:v", "libvpx", str(video)], check=True)
    page.goto(f"{server.url}/try")
    _send(page, video)
    page.get_by_text("Playing cat.webm, again and again.").wait_for()
    _wait_for(page, "cat")
    page.locator("[data-fact=fps]", has_text=".").wait_for()
    page.get_by_role("button", name="Stop video").click()
    assert _saved_json(page)["image"] == "cat.webm"
    assert page.get_by_role("button", name="Use camera").is_enabled()


def test_video_that_cannot_be_played_is_named(page: Page, server: Server, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    page.goto(f"{server.url}/try")
    _send(page, broken)
    page.get_by_role("alert").filter(has_text="broken.mp4: this browser cannot play it").wait_for()
    assert page.get_by_role("button", name="Use camera").is_enabled()


# The browser's camera.


def test_camera_has_boxes_at_once(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/try")
    with page.expect_websocket() as opened:
        page.get_by_role("button", name="Use camera").click()
    page.get_by_text("The camera is on.").wait_for()
    _wait_for(page, "cat")
    page.locator("[data-fact=fps]", has_text=".").wait_for()
    page.locator("[data-fact=latency]", has_text="ms").wait_for()
    answer, stage = _saved_json(page), _stage(page)
    (cat,) = answer["detections"]
    assert (answer["width"], answer["height"]) == (640, 426)
    assert min(box_sides(stage, _on_stage(cat, answer, stage), LINE_PX)) > 0.9
    with opened.value.expect_event("close"):
        page.get_by_role("button", name="Stop camera").click()
    name, jpeg = _saved(page, "Save picture")
    assert (name, _read(jpeg).shape) == ("camera-boxes.jpg", (426, 640, 3))


def test_picture_ends_the_camera(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/try")
    with page.expect_websocket() as opened:
        page.get_by_role("button", name="Use camera").click()
    _wait_for(page, "cat")
    with opened.value.expect_event("close"):
        _send(page, ASTRONAUT)
    _wait_for_labels(page, {"person"})


def test_camera_goes_on_when_its_connection_was_lost(troubled: Page, server: Server) -> None:
    tries: list[WebSocketRoute] = []

    def refuse_once(socket: WebSocketRoute) -> None:
        tries.append(socket)
        if len(tries) == 1:
            socket.close(code=1013, reason="too many are open")
        else:
            socket.connect_to_server()

    troubled.route_web_socket("**/detect/ws*", refuse_once)
    troubled.goto(f"{server.url}/try")
    troubled.get_by_role("button", name="Use camera").click()
    troubled.get_by_role("alert").filter(has_text="too many are open. Trying again").wait_for()
    _wait_for(troubled, "cat")
    troubled.get_by_text("The camera is on.").wait_for()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("NotAllowedError", "The camera was not allowed."),
        ("NotFoundError", "There is no camera here."),
        ("NotReadableError", "The camera is in use by another program"),
        ("AbortError", "The camera cannot be used: tired."),
    ],
)
def test_camera_that_cannot_be_had_is_explained(page: Page, server: Server, error: str, said: str) -> None:
    page.add_init_script(
        f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('tired', '{error}'))"
    )
    page.goto(f"{server.url}/try")
    page.get_by_role("button", name="Use camera").click()
    page.get_by_role("alert").filter(has_text=said).wait_for()
    assert page.get_by_role("button", name="Use camera").is_enabled()


# What goes wrong.


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.jpg", b"", "empty.jpg: The file is empty; expected a picture."),
        (
            "notes.txt",
            b"no picture at all",
            "notes.txt: The file is no JPEG, PNG, WebP or BMP: it starts with 6e",
        ),
        ("large.jpg", bytes(MOST_BYTES + 1), "large.jpg: The file is too large: 1.0 MiB, at most 1.0 MiB"),
        ("cut.jpg", CAT.read_bytes()[:9000], "cut.jpg: The file cannot be decoded"),
    ],
)
def test_what_cannot_be_looked_at_is_said(
    troubled: Page, server: Server, name: str, content: bytes, said: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    troubled.goto(f"{server.url}/try")
    _send(troubled, file)
    troubled.get_by_role("alert").filter(has_text=said).wait_for()
    assert troubled.get_by_role("button", name="Try again").is_hidden()
    _send(troubled, CAT)
    _wait_for(troubled, "cat")
    assert troubled.locator("#problem").inner_text() == ""


def test_busy_server_can_be_asked_again(troubled: Page, server: Server) -> None:
    problem = json.dumps({"title": "Service Unavailable", "detail": "16 requests are being answered"})
    troubled.route("**/api/v1/detect?*", lambda route: route.fulfill(status=503, body=problem), times=1)
    troubled.goto(f"{server.url}/try")
    request = troubled.locator(".request")
    top = _top(request)
    _send(troubled, CAT)
    troubled.get_by_role("alert").filter(has_text="The server is busy: 16 requests are being").wait_for()
    assert _top(request) == top
    troubled.get_by_role("button", name="Try again").click()
    _wait_for(troubled, "cat")
    assert troubled.get_by_role("button", name="Try again").is_hidden()


def test_server_that_is_gone_is_said_to_be(troubled: Page, server: Server) -> None:
    troubled.goto(f"{server.url}/try")
    troubled.route("**/api/v1/detect?*", lambda route: route.abort(), times=1)
    _send(troubled, CAT)
    troubled.get_by_role("alert").filter(has_text="chelsea.jpg: The server does not answer.").wait_for()
    troubled.get_by_role("button", name="Try again").wait_for()


def test_page_without_a_detector_says_what_to_do(page: Page) -> None:
    with Server(*NO_DETECTOR) as server:
        page.goto(f"{server.url}/try")
        page.get_by_role("heading", name="No detector").wait_for()
        assert not violations(page)


# For everybody, everywhere.


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_nothing_is_in_anybodys_way_or_jumps(page: Page, server: Server, scheme: Any, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 700})
    page.goto(f"{server.url}/try")
    page.locator("#curl", has_text="curl").wait_for()
    assert not violations(page)
    places = [page.locator(part) for part in (".tools", "aside .card >> nth=2", ".request")]
    tops = [_top(place) for place in places]
    _send(page, CAT)
    _wait_for(page, "cat")
    assert [_top(place) for place in places] == tops
    assert not violations(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_page_works_below_a_prefix(page: Page, server: Server, tmp_path: Path) -> None:
    strangers: list[str] = []

    def look_at(asked: Request | WebSocket) -> None:
        if not asked.url.startswith(prefixes):
            strangers.append(asked.url)

    with Nginx(tmp_path, server.port) as nginx:
        prefixes = (f"{nginx.url}/cams/", f"ws://127.0.0.1:{nginx.port}/cams/", "blob:")
        page.on("request", look_at)
        page.on("websocket", look_at)
        page.goto(f"{nginx.url}/cams/try")
        _send(page, ASTRONAUT)
        _wait_for_labels(page, {"person"})
        assert f"'{nginx.url}/cams/api/v1/detect?" in page.locator("#curl").inner_text()
        page.get_by_role("button", name="Use camera").click()
        _wait_for_labels(page, {"cat"})
        page.goto("about:blank")
    assert strangers in ([], ["about:blank"])
