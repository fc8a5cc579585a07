"""How large a model becomes when its local functions are put in the place of their calls.

A function may call others, each of them several times, so that a file of a kilobyte can stand for more nodes than any
memory holds; and a function that calls itself never ends.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from onnx import ModelProto, NodeProto

from nmcheck.errors import ModelError, UnsupportedError

MOST_NODES = 100_000
"""Nodes of the largest model that is expanded; the largest classifiers have some thousand."""

_Key = tuple[str, str, str]
"""Domain, name and overload of a function."""


def check_expansion(path: Path, model: ModelProto) -> None:
    """Refuse functions that call themselves, or that make the model absurdly large.

    Raises:
        ModelError: a function calls itself, directly or through others.
        UnsupportedError: the expanded model would have more than ``MOST_NODES`` nodes.
    """
    functions = {(function.domain, function.name, function.overload): function for function in model.functions}
    sizes: dict[_Key, int] = {}
    entered: set[_Key] = set()
    calls = {key: _calls(function.node, functions) for key, function in functions.items()}
    # Without recursion, because a chain of calls may be longer than Python's own.
    waiting = list(functions)
    while waiting:
        key = waiting[-1]
        missing = [called for called, _ in calls[key][1] if called not in sizes]
        if not missing:
            sizes[waiting.pop()] = _size(calls[key], sizes)
        elif key in entered:
            raise ModelError(
                f"{path}: the model's local function '{key[1]}' calls itself, so it never ends; the file is damaged, "
                "so export it again."
            )
        else:
            entered.add(key)
            waiting.extend(missing)
    size = _size(_calls(model.graph.node, functions), sizes)
    if size > MOST_NODES:
        raise UnsupportedError(
            f"{path}: the model has more than {MOST_NODES:,} nodes once its local functions are expanded; export it "
            "without functions, or a smaller model."
        )


def _calls(nodes: Iterable[NodeProto], functions: Collection[_Key]) -> tuple[int, list[tuple[_Key, int]]]:
    """Number of nodes that are no calls, and how often each function is called; branches of control flow included."""
    own, found, waiting = 0, dict[_Key, int](), list(nodes)
    while waiting:
        node = waiting.pop()
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                waiting.extend(graph.node)
        key = (node.domain, node.op_type, node.overload)
        if key in functions:
            found[key] = found.get(key, 0) + 1
        else:
            own += 1
    return own, list(found.items())


def _size(calls: tuple[int, list[tuple[_Key, int]]], sizes: dict[_Key, int]) -> int:
    own, called = calls
    return min(MOST_NODES + 1, own + sum(times * sizes[key] for key, times in called))
