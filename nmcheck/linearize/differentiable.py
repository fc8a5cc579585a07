"""Which operators a first-order model says nothing about.

Two-stage moments come from derivatives, which torch gives for every operator that is executed. Of some operators the
derivative is zero wherever it exists, or they jump: a linearization of those is constant or misses the jump, and
moments made of it would be wrong without a sign of it. They are refused on values that depend on the sample. At kinks
(ReLU, maxima, clipping, absolute values) the derivative exists on both sides, and nothing is refused.
"""

from __future__ import annotations

from collections.abc import Mapping

from nmcheck.execute.table import Kind, row_for
from nmcheck.graph.between import nodes_between
from nmcheck.graph.ir import Graph, Node

_STEP = "its output is constant between jumps, so its derivative is zero and a linearization of it says nothing"
_CHOICE = "its output is a position or a truth value, which has no derivative"
_WHOLE = "it makes whole numbers or truth values, so its derivative is zero and a linearization of it says nothing"
_JUMP = "its output can jump, and a linearization does not see jumps"

REFUSED: Mapping[str, str] = {
    **dict.fromkeys(("Sign", "Floor", "Ceil", "Round", "QuantizeLinear"), _STEP),
    **dict.fromkeys(("ArgMax", "ArgMin"), _CHOICE),
    **dict.fromkeys(("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "Not"), _CHOICE),
    **dict.fromkeys(("Mod", "ThresholdedRelu"), _JUMP),
}
"""Operators of ONNX's own domain that are refused wherever their input depends on the sample, and why."""

SOMETIMES_REFUSED: Mapping[str, str] = {
    **dict.fromkeys(("Cast", "CastLike"), _WHOLE),
    "Shrink": _JUMP,
    "Where": "its condition depends on the sample, so its output can jump, and a linearization does not see jumps",
}
"""Operators that are refused in some uses, and why."""


def node_refusal(graph: Graph, node: Node) -> str | None:
    """Why moments cannot pass through a node that is executed, a sentence naming it; None if they can."""
    reason = None if node.domain else REFUSED.get(node.op)
    if reason is None and not node.domain and node.op in SOMETIMES_REFUSED and _is_refused(graph, node):
        reason = SOMETIMES_REFUSED[node.op]
    return None if reason is None else f"{node.name} ({node.op}): {reason}."


def _is_refused(graph: Graph, node: Node) -> bool:
    if node.op == "Where":
        return node.inputs[0] not in graph.constants
    if node.op == "Shrink":
        # Soft thresholding, bias = lambd >= 0, is continuous.
        lambd = node.attributes.get("lambd", 0.5)
        return node.attributes.get("bias", 0.0) != lambd or (isinstance(lambd, float) and lambd < 0)
    return row_for(node).kind_of(node, graph) is not Kind.AFFINE


def moments_refusal(graph: Graph) -> str | None:
    """Why the network has no analytic moments, a sentence naming the first node in the way; None if nothing is.

    Only nodes between the input and the logits count; a softmax or arg-max behind the logits is left out of everything.
    Whether all of them are executed, and whether there is a ReLU to cut the network at, are other questions.
    """
    for node in nodes_between(graph, graph.input, graph.logits):
        reason = node_refusal(graph, node)
        if reason is not None:
            return reason
    return None
