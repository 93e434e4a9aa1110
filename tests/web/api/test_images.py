"""Pictures in, detections out, over HTTP: every way to send them, options, limits, errors."""

from __future__ import annotations

import contextlib
import socket
import threading
from contextlib import ExitStack
from types import SimpleNamespace
from typing import cast

import cv2
import numpy as np
import pytest

from detector.detections import Detections
from detector.pool import DetectorPool
from detector.pool.request_queue import FutureDetections
from stream_server.config import Config
from stream_server.errors import ClientLimitError, LimitError
from stream_server.images.admission import Admission
from stream_server.images.results import ImageDetections, ImageOptions
from stream_server.images.service import EncodedImage, ImageDetectionService
from tests.support.leaks import wait_until
from tests.support.paths import DATA
from tests.support.posts import base64_of, post, post_form, post_json
from tests.support.server import SMALL_DEMO, Answer, Server, run_command, settings

PERSON = (DATA / "astronaut.jpg").read_bytes()
CAT = (DATA / "chelsea.jpg").read_bytes()
DETECT = "/api/v1/detect"
MAX_BYTES, MAX_PIXELS, MAX_REQUEST = 400_000, 2_000_000, 500_000


pytestmark = pytest.mark.server(
    *SMALL_DEMO,
    *settings(
        "detector.workers=2",
        f"server.max_image_bytes={MAX_BYTES}",
        f"server.max_image_pixels={MAX_PIXELS}",
        f"api.max_request_bytes={MAX_REQUEST}",
        "api.max_images=4",
        "api.max_requests=2",
    ),
    finds=True,
)


def labels(answer: Answer) -> list[list[str]]:
    assert answer.status == 200, answer.text
    return [[found["label"] for found in image["detections"]] for image in answer.json["images"]]


def problem(answer: Answer) -> tuple[int, str | None, int | None]:
    """Return status, field and limit."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert answer.json["status"] == answer.status
    assert answer.json["detail"]
    return answer.status, answer.json.get("field"), answer.json.get("limit")


# Ways to send pictures.


@pytest.mark.parametrize("kind", ["image/jpeg", "image/png", "application/octet-stream", ""])
def test_body_is_a_picture_whatever_its_content_type_says(server: Server, kind: str) -> None:
    answer = post(server.port, DETECT, PERSON, {"Content-Type": kind} if kind else {})
    assert labels(answer) == [["person"]]
    (image,) = answer.json["images"]
    assert (image["width"], image["height"], image["model"]) == (512, 512, "centernet-mobilenetv3")
    (person,) = image["detections"]
    assert person["class_id"] == 0
    assert 0.4 <= person["score"] <= 1
    box, relative = person["box"], person["box_relative"]
    assert [box[side] / 512 for side in box] == pytest.approx(
        [relative[side] for side in relative], abs=0.001
    )
    timings = image["timings"]
    assert min(timings.values()) >= 0
    parts = timings["decode_ms"] + timings["wait_ms"] + timings["inference_ms"]
    assert parts == pytest.approx(timings["total_ms"], abs=1)
    assert timings["total_ms"] <= answer.json["total_ms"] <= 1000 * answer.seconds


@pytest.mark.parametrize("extension", [".png", ".webp", ".bmp"])
def test_other_kinds_show_the_same(server: Server, extension: str) -> None:
    small = cv2.resize(cv2.imdecode(np.frombuffer(PERSON, np.uint8), 1), (320, 320))
    data = cv2.imencode(extension, small)[1].tobytes()
    assert labels(post(server.port, DETECT, data)) == [["person"]]


@pytest.mark.parametrize("files", [[PERSON], [PERSON, CAT, PERSON]])
def test_form_brings_any_number_of_files(server: Server, files: list[bytes]) -> None:
    answer = post_form(
        server.port,
        DETECT,
        files,
        {"score_threshold": "0.3", "iou_threshold": "0.3", "classes": "person,cat", "max_detections": "1"},
    )
    assert labels(answer) == [["person"] if data is PERSON else ["cat"] for data in files]
    assert [image["image"] for image in answer.json["images"]] == [f"{n}.jpg" for n in range(len(files))]


def test_json_brings_base64_and_data_urls(server: Server) -> None:
    body = {
        "image": base64_of(CAT),
        "images": [f"data:image/jpeg;base64,{base64_of(PERSON)}"],
        "classes": ["cat"],
    }
    assert labels(post_json(server.port, DETECT, body)) == [["cat"], []]


def test_annotated_picture_is_the_answer_where_it_is_asked_for(server: Server) -> None:
    answer = post(server.port, DETECT, PERSON, {"Accept": "image/jpeg"})
    assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")
    shown = cv2.imdecode(np.frombuffer(answer.body, np.uint8), 1).astype(int)
    sent = cv2.imdecode(np.frombuffer(PERSON, np.uint8), 1)
    assert shown.shape == sent.shape
    changed = np.abs(shown - sent).max(axis=2) > 60
    assert changed[100:500, 6:16].any(axis=1).mean() > 0.9  # the left side of the box


def test_several_pictures_cannot_be_one(server: Server) -> None:
    body = {"images": [base64_of(CAT)] * 2}
    assert problem(post_json(server.port, DETECT, body, {"Accept": "image/jpeg"}))[0] == 406


def test_command_prints_the_same(server: Server) -> None:
    printed = run_command("detect", str(DATA / "astronaut.jpg"))
    (image,) = post(server.port, DETECT, PERSON).json["images"]
    ours = Answer(0, {}, printed.stdout.encode(), 0).json
    assert ours.keys() == image.keys()
    assert ours["timings"].keys() == image["timings"].keys()
    assert ours["detections"] == image["detections"]


# Options.


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", ["cat"]),
        ("classes=person,dog", []),
        ("classes=cat&min_width=0.1&min_height=0.1", ["cat"]),
        ("min_width=1", []),
        ("score_threshold=1", []),
        ("model=centernet-mobilenetv3&token=x", ["cat"]),
    ],
)
def test_options_say_what_is_wanted(server: Server, query: str, wanted: list[str]) -> None:
    assert labels(post(server.port, f"{DETECT}?{query}", CAT)) == [wanted]


def test_at_most_so_many_are_said_the_best_first(server: Server) -> None:
    many = post(server.port, f"{DETECT}?score_threshold=0.05", PERSON).json["images"][0]["detections"]
    few = post(server.port, f"{DETECT}?score_threshold=0.05&max_detections=2", PERSON)
    assert len(many) > 2
    assert few.json["images"][0]["detections"] == many[:2]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("score_threshold=2", "score_threshold"),
        ("iou_threshold=x", "iou_threshold"),
        ("max_detections=0", "max_detections"),
        ("min_width=-1", "min_width"),
        ("classes=dgo", "classes"),
        ("model=none", "model"),
        ("scroe=1", "scroe"),
    ],
)
def test_wrong_option_is_named(server: Server, query: str, field: str) -> None:
    assert problem(post(server.port, f"{DETECT}?{query}", CAT)) == (422, field, None)


def test_hint_is_given_for_an_unknown_class(server: Server) -> None:
    detail = post(server.port, f"{DETECT}?classes=dgo", CAT).json["detail"]
    assert detail == "classes: the model knows no class 'dgo'; did you mean 'dog'?"


# Errors.


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b"", (415, "body", None)),
        (b"GIF89a" + bytes(20), (415, "body", None)),
        (CAT[: len(CAT) // 2], (400, "body", None)),
        (b"\xff\xd8" + bytes(MAX_BYTES), (413, "body", MAX_BYTES)),
        (cv2.imencode(".jpg", np.zeros((1500, 1500, 3), np.uint8))[1].tobytes(), (413, "body", MAX_PIXELS)),
    ],
)
def test_pictures_that_cannot_be_taken(
    server: Server, body: bytes, wanted: tuple[int, str | None, int | None]
) -> None:
    assert problem(post(server.port, DETECT, body)) == wanted


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({}, (422, "image", None)),
        ({"image": 1}, (422, "image", None)),
        ({"image": "!"}, (400, "image", None)),
        ({"image": "data:image/png,x"}, (400, "image", None)),
        ({"images": [base64_of(CAT), base64_of(b"hello")]}, (415, "images[1]", None)),
        ({"images": [""] * 5}, (422, "images", 4)),
        ({"image": "A" * (MAX_BYTES * 4 // 3 - 1000)}, (413, "body", MAX_REQUEST)),
        ({"url": "http://127.0.0.1/x.jpg"}, (422, "url", None)),
        ({"image": base64_of(CAT), "clases": []}, (422, "clases", None)),
    ],
)
def test_json_that_cannot_be_taken(
    server: Server, body: object, wanted: tuple[int, str | None, int | None]
) -> None:
    assert problem(post_json(server.port, DETECT, body)) == wanted


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff"])
def test_broken_json_is_a_bad_request(server: Server, body: bytes) -> None:
    answer = post(server.port, DETECT, body, {"Content-Type": "application/json"})
    assert problem(answer)[0] in (400, 422)


def test_form_of_ten_thousand_parts_is_refused(server: Server) -> None:
    answer = post_form(server.port, DETECT, [b"x"] * 5000)
    assert problem(answer)[0] == 413


def test_huge_content_length_is_refused_before_anything_comes(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 5) as sock:
        head = f"POST {DETECT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2147483648\r\n\r\n"
        sock.sendall(head.encode())
        assert b" 413 " in sock.recv(4096).partition(b"\r\n")[0]


def test_endless_chunks_are_refused_at_the_limit(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 5) as sock:
        sock.sendall(
            f"POST {DETECT} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        chunk, sent = b"10000\r\n" + bytes(65536) + b"\r\n", 0
        sock.settimeout(0.2)
        try:
            while sent < 50 * MAX_BYTES:
                sock.sendall(chunk)
                sent += len(chunk)
        except OSError:
            pass  # it closed, or takes no more
        sock.settimeout(5)
        with contextlib.suppress(ConnectionResetError):  # the answer is lost with what was unread
            assert b" 413 " in sock.recv(4096).partition(b"\r\n")[0]
        assert sent < 20 * MAX_BYTES


# Limits.


def hold(server: Server) -> socket.socket:
    """Begin a request that does not go on, too large to be waited for without a place."""
    sock = socket.create_connection(("127.0.0.1", server.port), 5)
    head = f"POST {DETECT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70000\r\n\r\n"
    sock.sendall(head.encode() + bytes(10))
    return sock


def test_one_request_too_many_is_told_to_come_later(server: Server) -> None:
    with ExitStack() as held:
        for _ in range(6):  # more than are let in: a request of ours may have come first
            held.enter_context(hold(server))
        answers: list[Answer] = []

        def is_refused() -> bool:
            answers.append(post(server.port, DETECT, CAT))
            return answers[-1].status == 503

        assert wait_until(is_refused)
        assert int(answers[-1].headers["retry-after"]) > 0
        assert "api.max_requests" in answers[-1].json["detail"]
        assert server.get("/healthz").status == 200
    assert wait_until(lambda: post(server.port, DETECT, CAT).status == 200)


def test_client_may_not_have_all_places() -> None:
    admission = Admission(3, 2)
    with admission.admit("a"), admission.admit("a"):
        with pytest.raises(ClientLimitError, match=r"api\.max_requests_per_address"), admission.admit("a"):
            pass
        with (
            admission.admit("b"),
            pytest.raises(LimitError, match=r"api\.max_requests"),
            admission.admit("c"),
        ):
            pass
    with admission.admit("a"):
        pass


def test_pictures_of_a_request_are_looked_at_together() -> None:
    """The pool answers once it has twice as many as workers; who brings one at a time would wait for ever."""
    pool = TogetherPool()
    analyst = ImageDetectionService(cast(DetectorPool, pool), Config())
    done: list[ImageDetections] = []
    uploads = (EncodedImage(CAT) for _ in range(4 * TogetherPool.WORKERS))
    asker = threading.Thread(target=lambda: done.extend(analyst.analyse(uploads, ImageOptions())))
    asker.start()
    asker.join(30)
    pool.release()
    asker.join(30)
    assert pool.most_waiting == 2 * TogetherPool.WORKERS
    assert len(done) == 4 * TogetherPool.WORKERS


class TogetherPool:
    """A pool that answers when it has twice as many images as workers; also its own client."""

    WORKERS = 2
    models = ("fake",)

    def __init__(self) -> None:
        self.most_waiting = 0
        self._waiting: list[FutureDetections] = []

    def client(self, name: str, **_: object) -> TogetherPool:
        return self

    def labels_of(self, model: str) -> dict[int, str]:
        return {0: "thing"}

    def status(self) -> SimpleNamespace:
        return SimpleNamespace(workers=(None,) * self.WORKERS)

    def submit(self, image: object, **_: object) -> FutureDetections:
        self._waiting.append(FutureDetections())
        future = self._waiting[-1]
        self.most_waiting = max(self.most_waiting, len(self._waiting))
        if len(self._waiting) == 2 * self.WORKERS:
            self.release()
        return future

    def release(self) -> None:
        while self._waiting:
            self._waiting.pop().set_result(Detections.none())


def test_many_clients_at_once_get_their_own_answers(server: Server) -> None:
    wrong: list[object] = []

    def ask(data: bytes, wanted: str) -> None:
        for _ in range(5):
            answer = post(server.port, DETECT, data)
            if answer.status != 503 and labels(answer) != [[wanted]]:
                wrong.append(answer)

    clients = [threading.Thread(target=ask, args=pair) for pair in ((PERSON, "person"), (CAT, "cat")) * 2]
    for client in clients:
        client.start()
    for client in clients:
        client.join(30)
    assert not wrong
