"""Which ReLU the two-stage engines cut the network at."""

from __future__ import annotations

from nmcheck.errors import UsageError
from nmcheck.graph.cuts import relu_cuts
from nmcheck.graph.ir import Graph, Node


def choose_cut(graph: Graph, wanted: str) -> Node | None:
    """The ReLU node that ``wanted`` (``first``, ``last`` or a node name) means; None if the graph has no cut.

    Raises:
        UsageError: ``wanted`` names no ReLU that every path from the input to the logits crosses.
    """
    cuts = relu_cuts(graph)
    if wanted in ("first", "last"):
        return cuts[0 if wanted == "first" else -1] if cuts else None
    for node in cuts:
        if node.name == wanted:
            return node
    names = ", ".join(node.name for node in cuts) or "none: this model has no such ReLU"
    if wanted in graph.by_name:
        raise UsageError(
            f"--cut {wanted}: that node is {_article(graph.by_name[wanted].op)}, not a ReLU that every path from the "
            f"input to the logits crosses; choose first, last or one of: {names}."
        )
    raise UsageError(f"--cut {wanted}: the model has no node of that name; choose first, last or one of: {names}.")


def _article(op: str) -> str:
    return f"{'an' if op[0] in 'AEIOU' else 'a'} {op}"
