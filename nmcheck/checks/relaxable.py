"""Which nodes linear relaxation has lines for, said without torch: ``nmcheck inspect`` does not load it.

What is really accepted is decided by ``bounds.relaxation.preparation``, from torch functions; a test holds the two
together, operator by operator. One refusal is not foreseen here: an affine operator that is neither a product with
constant weights nor one whose outputs each read one element, with more than 2^24 pairs of inputs and outputs.
"""

from __future__ import annotations

from nmcheck.bounds.layers import lrn_of
from nmcheck.bounds.sliding_window import number
from nmcheck.execute.row import Kind
from nmcheck.execute.table import row_for
from nmcheck.graph.ir import Graph, Node
from nmcheck.linearize.differentiable import node_refusal
from nmcheck.linearize.powers import smooth_power

KINKED = frozenset({"Relu", "LeakyRelu", "PRelu", "Abs", "Clip", "HardSigmoid", "Shrink"})
"""Piecewise linear functions of one element."""
CURVED = frozenset(
    {"Sigmoid", "Tanh", "Softplus", "Erf", "Atan", "Asinh", "Sin", "Cos", "Softsign", "HardSwish", "Mish", "Gelu",
     "Swish", "Elu", "Celu", "Selu", "Exp", "Sinh", "Cosh"}
)  # fmt: skip
"""Smooth functions of one element whose curvature is known; powers are a case of their own."""
MAXIMA = frozenset({"MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin", "Max", "Min"})
NO_LINES = "nmcheck has no linear bounds for this operator"
NO_JOINT_LINES = "nmcheck has linear bounds for this operator only where one of its inputs depends on the sample"
NO_JUMPS = "its output jumps or makes steps, and nmcheck has no linear bounds for that"
NO_CURVATURE = "its attributes give it no finite curvature"
NO_POWER = "nmcheck has linear bounds for the exponents 2, 3 and 4 only"


def relaxation_refusal(graph: Graph, node: Node) -> str | None:
    """Why linear relaxation cannot pass a node that is executed, a sentence naming it; None if it can."""
    reason = _reason(graph, node) if node_refusal(graph, node) is None else NO_JUMPS
    return None if reason is None else f"{node.name} ({node.op}): {reason}."


def _reason(graph: Graph, node: Node) -> str | None:
    if row_for(node).kind_of(node, graph) in (Kind.AFFINE, Kind.SHAPE):
        return None
    if node.op == "LRN":
        return _response(node)
    if node.domain or node.op not in KINKED | CURVED | MAXIMA | {"Mul", "Pow"}:
        return NO_LINES
    if node.op == "Pow":
        return None if smooth_power(graph, node) else NO_POWER
    if node.op in KINKED | CURVED and len(set(graph.live_inputs(node))) > 1:
        return NO_JOINT_LINES
    return NO_CURVATURE if node.op == "Celu" and number(node, "alpha", 1.0) <= 0 else None


def _response(node: Node) -> str | None:
    try:
        lrn_of(node)
    except ValueError as error:
        return str(error).rstrip(".")
    return None
