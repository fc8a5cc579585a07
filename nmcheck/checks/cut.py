"""Which ReLU the two-stage engines linearize the network around."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nmcheck.errors import UsageError
from nmcheck.graph.cuts import cut_points
from nmcheck.graph.ir import Graph, Node
from nmcheck.linearize.budget import budget_refusal

NO_RELU = (
    "the model has no ReLU between its input and its logits, nor a ReLU-decomposable activation (LeakyRelu, PRelu, "
    "Clip, Max or Min with constants), and the two-stage engines need one to linearize around"
)


Refusal = Callable[[Graph, Node], str | None]
"""Why a network cannot be linearized at a ReLU, None if it can."""


def choose_cut(graph: Graph, wanted: str, refusal: Refusal = budget_refusal) -> Node | None:
    """The ReLU node, or ReLU-decomposable activation, that ``wanted`` means.

    ``first`` and ``last`` mean those ReLUs that every path from the input to the logits crosses; where there is none,
    all that the logits depend on. ReLUs whose matrices do not fit in memory are passed over. A node's name means that
    node, whether every path crosses it or not. (``best`` needs more than a graph: ``best_cut``.)

    Args:
        graph: the network.
        wanted: ``first``, ``last`` or a node's name.
        refusal: whether what is made at a ReLU fits in memory.

    Returns:
        The node; None if ``wanted`` is ``first`` or ``last`` and no ReLU comes into question (``no_cut_reason``).

    Raises:
        UsageError: ``wanted`` names no ReLU that the logits depend on, or one whose matrices do not fit in memory.
    """
    points = cut_points(graph)
    relus = [point.node for point in points]
    if wanted in ("first", "last"):
        cuts = [point.node for point in points if point.kind == "cut"]
        fitting = _fitting(graph, cuts, refusal) or _fitting(graph, relus, refusal)
        return fitting[0 if wanted == "first" else -1] if fitting else None
    for node in relus:
        if node.name == wanted:
            _check_budget(graph, node, relus, refusal)
            return node
    names = ", ".join(node.name for node in relus) or "none: this model has no such ReLU"
    if wanted in graph.by_name:
        raise UsageError(
            f"--cut {wanted}: that node is {_article(graph.by_name[wanted].op)}, not a ReLU that the logits depend on; "
            f"choose first, last, best or one of: {names}."
        )
    raise UsageError(
        f"--cut {wanted}: the model has no node of that name; choose first, last, best or one of: {names}."
    )


def no_cut_reason(graph: Graph, refusal: Refusal = budget_refusal) -> str:
    """Why ``choose_cut`` found no ReLU."""
    points = cut_points(graph)
    if not points:
        return NO_RELU
    # Where there is a cut, its figures; it is the smaller model.
    shown = [point.node for point in points if point.kind == "cut"] or [point.node for point in points]
    return f"the network cannot be linearized around any of its ReLUs: {refusal(graph, shown[-1])}"


def _fitting(graph: Graph, relus: Sequence[Node], refusal: Refusal) -> list[Node]:
    return [node for node in relus if refusal(graph, node) is None]


def _check_budget(graph: Graph, node: Node, relus: list[Node], refusal: Refusal) -> None:
    reason = refusal(graph, node)
    if reason is None:
        return
    later = [other.name for other in _fitting(graph, relus[relus.index(node) + 1 :], refusal)]
    advice = f"take a later one: {', '.join(later)}" if later else "no later ReLU is small enough"
    raise UsageError(f"--cut {node.name}: {reason}; {advice}.")


def _article(op: str) -> str:
    return f"{'an' if op[0] in 'AEIOU' else 'a'} {op}"
