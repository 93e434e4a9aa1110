"""Refuses TensorFlow graphs that reach for files, programs or the network when they are loaded or run.

A graph is a program, and TensorFlow runs whatever it says:
https://github.com/tensorflow/tensorflow/blob/master/SECURITY.md
No detector needs these operations; those that every SavedModel has for saving itself are never run here,
so only what can run is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from detector.errors import ModelError

_FORBIDDEN = re.compile(
    r"WriteFile|ReadFile|MatchingFiles|WholeFileReader.*|.*RecordReader.*|TextLineReader.*|LMDBReader"
    r"|Save|SaveV2|SaveSlices|MergeV2Checkpoints|PrintV2|Debug.*|.*Summary(File|Db)Writer"
    r"|(Experimental)?(TextLine|TFRecord|FixedLengthRecord|Sql|LMDB|CSV)Dataset.*"
    r"|(Experimental)?(Save|Load|Snapshot|Cache|DataService)Dataset.*"
    r"|DatasetToTFRecord|ExperimentalDatasetToTFRecord|RegisterDataset.*"
    r"|PyFunc.*|EagerPyFunc|RemoteCall|RemoteFusedGraphExecute|RpcCall|RpcClient|RpcServer.*"
)


def check_saved_model(graph: Any) -> None:
    """Raise ModelError when something in a MetaGraphDef can run that is forbidden."""
    roots = [info.name for signature in graph.signature_def.values() for info in signature.outputs.values()]
    roots += [graph.saver_def.restore_op_name, *_initializers(graph)]
    nodes = {node.name: node for node in graph.graph_def.node}
    _check(graph.graph_def.library, _reached(nodes, roots), graph.object_graph_def.concrete_functions)


def check_frozen_graph(definition: Any, outputs: Iterable[str]) -> None:
    """Raise ModelError when something in a GraphDef on the way to `outputs` is forbidden."""
    nodes = {node.name: node for node in definition.node}
    _check(definition.library, _reached(nodes, outputs), ())


def _initializers(graph: Any) -> Iterator[str]:
    """Return the operations that TensorFlow 1 models run when they are loaded."""
    for key in ("saved_model_main_op", "legacy_init_op"):
        if key in graph.collection_def:
            yield from graph.collection_def[key].node_list.value


def _reached(nodes: dict[str, Any], outputs: Iterable[str]) -> list[Any]:
    """Return the nodes that are computed for `outputs`, names of nodes or their tensors."""
    rest = [_node_of(name) for name in outputs]
    reached: dict[str, Any] = {}
    while rest:
        name = rest.pop()
        if name in nodes and name not in reached:
            reached[name] = nodes[name]
            rest.extend(_node_of(source) for source in nodes[name].input)
    return list(reached.values())


def _node_of(tensor: str) -> str:
    return tensor.lstrip("^").partition(":")[0]


def _check(library: Any, nodes: Iterable[Any], functions: Iterable[str]) -> None:
    by_name = {function.signature.name: function for function in library.function}
    seen: set[str] = set()
    rest = [*functions, *_called(nodes)]
    while rest:
        name = rest.pop()
        if name in by_name and name not in seen:
            seen.add(name)
            rest.extend(_called(by_name[name].node_def))


def _called(nodes: Iterable[Any]) -> Iterator[str]:
    """Return the functions that `nodes` call. Raises ModelError for a forbidden one."""
    for node in nodes:
        if _FORBIDDEN.fullmatch(node.op):
            raise ModelError(
                f"the operation {node.op} ({node.name}) reaches for files or programs; "
                "supported: graphs that only compute"
            )
        yield node.op  # a function may be called as if it were an operation
        for value in node.attr.values():
            yield from (function.name for function in (value.func, *value.list.func))
