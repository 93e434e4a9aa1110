"""What is written of a configuration, in YAML and on the command line, as plain data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from detector.plain_yaml import TEXT, load_yaml
from stream_server.errors import ConfigError

_LABELS = "classes"  # the key of every list of labels


_YAML_HINTS = dict.fromkeys(
    ("mapping values are not allowed here", "expected ',' or '}', but got ':'"),
    "; text with a colon, such as 'demo:', needs quotes",
)


_TAG_OR_ALIAS = re.compile(r"\b(tag|alias|handle) '.*'")


def _explain(problem: str) -> str:
    """Return what PyYAML found wrong, with a hint; a password without quotes is not repeated."""
    said = _TAG_OR_ALIAS.sub(r"\1", problem)
    hint = "; text that begins with ! or *, as passwords do, needs quotes" if said != problem else ""
    return said + (hint or _YAML_HINTS.get(problem, ""))


def read_text(path: Path) -> str:
    """Return what is in a file, its ends of lines as they are. Raises ConfigError."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not a text file in UTF-8") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the sections of a file. Raises ConfigError."""
    return parse_yaml(read_text(path), str(path))


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """Return the sections that `text` holds. Raises ConfigError, in which `where` names its origin."""
    try:
        data = load_yaml(text, prepare=_keep_words)
    except yaml.MarkedYAMLError as exc:
        at = f":{exc.problem_mark.line + 1}:{exc.problem_mark.column + 1}" if exc.problem_mark else ""
        raise ConfigError(f"{where}{at}: is not valid YAML: {_explain(str(exc.problem))}") from None
    except yaml.YAMLError as exc:
        raise ConfigError(f"{where}: is not valid YAML: {' '.join(str(exc).split())}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(
            f"{where}: expected the sections server, auth, api, detector, videos and cameras, "
            f"got {type(data).__name__}"
        )
    return data


def compose(
    data: Mapping[str, Any], sections: Mapping[str, object], overrides: Iterable[str]
) -> dict[str, Any]:
    """Return `data` with whole sections replaced, and changed by `key.path=value` overrides.

    Raises ConfigError for an override that is none.
    """
    composed = deepcopy({**data, **sections})
    for override in overrides:
        _apply_override(composed, override)
    return composed


def _apply_override(data: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {override}: expected KEY.PATH=VALUE, e.g. cameras.front.stream.fps=10")
    *parents, last = path.split(".")
    value = _read_value(text, last)
    for key in parents:
        data = data.setdefault(key, {})
        if not isinstance(data, dict):
            raise ConfigError(f"--set {override}: {key} is not a section")
    data[last] = value


def _keep_words(node: yaml.Node, key: str = "") -> None:
    """Let keys and names of classes be the text that was written: `[no, yes]` are two words, no booleans."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            _be_text(name)
            _keep_words(value, name.value)
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            if key == _LABELS:
                _be_text(each)
            _keep_words(each)


def _be_text(node: yaml.Node) -> None:
    if isinstance(node, yaml.ScalarNode) and node.tag != "tag:yaml.org,2002:merge":
        node.tag = TEXT


def _read_value(text: str, key: str) -> object:
    """Return what `text` is in YAML, where people mean YAML: neither `demo:` nor `*` in an address is any."""
    try:
        value = load_yaml(text, prepare=lambda node: _keep_words(node, key))
    except yaml.YAMLError:
        return text
    is_section = isinstance(value, dict) and not text.lstrip().startswith("{")
    return text if is_section else value
