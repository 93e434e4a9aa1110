"""Forms with files, as curl, requests and browsers send them, of any size and whatever is in them."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from flask import Flask, jsonify
from werkzeug.exceptions import HTTPException
from werkzeug.serving import make_server

from stream_server.errors import ImageTooLarge
from stream_server.web.forms import MAX_FIELD_BYTES, READ_BYTES, read_parts
from tests.support.paths import DATA
from tests.support.posts import base64_of
from tests.support.server import ONE_WORKER, SMALL_DEMO, Server

pytestmark = pytest.mark.server(*SMALL_DEMO, *ONE_WORKER, finds=True)

PHOTO = (DATA / "astronaut.jpg").read_bytes()
DETECT = "/api/v1/detect"
EDGES = [1, 2, 4096, 8192, 65536, 2**20]
SIZES = sorted(
    {edge + more for edge in EDGES for more in (-1, 0, 1) if edge + more}
    | {162_551, 180_751, 204_364, 339_450}
    | {int(1.9**step) for step in range(1, 25)}
    | {20_000_000}
)


def noise(size: int) -> bytes:
    """Return bytes of all kinds, line breaks and dashes among them more often than by chance."""
    chosen = random.Random(size)
    data = bytearray(chosen.randbytes(size))
    for _ in range(min(size // 50, 2000)):
        at, piece = chosen.randrange(size), chosen.choice((b"\r\n--", b"\r", b"\n", b"\r\n--x-b", b"--"))
        data[at : at + len(piece)] = piece[: size - at]
    return bytes(data)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module")
def reader() -> Iterator[str]:
    """The address of a server that answers with the digests of the parts it is sent."""
    app = Flask("reader")

    @app.post("/")
    def answer() -> object:
        try:
            parts = read_parts(100, {"text"})
        except (ImageTooLarge, HTTPException) as exc:
            return str(exc), 400
        return jsonify([(part.name, part.filename, len(part.data), digest(part.data)) for part in parts])

    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, name="reader")
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("filename", ["photo.jpg", None])
def test_file_of_each_size_comes_as_it_was_sent(reader: str, filename: str | None) -> None:
    with requests.Session() as session:
        for size in SIZES:
            data = noise(size)
            answer = session.post(reader, files={"image": (filename, data, "image/jpeg")})
            assert answer.json() == [["image", filename, size, digest(data)]], size


def test_many_files_come_as_they_were_sent(reader: str) -> None:
    sent = [(f"{size}.bin" if size % 2 else None, noise(size)) for size in SIZES if size < 500_000]
    answer = requests.post(reader, files=[("image", pair) for pair in sent], data={"text": "person"})
    wanted = [["text", None, 6, digest(b"person")]]
    assert answer.json() == wanted + [["image", name, len(data), digest(data)] for name, data in sent]


def test_curl_sends_files_and_chunks(reader: str, tmp_path: Path) -> None:
    """Werkzeug's server knows no chunks; they are sent to the real one below."""
    forms, wanted = [], []
    for size in (1, 65_535, 180_751, 3_000_000):
        path = tmp_path / f"{size}.bin"
        path.write_bytes(noise(size))
        for how, name in (("@", path.name), ("<", None)):
            forms += ["-F", f"image={how}{path}"]
            wanted.append(["image", name, size, digest(path.read_bytes())])
    answer = subprocess.run(["curl", "-sS", *forms, reader], capture_output=True, check=True)
    assert json.loads(answer.stdout) == wanted


BOUNDARY = "x-bound"


def send(reader: str, body: bytes, boundary: str = f"; boundary={BOUNDARY}") -> requests.Response:
    return requests.post(reader, body, headers={"Content-Type": f"multipart/form-data{boundary}"})


def part(headers: bytes, data: bytes = b"x") -> bytes:
    return b"--x-bound\r\n" + headers + b"\r\n\r\n" + data + b"\r\n"


END = b"--x-bound--\r\n"
IMAGE = b'Content-Disposition: form-data; name="image"'


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (part(IMAGE + b'; filename="caf\xe9.jpg"') + END, [["image", "caf\ufffd.jpg", 1, digest(b"x")]]),
        (part(IMAGE + b'; filename="\xe5\x89\x8d.jpg"') + END, [["image", "前.jpg", 1, digest(b"x")]]),
        (part(IMAGE + b"; filename*=UTF-8''%e5%89%8d.jpg") + END, [["image", "前.jpg", 1, digest(b"x")]]),
        (part(IMAGE + b'; filename=""', b"") + END, []),
        (part(IMAGE + b'; filename=""') + END, [["image", "", 1, digest(b"x")]]),
        (part(IMAGE, b"") + END, [["image", None, 0, digest(b"")]]),
        (part(b"Content-Disposition: form-data") + END, [["", None, 1, digest(b"x")]]),
        (b"preamble\r\n" + part(IMAGE) + END + b"epilogue" * 1000, [["image", None, 1, digest(b"x")]]),
        (END, []),
    ],
)
def test_forms_of_other_programs(reader: str, body: bytes, wanted: list[object]) -> None:
    assert send(reader, body).json() == wanted


@pytest.mark.parametrize(
    ("body", "boundary", "reason"),
    [
        (b"", f"; boundary={BOUNDARY}", "the form is cut off"),
        (part(IMAGE), f"; boundary={BOUNDARY}", "the form is cut off"),
        (part(IMAGE)[:40], f"; boundary={BOUNDARY}", "the form is cut off"),
        (part(b"Content-Type: image/jpeg") + END, f"; boundary={BOUNDARY}", "Content-Disposition"),
        (part(IMAGE) + END, "", "does not say the boundary"),
        (part(IMAGE) + END, "; boundary=", "does not say the boundary"),
        (b"-" * 3 * READ_BYTES, f"; boundary={BOUNDARY}", f"form: .*at most {READ_BYTES} bytes"),
        (part(b"X: " + b"y" * 3 * READ_BYTES) + END, f"; boundary={BOUNDARY}", "form: a part's headers"),
        (part(IMAGE) * 101 + END, f"; boundary={BOUNDARY}", "body: the form has more than 100 parts"),
        (
            part(b'Content-Disposition: form-data; name="text"', b"y" * (MAX_FIELD_BYTES + 1)) + END,
            f"; boundary={BOUNDARY}",
            f"text: this field has at most {MAX_FIELD_BYTES} bytes",
        ),
    ],
)
def test_what_is_wrong_with_a_form_is_said(reader: str, body: bytes, boundary: str, reason: str) -> None:
    answer = send(reader, body, boundary)
    assert answer.status_code == 400
    assert re.search(reason, answer.text), answer.text


# The real server.


def photo(size: int) -> bytes:
    """Return a photo with a comment of noise (T.81, B.2.4.5), of so many bytes in all."""
    data, left = bytearray(PHOTO[:2]), size - len(PHOTO)
    while left > 4:
        length = min(left - 4, 65533)
        length -= 4 if 0 < left - 4 - length <= 4 else 0
        data += b"\xff\xfe" + (length + 2).to_bytes(2, "big") + noise(length)
        left -= length + 4
    return bytes(data + PHOTO[2:])


def found(answer: requests.Response) -> list[list[str]]:
    assert answer.status_code == 200, answer.text
    return [[one["label"] for one in image["detections"]] for image in answer.json()["images"]]


def test_photos_of_each_size_are_looked_at(server: Server, tmp_path: Path) -> None:
    url = server.url + DETECT
    with requests.Session() as session:
        for size in (162_551, 180_751, 204_364, 339_450, 2**20 + 1, 10_000_000):
            data = photo(size)
            assert len(data) == size
            for filename in ("photo.jpg", None):
                answer = session.post(url, files={"image": (filename, data)}, data={"classes": "person"})
                assert found(answer) == [["person"]], (size, filename)
    (tmp_path / "photo.jpg").write_bytes(photo(180_751))
    for more in (["-F", "image=@photo.jpg"], ["-F", "image=<photo.jpg", "-H", "Transfer-Encoding: chunked"]):
        command = ["curl", "-sSf", *more, "-F", "image=@photo.jpg", url]
        answered = subprocess.run(command, capture_output=True, check=True, cwd=tmp_path)
        assert answered.stdout.count(b'"person"') == 2


def test_form_field_of_base64_is_a_picture_near_the_limit_too(server: Server) -> None:
    limit = 20 * 2**20
    data = photo(limit)
    lines = base64.encodebytes(data).replace(b"\n", b"\r\n")
    small = base64_of(PHOTO).replace("+", "-").replace("/", "_").rstrip("=")
    fields = [("image", (None, lines)), ("image", (None, small)), ("classes", (None, "person"))]
    assert found(requests.post(server.url + DETECT, files=fields)) == [["person"], ["person"]]
    answer = requests.post(server.url + DETECT, files={"image": (None, base64_of(data + b"xx"))})
    assert (answer.status_code, answer.json()["field"], answer.json()["limit"]) == (413, "image", limit)


def test_limit_that_fired_is_named(server: Server) -> None:
    files = {"image": ("photo.jpg", bytes(34_000_000))}
    answer = requests.post(server.url + DETECT, files=files)
    assert answer.status_code == 413
    assert "33554432 bytes (api.max_request_bytes)" in answer.json()["detail"]
    answer = requests.post(server.url + DETECT, files={"classes": (None, "x" * 70_000)})
    assert (answer.status_code, answer.json()["field"], answer.json()["limit"]) == (413, "classes", 65536)
