"""Reads YAML that others wrote: whatever it holds, there is plain data or one error that says where.

PyYAML's SafeLoader runs nothing, but lets errors of Python through (`2001-99-99`, `!!bool x`, 2,000
brackets), and data that are small to it and endless for all after it, such as aliases of aliases.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

MAX_DEPTH = 50
MAX_NODES = 200_000  # with every alias written out; a configuration of 1,000 cameras has 20,000
_MAX_DIGITS = 100

_TAG = "tag:yaml.org,2002:"
TEXT = f"{_TAG}str"
_MERGE = f"{_TAG}merge"
_PLAIN = {
    f"{_TAG}{name}" for name in ("map", "seq", "str", "null", "bool", "int", "float", "timestamp", "value")
}
_NUMBERS = {f"{_TAG}{name}" for name in ("int", "float")}
_FOREIGN = (ValueError, LookupError, AttributeError, TypeError, ArithmeticError)

Prepare = Callable[[yaml.Node], None]


class _Checked:
    """What is added to a loader of PyYAML: limits while nodes are put together, errors of one kind."""

    _depth = 0

    def compose_node(self: Any, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _problem(f"nested more than {MAX_DEPTH} deep", self.peek_event().start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)  # type: ignore[misc]
        self._depth -= 1
        if node is not None:
            _check(node)
        return node

    def construct_object(self: Any, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)  # type: ignore[misc]
        except _FOREIGN:
            kind = node.tag.removeprefix(_TAG)
            raise _problem(
                f"is read as {_KINDS.get(kind, kind)}, but is none; text needs quotes", node
            ) from None


_KINDS = {"int": "a number", "float": "a number", "bool": "true or false", "timestamp": "a date"}


class _Loader(_Checked, yaml.SafeLoader):
    """Gives numbers, booleans and dates for what looks so."""


class _TextLoader(_Checked, yaml.BaseLoader):
    """Gives text for every value, as it was written."""


def load_yaml(text: str, *, as_text: bool = False, prepare: Prepare | None = None) -> object:
    """Return what `text` holds as plain data, None where it holds nothing.

    as_text: each value as the text that was written. prepare: changes the nodes before they become data.

    Raises yaml.YAMLError and nothing else: besides what is no YAML, for keys that are no words or stand
    twice, tags of other types, NUL and half characters, numbers of more than 100 digits, and more than 50
    levels or 200,000 values.
    """
    loader: Any = None
    try:
        loader = (_TextLoader if as_text else _Loader)(text)
        root = loader.get_single_node()
        if root is None:
            return None
        _count(root, {})
        if prepare is not None:
            prepare(root)
        return loader.construct_document(root)
    except (*_FOREIGN, RecursionError):  # of the scanner: "\UFFFFFFFF", %YAML 1.99…
        raise _problem("is not valid", loader.get_mark() if loader else None) from None
    finally:
        if loader is not None:
            loader.dispose()


def _check(node: yaml.Node) -> None:
    if node.tag not in _PLAIN and node.tag != _MERGE:
        # Worded as PyYAML does, for who adds a hint to it.
        raise _problem(f"could not determine a constructor for the tag {node.tag!r}", node)
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
    elif isinstance(node, yaml.ScalarNode):
        if not node.value.isascii() and any("\ud800" <= character <= "\udfff" for character in node.value):
            raise _problem("half a character (a surrogate), which is no text", node)
        if "\0" in node.value:
            raise _problem("a NUL character, which is no text", node)
        if node.tag in _NUMBERS and len(node.value) > _MAX_DIGITS:
            raise _problem(f"a number of {len(node.value)} digits; text needs quotes", node)


def _check_keys(node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _problem("a key must be a word, not a list or a section", key)
        if key.value in seen and key.tag != _MERGE:
            raise _problem(f"the key {key.value!r} stands twice", key)
        seen.add(key.value)


def _count(node: yaml.Node, counts: dict[int, int | None]) -> int:
    """Return how many nodes there are with each alias written out; refuse too many, and what holds itself."""
    key = id(node)
    known = counts.get(key, 0)
    if known is None:
        raise _problem("an alias stands inside what it stands for", node)
    if known:
        return known
    counts[key] = None
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        children = [child for pair in node.value for child in pair]
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    count = 1 + sum(_count(child, counts) for child in children)
    if count > MAX_NODES:
        raise _problem(f"more than {MAX_NODES} values, with aliases written out", node)
    counts[key] = count
    return count


def _problem(what: str, where: yaml.Node | yaml.Mark | None) -> yaml.MarkedYAMLError:
    mark = where.start_mark if isinstance(where, yaml.Node) else where
    return yaml.MarkedYAMLError(problem=what, problem_mark=mark)
