"""Label files: which word stands for which number.

Kinds: the `.pbtxt` of the TF Object Detection API (StringIntLabelMap), `.txt` with a word a line, with or
without its number before it, CSV, and YAML and JSON: a list of words, words by number, numbers by word, or a
list of entries with both, also below the key that Ultralytics, COCO or Hugging Face have it under.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from detector.errors import ModelError
from detector.heads import ClassBase
from detector.labels.coco import COCO_80, COCO_91
from detector.plain_yaml import load_yaml

_MAX_BYTES = 1 << 24
_BACKGROUND = {"background", "__background__", "_background_", "bg", "unlabeled"}
_UNUSED = {"", "~", "???", "n/a", "unused"}  # numbers that stand for nothing
_NUMBERED_LINE = re.compile(r"(\d{1,9})\s*[:;,=\s]\s*(.*)")
_NUMBER = re.compile(r"[0-9]{1,9}")
# A string that is not closed is a part too: to look for its end again at each quote inside takes the square.
_PBTXT_PARTS = re.compile(
    r"""#[^\n]*|"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?|[{}<>]|[^\s{}<>:"'#,;]+""", re.DOTALL
)
_PBTXT_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_PBTXT_CONTROLS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
# Where files have the labels among other things: Ultralytics, COCO, Hugging Face, and what others call it.
_BELOW = ("names", "categories", "id2label", "label2id", "labels", "classes", "class_names")
_ID_KEYS = ("id", "class_id", "index", "label_id")
_WORD_KEYS = ("display_name", "name", "label", "class_name", "class", "category")


@dataclass(frozen=True, slots=True)
class LabelMap:
    """Words by number, and the number of the first class: 1 where 0 is the background."""

    words: Mapping[int, str]
    first_class: ClassBase


BUILT_IN = {"coco80": LabelMap(COCO_80, 0), "coco91": LabelMap(COCO_91, 1)}
"""Given by name instead of a file."""


def read_label_map(path: Path) -> LabelMap:
    """Return the labels of a file in UTF-8, or those built in under that name.

    Words that say that a number is not used (`???`, `n/a`, an empty line) are left out, as is the background.
    The first class is 1 when the file says that 0 is one of these, or gives numbers and none is 0; else 0.

    Raises ModelError, with the path, for a file that cannot be read, holds no label or a number twice.
    """
    if str(path) in BUILT_IN and not path.exists():
        return BUILT_IN[str(path)]
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise ModelError(f"{path}: cannot read the labels: {exc.strerror}") from exc
    if len(content) > _MAX_BYTES:
        raise ModelError(f"{path}: {len(content)} bytes; expected labels, at most {_MAX_BYTES} bytes")
    try:
        encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        return _parse(content.decode(encoding), path.suffix.lower())
    except UnicodeDecodeError as exc:
        raise ModelError(f"{path}: expected labels in UTF-8, one a line") from exc
    except ModelError as exc:
        raise ModelError(f"{path}: {exc}") from exc


def _parse(text: str, suffix: str) -> LabelMap:
    if suffix in (".pbtxt", ".pbtext") or re.match(r"\s*(#[^\n]*\n\s*)*item\s*:?\s*[{<]", text):
        return _label_map(_pbtxt_items(text), has_numbers=True)
    if suffix in (".yaml", ".yml", ".json") or re.match(r"\s*[\[{]", text):
        return _structured(_read_yaml(text) if suffix != ".json" else _read_json(text))
    if suffix == ".csv":
        return _table(text)
    lines = [line.strip() for line in text.splitlines()]
    matches = [_NUMBERED_LINE.fullmatch(line) for line in lines if line]
    numbered = [(int(match[1]), match[2]) for match in matches if match]
    # "3 wheeler" among plain words is a word: only if each line has a number, they are numbers.
    if numbered and len(numbered) == len(matches):
        return _label_map(numbered, has_numbers=True)
    return _label_map(enumerate(lines), has_numbers=False)


def _label_map(pairs: Iterable[tuple[int, str]], has_numbers: bool) -> LabelMap:
    words: dict[int, str] = {}
    for number, word in pairs:
        if number in words:
            raise ModelError(f"the number {number} is there twice")
        words[number] = word.strip().encode("utf-8", "replace").decode()  # half a character is none
    is_from_one = _is_unused(words[0]) if words.get(0) else has_numbers and 0 not in words
    labels = {number: word for number, word in sorted(words.items()) if not _is_unused(word)}
    if not labels:
        raise ModelError("the file is empty; expected labels, one a line")
    return LabelMap(labels, 1 if is_from_one else 0)


def _is_unused(word: str) -> bool:
    return word.lower() in _UNUSED | _BACKGROUND


def _pbtxt_items(text: str) -> Iterator[tuple[int, str]]:
    """Yield id and word of each `item {…}`: its display name, else its name; all else is ignored."""
    fields: dict[str, list[str]] = {}
    depth, key, last = 0, "", ""
    for part in _PBTXT_PARTS.findall(text):
        if part in "{<":
            depth, key, last = depth + 1, "", ""
        elif part in "}>":
            depth, key, last = depth - 1, "", ""
            if depth == 0:
                yield _pbtxt_item(fields)
                fields = {}
        elif depth == 1 and not part.startswith("#"):
            is_string = part[0] in "\"'"
            if key:
                fields[key] = [part]
                key, last = "", key if is_string else ""
            elif is_string and last:  # strings beside each other are one
                fields[last].append(part)
            else:
                key, last = part, ""
        if depth < 0:
            break
    if depth:
        raise ModelError("its braces or quotes do not match; expected item { id: 1 name: 'word' } …")


def _pbtxt_item(fields: Mapping[str, Sequence[str]]) -> tuple[int, str]:
    parts = fields.get("display_name") or fields.get("name") or ["''"]
    is_string = parts[0][0] in "\"'"
    word = _unescaped("".join(part[1:-1] for part in parts)) if is_string else parts[0]
    try:
        return int(fields["id"][0]), word
    except (KeyError, ValueError):
        raise ModelError(f"the item {word!r} has no id; expected item {{ id: 1 name: 'word' }}") from None


def _unescaped(text: str) -> str:
    """Return what a string of protobuf's text format stands for (its textformat-spec, "Strings").

    Octal and hexadecimal escapes are bytes of UTF-8, as protobuf writes all that is not ASCII.
    """
    return _PBTXT_ESCAPE.sub(_escaped_bytes, text.encode("utf-8", "replace")).decode("utf-8", "replace")


def _escaped_bytes(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if code[:1] in b"uU" and len(code) > 1:
        point = int(code[1:], 16)
        return chr(point).encode("utf-8", "replace") if point < 0x110000 else b"?"
    if code[:1] == b"x" and len(code) > 1:
        return bytes([int(code[1:], 16)])
    if code[:1].isdigit() and code[:1] < b"8":
        return bytes([int(code, 8) & 0xFF])
    return _PBTXT_CONTROLS.get(code, code)


def _read_yaml(text: str) -> object:
    try:
        return load_yaml(text, as_text=True)
    except yaml.YAMLError as exc:
        raise ModelError(f"this is not YAML: {' '.join(str(exc).split())}") from None


def _read_json(text: str) -> object:
    try:
        return json.loads(text, parse_int=str, parse_float=str, object_pairs_hook=_once)
    except ValueError as exc:
        raise ModelError(f"this is not JSON: {exc}") from None
    except RecursionError:
        raise ModelError("this is not JSON of labels: it is nested too deep") from None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} is there twice")
        found[key] = value
    return found


def _structured(content: object) -> LabelMap:
    """Return the labels in YAML or JSON, whose numbers are text here."""
    if isinstance(content, dict):
        below = (content[key] for key in _BELOW if isinstance(content.get(key), (list, dict)))
        content = next(below, None if content.keys() <= set(_BELOW) else content)
    if isinstance(content, list) and content and all(isinstance(each, dict) for each in content):
        return _label_map(map(_entry, content), has_numbers=True)
    if isinstance(content, list):
        return _label_map(enumerate(map(_word, content)), has_numbers=False)
    if not isinstance(content, dict):
        raise ModelError("expected a list of words, words by number, or one of them below `names`")
    if all(_is_number(key) for key in content):
        return _label_map(((int(key), _word(value)) for key, value in content.items()), has_numbers=True)
    if all(_is_number(value) for value in content.values()):
        return _label_map(((int(value), word) for word, value in content.items()), has_numbers=True)
    raise ModelError("expected a number before each word, such as `0: person`")


def _entry(entry: Mapping[str, object]) -> tuple[int, str]:
    number = next((entry[key] for key in _ID_KEYS if _is_number(entry.get(key))), None)
    word = next((entry[key] for key in _WORD_KEYS if isinstance(entry.get(key), str)), None)
    if number is None or word is None:
        raise ModelError(f"an entry has {', '.join(map(repr, entry)) or 'nothing'}; expected `id` and `name`")
    return int(str(number)), str(word)


def _word(value: object) -> str:
    if isinstance(value, (list, dict)):
        raise ModelError("a label is a list or a section; expected words")
    return "" if value is None else str(value)


def _is_number(value: object) -> bool:
    return isinstance(value, str) and _NUMBER.fullmatch(value) is not None


def _table(text: str) -> LabelMap:
    """Return the labels of a CSV file: a column of words, one of numbers if any, a header if any."""
    try:
        rows = [row for row in csv.reader(text.splitlines()) if any(cell.strip() for cell in row)]
    except csv.Error as exc:
        raise ModelError(f"this is not CSV: {exc}") from None
    rows = [[cell.strip() for cell in row] for row in rows]
    columns = range(min(map(len, rows), default=0))
    head = [cell.lower() for cell in rows[0]] if rows else []
    has_head = any(cell in (*_ID_KEYS, *_WORD_KEYS) for cell in head)
    body = rows[1:] if has_head else rows
    numbers = next(
        (column for column in columns if body and all(_is_number(row[column]) for row in body)), None
    )
    named = [head.index(key) for key in _WORD_KEYS if has_head and key in head and head.index(key) in columns]
    others = [column for column in columns if column != numbers]
    if not others:
        return _label_map(enumerate(row[0] for row in body), has_numbers=False)
    word = next((column for column in named if column != numbers), others[0 if numbers is not None else -1])
    if numbers is None:
        return _label_map(enumerate(row[word] for row in body), has_numbers=False)
    return _label_map(((int(row[numbers]), row[word]) for row in body), has_numbers=True)
