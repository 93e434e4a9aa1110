"""Changes cameras in the text of a configuration file, and leaves every other character as it is.

PyYAML says where each value stands; what is new is written there. So comments, order, quotes, indentation and
blanks stay as people made them, which a library that writes the whole file again cannot promise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import yaml

from stream_server.config.text import parse_yaml
from stream_server.errors import ConfigError, SettingsConflict

Section = Mapping[str, Any]

INDENT = 2
_ALL = float("inf")


def with_camera(text: str, name: str, section: Section | None) -> str:
    """Return the YAML `text` in which the camera has this section, or none for None.

    Raises SettingsConflict where that cannot be done without changing more than this, as with anchors that
    others refer to.
    """
    changed = _Text(text).with_camera(name, section)
    if not _says(changed, text, name, section):
        raise SettingsConflict(
            f"cameras.{name}: the file is written in a way (anchors, aliases, merged keys) that cannot be "
            "changed here; change it by hand"
        )
    return changed


def _says(changed: str, text: str, name: str, section: Section | None) -> bool:
    """Return whether `changed` says of the camera what it is to say, and of all else what `text` says."""
    try:
        found, expected = parse_yaml(changed, "changed"), parse_yaml(text, "text")
    except ConfigError:
        return False
    cameras = {str(key): value for key, value in (expected.pop("cameras", None) or {}).items()}
    cameras.pop(name, None)
    if section is not None:
        cameras[name] = dict(section)
    left = {str(key): value for key, value in (found.pop("cameras", None) or {}).items()}
    return found == expected and left == cameras


class _Text:
    """A YAML text and where its nodes stand."""

    def __init__(self, text: str) -> None:
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._text = text if not text or text.endswith("\n") else text + self._newline
        self._edits: list[tuple[int, int, str]] = []  # what is between two places, and what is to be there
        self._root = yaml.compose(self._text, yaml.SafeLoader)

    def with_camera(self, name: str, section: Section | None) -> str:
        if isinstance(self._root, yaml.MappingNode):
            self._change_root(self._root, name, section)
        elif section is not None:
            self._insert_after(len(self._text), _lines("cameras", {name: section}))
        return self._edited()

    def _edited(self) -> str:
        text = self._text
        in_order = sorted(self._edits, key=lambda edit: edit[0])
        for start, end, new in reversed(in_order):
            text = text[:start] + new + text[end:]
        return text

    def _change_root(self, root: yaml.MappingNode, name: str, section: Section | None) -> None:
        found = _find(root, "cameras")
        if found is None:
            if section is not None:
                self._add(root, "cameras", {name: section})
            return
        key, cameras = found
        if isinstance(cameras, yaml.MappingNode) and cameras.value:
            self._change_cameras(cameras, name, section)
        elif section is not None:
            end = max(_end(key), _end(cameras))
            self._edits.append((key.end_mark.index, end, ":"))
            self._insert_after(end, _lines(name, section, key.start_mark.column + INDENT))

    def _change_cameras(self, cameras: yaml.MappingNode, name: str, section: Section | None) -> None:
        found = _find(cameras, name)
        if found is None:
            if section is not None:
                self._add(cameras, name, section)
        elif section is None:
            self._remove(cameras, name)
        else:
            self._change(found, section, in_flow=bool(cameras.flow_style))

    def _change(self, found: tuple[yaml.Node, yaml.Node], value: object, *, in_flow: bool) -> None:
        """Let the key have this value; of a section, only what differs is written."""
        key, node = found
        if isinstance(node, yaml.MappingNode) and node.value and isinstance(value, dict) and value:
            self._change_section(node, value)
        elif _plain(node) != value:
            is_beside = key.end_mark.line == node.start_mark.line
            start = node.start_mark.index if is_beside else key.end_mark.index
            before = " " if start == _end(node) else "" if is_beside else ": "
            self._edits.append((start, _end(node), before + _inline(value, in_flow=in_flow)))

    def _change_section(self, node: yaml.MappingNode, section: Section) -> None:
        written = [str(key.value) for key, _ in node.value]
        merged = _plain(node)
        if node.flow_style and section.keys() != set(written):
            self._rewrite(node, section)
            return
        for name in written:
            if name in section:
                found = _find(node, name)
                assert found
                self._change(found, section[name], in_flow=bool(node.flow_style))
            elif name != "<<":
                self._remove(node, name)
        for name, value in section.items():
            if name not in written and (name not in merged or merged[name] != value):
                self._add(node, name, value)

    def _add(self, node: yaml.MappingNode, name: str, value: object) -> None:
        """Add a key at the end of a section."""
        if node.flow_style:
            self._rewrite(node, {**_plain(node), name: value})
        else:
            self._insert_after(_end(node), _lines(name, value, node.start_mark.column))

    def _remove(self, node: yaml.MappingNode, name: str) -> None:
        """Take a key away, and the lines it stands on; comments above it stay."""
        if node.flow_style:
            self._rewrite(node, {key: value for key, value in _plain(node).items() if str(key) != name})
            return
        found = _find(node, name)
        assert found
        start = self._text.rfind("\n", 0, found[0].start_mark.index) + 1
        self._edits.append((start, self._line_end(max(map(_end, found))), ""))

    def _rewrite(self, node: yaml.MappingNode, section: Section) -> None:
        """Write all of what stands between braces."""
        self._edits.append((node.start_mark.index, _end(node), _inline(dict(section))))

    def _insert_after(self, index: int, lines: Iterator[str]) -> None:
        """Write whole lines behind the one on which `index` is."""
        at = self._line_end(index)
        self._edits.append((at, at, "".join(line + self._newline for line in lines)))

    def _line_end(self, index: int) -> int:
        """Return where the line ends on which `index` is, its newline included."""
        end = self._text.find("\n", index)
        return len(self._text) if end < 0 else end + 1


def _find(node: yaml.MappingNode, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    return next(((key, value) for key, value in node.value if str(key.value) == name), None)


def _plain(node: yaml.Node) -> Any:
    """Return what a node says, as plain data."""
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(deepcopy(node))  # which it changes where keys are merged
    finally:
        loader.dispose()


def _end(node: yaml.Node) -> int:
    """Return where a node ends: PyYAML takes what follows a block, comments too, for a part of it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return max(map(_end, last)) if isinstance(last, tuple) else _end(last)
    return int(node.end_mark.index)


def _inline(value: object, *, in_flow: bool = False) -> str:
    """Return a value as it may stand behind a key. in_flow: between braces, where commas need quotes."""
    text: str = yaml.safe_dump(
        [value] if in_flow else value,
        default_flow_style=True,
        width=_ALL,
        allow_unicode=True,
        sort_keys=False,
    )
    return text.strip()[1:-1] if in_flow else text.removesuffix("...\n").strip()


def _lines(name: str, value: object, column: int = 0) -> Iterator[str]:
    """Return a key and its value as lines: a camera's keys one a line, what is below them in brackets."""
    start = " " * column + _inline(name) + ":"
    is_camera = isinstance(value, dict) and "source" in value
    if isinstance(value, dict) and (is_camera or name == "cameras"):
        yield start
        for key, inner in value.items():
            yield from _lines(str(key), inner, column + INDENT)
    else:
        yield f"{start} {_inline(value)}"
