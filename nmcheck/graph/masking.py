"""Classes switched off by minus infinity: their logit is -inf for every input, so they are never chosen.

Minus infinity leaves no mean, no variance and no slope to compute with. So it is looked for behind the last layer, in
the constants that a file adds to its logits or picks for them, and the finite number ``NEVER`` is put there instead.
The logit then depends on nothing, and what is said of the other classes is what it would be without the masked one. An
infinity that cannot be traced to a constant, or that depends on the sample, stays what it is: a network whose outputs
are not finite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Shaped

from nmcheck.counting import counted
from nmcheck.graph.ir import Graph, Node

NEVER = -(2.0**100)
"""What stands for minus infinity: far below any logit, the same number in single and double precision, and so small
that a sum of such numbers is finite in either."""

_RENAMING = ("Identity", "Dropout", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
_FLOATS = (1, 11)
"""ONNX's codes of float and double."""
_WHERE_SINCE = 9

Mask = Bool[np.ndarray, "*shape"]
"""Which elements of a value are minus infinity for every input."""


@dataclass(frozen=True)
class _Step:
    """A node that the masked value passes, with numbers instead of infinities.

    Attributes:
        nodes: what takes its place: the node itself, perhaps one in front of it.
        constants: what these read anew.
        shapes: of values that are new.
        masked: elements of its output that are minus infinity in the file.
    """

    nodes: tuple[Node, ...]
    masked: Mask
    constants: Mapping[str, np.ndarray]
    shapes: Mapping[str, tuple[int, ...]]


def with_masked_classes(graph: Graph) -> Graph:
    """The graph with ``NEVER`` for each logit that is minus infinity for every sample, and these named in ``masked``.

    They are found where the mask is a constant that is added to or subtracted from the logits, picked by a constant
    condition, concatenated, or the bias of the last Gemm; renaming, scaling by positive constants and shifting by
    finite ones may follow. Without such a mask, or if every class is masked, it is the graph itself.
    """
    chain = _chain(graph)
    if not chain:
        return graph
    masked: Mask = np.zeros(graph.shapes[graph.live_inputs(chain[0])[0]], dtype=bool)
    changed: dict[str, tuple[Node, ...]] = {}
    constants, shapes = dict(graph.constants), dict(graph.shapes)
    for node in chain:
        step = _RULES[node.op](graph, node, masked)
        if step is None:
            return graph
        masked = step.masked
        changed[node.name] = step.nodes
        constants |= step.constants
        shapes |= step.shapes
    if not masked.any() or masked.all():
        return graph
    nodes = tuple(new for node in graph.nodes for new in changed.get(node.name, (node,)))
    read = {value for node in nodes for value in node.inputs} | {graph.output}
    found = tuple(int(place) for place in np.flatnonzero(masked))
    return replace(
        graph,
        nodes=nodes,
        constants={name: array for name, array in constants.items() if name in read},
        shapes=shapes,
        masked=found,
        notes=(*graph.notes, _note(found)),
    )


def _note(masked: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, masked[:10])) + (", ..." if len(masked) > 10 else "")
    if len(masked) == 1:
        return f"Class {shown} is masked: its logit is minus infinity for every input, so it is never chosen."
    count = counted(len(masked), "class", "classes")
    return f"{count} are masked ({shown}): their logits are minus infinity for every input, so they are never chosen."


def _chain(graph: Graph) -> list[Node]:
    """The nodes that only the logits come from, as far back as a mask may stand, from the first on."""
    chain: list[Node] = []
    value = graph.logits
    while (node := graph.producers.get(value)) is not None and node.op in _RULES and not node.domain:
        live = graph.live_inputs(node)
        alone = value == graph.logits or (len(graph.consumers[value]) == 1 and value != graph.output)
        if len(live) != 1 or not alone:
            break
        chain.insert(0, node)
        if node.op == "Gemm":
            break
        value = live[0]
    return chain


def _renamed(graph: Graph, node: Node, masked: Mask) -> _Step | None:
    if node.inputs[0] in graph.constants:
        # What depends on the sample is a Dropout's ratio, which changes nothing.
        return _unchanged(graph, node)
    if node.op == "Cast" and node.attributes.get("to") not in _FLOATS:
        return None if masked.any() else _unchanged(graph, node)
    return _Step((node,), masked.reshape(graph.shapes[node.outputs[0]]), {}, {})


def _unchanged(graph: Graph, node: Node) -> _Step:
    return _Step((node,), np.zeros(graph.shapes[node.outputs[0]], dtype=bool), {}, {})


def _shifted(graph: Graph, node: Node, masked: Mask) -> _Step | None:
    """Add and Sub of a constant: its infinities make the mask, what it adds to masked elements does not count."""
    shape = graph.shapes[node.outputs[0]]
    live, constant = _operands(graph, node)
    sign = -1.0 if node.op == "Sub" and constant == 1 else 1.0
    added = np.broadcast_to(graph.constants[node.inputs[constant]], shape)
    if node.op == "Sub" and constant == 0 and masked.any():
        return None
    new = _below_all(sign * added)
    if not np.isfinite(added[~new]).all():
        return None
    before = np.broadcast_to(masked, shape)
    if not (before | new).any():
        return _unchanged(graph, node)
    # Masked once more, an element is masked by the first.
    finite = np.where(before, 0.0, np.where(new, sign * NEVER, added)).astype(added.dtype)
    step = _with_constants(graph, node, before | new, {constant: finite})
    return _behind_a_choice(graph, step, live, new & ~before) if (new & ~before).any() else step


def _scaled(graph: Graph, node: Node, masked: Mask) -> _Step | None:
    """Mul and Div by a constant: minus infinity stays what it is where the factor is positive."""
    if not masked.any():
        return _unchanged(graph, node)
    live, constant = _operands(graph, node)
    shape = graph.shapes[node.outputs[0]]
    factors = np.broadcast_to(graph.constants[node.inputs[constant]], shape)
    before = np.broadcast_to(masked, shape)
    if (node.op == "Div" and live == 1) or not (np.isfinite(factors) & (factors > 0))[before].all():
        return None
    neutral = np.where(before, 1.0, factors).astype(factors.dtype)
    return _with_constants(graph, node, before, {constant: neutral})


def _picked(graph: Graph, node: Node, masked: Mask) -> _Step | None:
    """Where with a constant condition."""
    if node.inputs[0] not in graph.constants:
        return None if masked.any() else _unchanged(graph, node)
    shape = graph.shapes[node.outputs[0]]
    condition = np.broadcast_to(graph.constants[node.inputs[0]].astype(bool), shape)
    _, constant = _operands(graph, node, first=1)
    picks_constant = condition if constant == 1 else ~condition
    other = np.broadcast_to(graph.constants[node.inputs[constant]], shape)
    new = picks_constant & _below_all(other)
    if not np.isfinite(other[picks_constant & ~new]).all():
        return None
    after = new | (np.broadcast_to(masked, shape) & ~picks_constant)
    if not after.any():
        return _unchanged(graph, node)
    finite = np.where(new, NEVER, np.where(picks_constant, other, 0.0)).astype(other.dtype)
    return _with_constants(graph, node, after, {constant: finite})


def _joined(graph: Graph, node: Node, masked: Mask) -> _Step | None:
    """Concat with constants."""
    axis = node.attributes.get("axis")
    constants = {place: graph.constants[name] for place, name in enumerate(node.inputs) if name in graph.constants}
    if not isinstance(axis, int) or len(constants) != len(node.inputs) - 1:
        return None
    new = {place: _below_all(array) for place, array in constants.items()}
    if not all(np.isfinite(array[~new[place]]).all() for place, array in constants.items()):
        return None
    after = np.concatenate([new.get(place, masked) for place in range(len(node.inputs))], axis=axis)
    finite = {place: np.where(new[place], NEVER, array).astype(array.dtype) for place, array in constants.items()}
    return _with_constants(graph, node, after, finite) if after.any() else _unchanged(graph, node)


def _biased(graph: Graph, node: Node, _masked: Mask) -> _Step | None:
    """The last dense layer with minus infinity in its bias."""
    if len(node.inputs) < 3:
        return _unchanged(graph, node)
    weight, bias = (graph.constants.get(name) for name in node.inputs[1:3])
    beta = node.attributes.get("beta", 1.0)
    if bias is None or weight is None or not _below_all(bias).any():
        return _unchanged(graph, node)
    shape = graph.shapes[node.outputs[0]]
    new = np.broadcast_to(_below_all(bias), shape)
    # One row of weights serves all samples, so a class is masked in all rows or in none.
    if beta != 1.0 or not (new == new[:1]).all() or not np.isfinite(bias[~_below_all(bias)]).all():
        return None
    columns = new[:1].T if node.attributes.get("transB", 0) else new[:1]
    kept = np.where(columns, 0.0, weight).astype(weight.dtype)
    finite = np.where(_below_all(bias), NEVER, bias).astype(bias.dtype)
    return _with_constants(graph, node, new, {1: kept, 2: finite})


def _below_all(array: Shaped[np.ndarray, "*shape"]) -> Mask:
    """Where an array is minus infinity; nowhere if it holds no floating-point numbers."""
    return np.asarray(array == -np.inf)


def _operands(graph: Graph, node: Node, first: int = 0) -> tuple[int, int]:
    """Places of the live operand and of the constant one."""
    places = range(first, first + 2)
    live = next(place for place in places if node.inputs[place] not in graph.constants)
    return live, 2 * first + 1 - live


def _with_constants(graph: Graph, node: Node, masked: Mask, arrays: Mapping[int, np.ndarray]) -> _Step:
    """The node with other constants at some of its operands, under names of their own."""
    names = {place: _free(f"{node.name}:operand_{place}_finite", graph) for place in arrays}
    inputs = tuple(names.get(place, name) for place, name in enumerate(node.inputs))
    constants = {names[place]: array for place, array in arrays.items()}
    return _Step((replace(node, inputs=inputs),), masked, constants, {})


def _behind_a_choice(graph: Graph, step: _Step, live: int, dropped: Mask) -> _Step:
    """The same behind a Where that puts zero for elements that are masked from here on."""
    (node,) = step.nodes
    chosen, condition, zero = (_free(f"{node.name}:{what}", graph) for what in ("unmasked", "masked", "zero"))
    pick = Node(chosen, "Where", "", _WHERE_SINCE, (condition, zero, node.inputs[live]), (chosen,), {}, -1)
    inputs = tuple(chosen if place == live else name for place, name in enumerate(node.inputs))
    return replace(
        step,
        nodes=(pick, replace(node, inputs=inputs)),
        constants={**step.constants, condition: dropped, zero: np.zeros((), dtype=np.float32)},
        shapes={chosen: dropped.shape},
    )


def _free(name: str, graph: Graph) -> str:
    """``name``, or a variant of it if the file has a value of that name."""
    taken = name in graph.constants or name in graph.shapes
    return _free(f"{name}_", graph) if taken else name


_RULES: Mapping[str, Callable[[Graph, Node, Mask], _Step | None]] = {
    **dict.fromkeys((*_RENAMING, "Cast"), _renamed),
    **dict.fromkeys(("Add", "Sub"), _shifted),
    **dict.fromkeys(("Mul", "Div"), _scaled),
    "Where": _picked,
    "Concat": _joined,
    "Gemm": _biased,
}
