"""The pictures in a request, however they were sent: as its body, as files of a form, in JSON, or by address.

Nothing is read before its limit is known: a body is counted by Werkzeug while it comes, a form's fields too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from flask import request
from pydantic import Field, ValidationError
from werkzeug.datastructures import MultiDict

from stream_server.errors import OptionError
from stream_server.images.results import ImageOptions
from stream_server.images.service import EncodedImage
from stream_server.net.guarded_fetch import Fetcher
from stream_server.web.arguments import OUR_PARAMETERS, explained, parse_json, query
from stream_server.web.context import engine
from stream_server.web.forms import read_parts
from stream_server.web.request_body import bounded_body, check_end, decode_base64, read_all

MAX_FIELDS = 64
"""Of a form, besides its pictures."""


class DetectBody(ImageOptions):
    """Pictures and what is asked about them, as JSON; also the type of a form's fields and of the query."""

    image: str | None = Field(None, description="A picture: base64, or a data URL.")
    images: tuple[str, ...] = Field((), description="Pictures, likewise.")
    url: str | None = Field(None, description="Address of a picture on one of the hosts in `api.url_hosts`.")
    urls: tuple[str, ...] = Field((), description="Addresses of pictures, likewise.")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks. uploads: read, or fetched, one after the other as they are taken; at least one.

    count: how many there are.
    """

    options: ImageOptions
    uploads: Iterator[EncodedImage]
    count: int


def read_request() -> Asked:
    """Return what the current request asks.

    Raises ImageError for a picture that is no base64, ImageTooLarge for a body that is too long, OptionError
    for an option that is wrong, BadRequest for a body that is not what its Content-Type says.
    """
    server, api = engine().config.server, engine().config.api
    kind = request.mimetype
    is_form, is_json = kind == "multipart/form-data", kind == "application/json" or kind.endswith("+json")
    if not (is_form or is_json):
        with bounded_body(server.max_image_bytes, "server.max_image_bytes"):
            return _read_body()
    with bounded_body(api.max_request_bytes, "api.max_request_bytes"):
        return _read_form(api.max_images + MAX_FIELDS) if is_form else _read_json()


def _read_body() -> Asked:
    body = _checked(request.args)
    data = read_all()
    if not data and (body.url or body.urls or body.image or body.images):
        return _asked(body, [])
    return _asked(body, [EncodedImage(data, field="body")])


def _read_form(most_parts: int) -> Asked:
    """A part is a picture where it is a file or no text; a field `image` of text is one in base64."""
    texts = MultiDict(request.args)
    uploads: list[EncodedImage] = []
    count: Counter[str] = Counter()
    for part in read_parts(most_parts, DetectBody.model_fields.keys() - {"image", "images"}):
        if (text := part.text) is not None:
            texts.add(part.name, text)
            continue
        uploads.append(EncodedImage(part.data, part.filename or None, f"{part.name}[{count[part.name]}]"))
        count[part.name] += 1
    check_end()
    return _asked(_checked(texts), uploads)


def _read_json() -> Asked:
    body = parse_json(DetectBody, read_all())
    if query():
        body = body.model_copy(update=_checked(request.args).model_dump(exclude_unset=True))
    return _asked(body, [])


def _checked(fields: MultiDict[str, str]) -> DetectBody:
    """Return what fields of a form or query say; of `image` and `url` there may be several."""
    asked: dict[str, object] = {key: text for key, text in fields.items() if key not in OUR_PARAMETERS}
    for one, many in (("image", "images"), ("url", "urls")):
        if more := (*fields.getlist(one)[1:], *fields.getlist(many)):
            asked[many] = more
    try:
        return DetectBody.model_validate(asked)
    except ValidationError as exc:
        raise explained(exc, DetectBody) from None


def _asked(body: DetectBody, uploads: list[EncodedImage]) -> Asked:
    texts = [("image", body.image)] if body.image is not None else []
    texts += [(f"images[{number}]", text) for number, text in enumerate(body.images)]
    urls = [("url", body.url)] if body.url is not None else []
    urls += [(f"urls[{number}]", url) for number, url in enumerate(body.urls)]
    count = len(uploads) + len(texts) + len(urls)
    if not count:
        raise OptionError("image", "there is no picture in the request")
    check_count(count, engine().config.api.max_images, "images")
    names = ImageOptions.model_fields.keys()
    options = ImageOptions.model_construct(**body.model_dump(include=set(names)))
    return Asked(options, _all_uploads(uploads, texts, urls), count)


def check_count(count: int, most: int, field: str) -> None:
    """Raise OptionError when there are more pictures than may be."""
    if count > most:
        raise OptionError(field, f"got {count} pictures, expected at most {most}", most)


def _all_uploads(
    uploads: list[EncodedImage], texts: list[tuple[str, str]], urls: list[tuple[str, str]]
) -> Iterator[EncodedImage]:
    yield from uploads
    for field, text in texts:
        yield EncodedImage(decode_base64(text, field), field=field)
    fetcher = Fetcher(engine().config.api, engine().config.server.max_image_bytes)
    for field, url in urls:
        yield EncodedImage(fetcher.fetch(url, field), url, field)
