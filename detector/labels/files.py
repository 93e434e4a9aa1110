"""Label files: which word stands for which number.

Kinds: the `.pbtxt` of the TF Object Detection API (StringIntLabelMap), `.txt` with a word a line, with or
without its number before it, and YAML (a list, or words by number; also below `names`, as Ultralytics does).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from detector.errors import ModelError
from detector.heads import ClassBase
from detector.labels.coco import COCO_80, COCO_91

_MAX_BYTES = 1 << 24
_BACKGROUND = {"background", "__background__", "_background_", "bg", "unlabeled"}
_UNUSED = {"", "???", "n/a", "unused"}  # numbers that stand for nothing
_NUMBERED_LINE = re.compile(r"(\d+)\s*[:,\s]\s*(.*)")
_PBTXT_PARTS = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[{}]|[^\s{}:"'#,;]+""")


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
        return _parse(content.decode("utf-8-sig"), path.suffix.lower())
    except UnicodeDecodeError as exc:
        raise ModelError(f"{path}: expected labels in UTF-8, one a line") from exc
    except ModelError as exc:
        raise ModelError(f"{path}: {exc}") from exc


def _parse(text: str, suffix: str) -> LabelMap:
    if suffix in (".pbtxt", ".pbtext") or re.match(r"\s*(#[^\n]*\n\s*)*item\s*:?\s*{", text):
        return _label_map(_pbtxt_items(text), has_numbers=True)
    if suffix in (".yaml", ".yml"):
        names = _yaml_names(text)
        if isinstance(names, list):
            return _label_map(enumerate(_words(names)), has_numbers=False)
        return _label_map(_numbered(names), has_numbers=True)
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
        words[number] = word.strip()
    is_from_one = _is_unused(words[0]) if words.get(0) else has_numbers and 0 not in words
    labels = {number: word for number, word in sorted(words.items()) if not _is_unused(word)}
    if not labels:
        raise ModelError("the file is empty; expected labels, one a line")
    return LabelMap(labels, 1 if is_from_one else 0)


def _is_unused(word: str) -> bool:
    return word.lower() in _UNUSED | _BACKGROUND


def _pbtxt_items(text: str) -> Iterator[tuple[int, str]]:
    """Yield id and word of each `item {…}`: its display name, else its name; all else is ignored."""
    fields: dict[str, str] = {}
    depth, key = 0, ""
    for part in _PBTXT_PARTS.findall(text):
        if part == "{":
            depth, key = depth + 1, ""
        elif part == "}":
            depth -= 1
            if depth == 0:
                yield _pbtxt_item(fields)
                fields = {}
        elif depth == 1 and not part.startswith("#"):
            if key:
                fields[key] = part
            key = "" if key else part
        if depth < 0:
            break
    if depth:
        raise ModelError("the braces of its items do not match; expected item { id: 1 name: 'word' } …")


def _pbtxt_item(fields: Mapping[str, str]) -> tuple[int, str]:
    quoted = fields.get("display_name") or fields.get("name") or "''"
    word = re.sub(r"\\(.)", r"\1", quoted[1:-1]) if quoted[0] in "\"'" else quoted
    try:
        return int(fields["id"]), word
    except (KeyError, ValueError):
        raise ModelError(f"the item {word!r} has no id; expected item {{ id: 1 name: 'word' }}") from None


def _yaml_names(text: str) -> list[object] | dict[object, object]:
    try:
        content: object = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ModelError(f"this is not YAML: {' '.join(str(exc).split())}") from exc
    names = content.get("names", content) if isinstance(content, dict) else content
    if not isinstance(names, (list, dict)):
        raise ModelError("expected a list of words, words by number, or one of them below `names`")
    return names


def _words(names: Iterable[object]) -> list[str]:
    return ["" if name is None else str(name) for name in names]


def _numbered(names: dict[object, object]) -> list[tuple[int, str]]:
    try:
        return list(zip([int(str(number)) for number in names], _words(names.values()), strict=True))
    except ValueError:
        raise ModelError("expected a number before each word, such as `0: person`") from None
