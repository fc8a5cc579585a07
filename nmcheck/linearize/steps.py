"""A network as steps that moments can be propagated through, from a program and its graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from nmcheck.errors import UnsupportedError
from nmcheck.execute.operands import Function, Operands
from nmcheck.execute.program import Program
from nmcheck.execute.row import Kind
from nmcheck.execute.table import row_for
from nmcheck.graph.between import nodes_between
from nmcheck.graph.ir import Graph, Node
from nmcheck.linearize.activations import HARMONIC, KINKED, SMOOTH
from nmcheck.linearize.differentiable import node_refusal
from nmcheck.linearize.powers import smooth_power
from nmcheck.linearize.spread import Spread, spread_of
from nmcheck.linearize.windows import POINTWISE, locality, pooling_taps
from nmcheck.steps import (
    AffineStep,
    LinearizedStep,
    Locality,
    MaximumStep,
    Network,
    PiecewiseLinearStep,
    ProductStep,
    SmoothStep,
    Step,
)

_REASONS: Mapping[str, str] = {
    "Softmax": "a softmax",
    "LRN": "a local response normalization",
    "LayerNormalization": "a layer normalization",
    "InstanceNormalization": "an instance normalization",
    "GroupNormalization": "a group normalization",
    "MatMul": "a product of two activations",
    "Div": "a division by an activation",
}


def network_of(program: Program) -> Network:
    """The steps from a program's input to its logits, in the program's precision.

    Raises:
        UnsupportedError: an operator jumps, so that it has neither moments by a rule nor a tangent.
    """
    graph = program.graph
    nodes = tuple(nodes_between(graph, graph.input, graph.logits))
    read = {graph.logits, *(name for node in nodes for name in graph.live_inputs(node))}
    steps: list[Step] = []
    for node in nodes:
        refusal = node_refusal(graph, node)
        if refusal is not None:
            raise UnsupportedError(f"{graph.model.path}: {refusal}")
        operands = Operands(graph, node, program.dtype, program.device)
        steps.extend(_steps(operands, program.node_function(node), read))
    return Network(graph.input, graph.logits, dict(graph.shapes) | _inner_shapes(steps, graph), tuple(steps))


def linearized_reasons(graph: Graph) -> dict[str, str]:
    """The nodes before the logits that have no rule and are replaced by their tangent, and what they are."""
    found: dict[str, str] = {}
    for node in nodes_between(graph, graph.input, graph.logits):
        if _is_linearized(graph, node):
            found[node.name] = _reason(node)
    return found


def _is_linearized(graph: Graph, node: Node) -> bool:
    live = set(graph.live_inputs(node))
    if row_for(node).kind_of(node, graph) in (Kind.AFFINE, Kind.SHAPE):
        return False
    if node.domain:
        return True
    if node.op in _MAXIMA or (node.op == "Mul"):
        return False
    elementwise = node.op in KINKED or node.op in SMOOTH or (node.op == "Pow" and smooth_power(graph, node))
    return not (elementwise and len(live) == 1)


def _steps(operands: Operands, raw: Function, read: set[str]) -> Sequence[Step]:
    node, graph = operands.node, operands.graph
    live = graph.live_inputs(node)
    inputs = tuple(dict.fromkeys(live))
    outputs = tuple(name for name in node.outputs if name in read)
    function = _tupled(raw, tuple(inputs.index(name) for name in live), _wanted(node, read))
    where = locality(operands)
    if row_for(node).kind_of(node, graph) in (Kind.AFFINE, Kind.SHAPE):
        spread = _selected(spread_of(operands, raw), _wanted(node, read))
        return [AffineStep(node.name, inputs, outputs, where, function, spread)]
    if _is_linearized(graph, node):
        return [LinearizedStep(node.name, inputs, outputs, where, function, _reason(node))]
    if node.op == "Mul":
        return [ProductStep(node.name, inputs, outputs, where)]
    if node.op in _MAXIMA:
        return _maximum(operands, inputs, outputs, where)

    def single(x: Tensor) -> Tensor:
        return function(x)[0]

    pointwise = POINTWISE if len(operands.output_shape) > 2 else None
    if node.op in KINKED:
        kinked = KINKED[node.op](operands)
        return [PiecewiseLinearStep(node.name, inputs, outputs, pointwise, single, *kinked)]
    kinks = SMOOTH[node.op](operands) if node.op in SMOOTH else ()
    return [SmoothStep(node.name, inputs, outputs, pointwise, single, kinks, HARMONIC.get(node.op))]


def _maximum(
    operands: Operands, inputs: tuple[str, ...], outputs: tuple[str, ...], where: Locality | None
) -> Sequence[Step]:
    node = operands.node
    sign, taps = _MAXIMA[node.op](operands)
    if sign > 0:
        return [MaximumStep(node.name, inputs, outputs, where, taps)]
    inner = f"{outputs[0]} negated"
    negated: Function = lambda *x: tuple(-tap for tap in taps(*x))  # noqa: E731
    turn: Callable[[Tensor], tuple[Tensor, ...]] = lambda x: (-x,)  # noqa: E731
    return [
        MaximumStep(node.name, inputs, (inner,), where, negated),
        AffineStep(node.name, (inner,), outputs, POINTWISE, turn, lambda variance: (variance,)),
    ]


def _inner_shapes(steps: Sequence[Step], graph: Graph) -> dict[str, tuple[int, ...]]:
    """Shapes of the values put between the two steps of a minimum."""
    return {
        step.inputs[0]: graph.shapes[step.outputs[0]]
        for step in steps
        if isinstance(step, AffineStep) and step.inputs[0] not in graph.shapes
    }


Taps = Callable[..., tuple[Tensor, ...]]


def _pooling(operands: Operands) -> tuple[int, Taps]:
    return 1, pooling_taps(operands)


def _over_axes(operands: Operands, axes: tuple[int, ...], sign: int) -> tuple[int, Taps]:
    output = operands.output_shape

    def taps(x: Tensor) -> tuple[Tensor, ...]:
        rest = [axis for axis in range(x.ndim) if axis not in axes]
        moved = x.permute(*axes, *rest).reshape(-1, *(x.shape[axis] for axis in rest))
        return tuple(tap.reshape(output) for tap in moved.unbind(0))

    return sign, taps


def _global(operands: Operands) -> tuple[int, Taps]:
    return _over_axes(operands, tuple(range(2, len(operands.shape(0)))), 1)


def _reduced(sign: int) -> Callable[[Operands], tuple[int, Taps]]:
    def build(operands: Operands) -> tuple[int, Taps]:
        rank = len(operands.shape(0))
        axes = operands.axes(1)
        if not axes and operands.integer("noop_with_empty_axes", 0):
            return sign, lambda x: (x,)
        return _over_axes(operands, tuple(axis % rank for axis in axes) if axes else tuple(range(rank)), sign)

    return build


def _of_values(sign: int) -> Callable[[Operands], tuple[int, Taps]]:
    """Max and Min of several values, constants among them."""

    def build(operands: Operands) -> tuple[int, Taps]:
        output = operands.output_shape
        inputs = [position for position in range(len(operands.node.inputs)) if operands.given(position)]
        live = tuple(dict.fromkeys(operands.graph.live_inputs(operands.node)))

        def taps(*values: Tensor) -> tuple[Tensor, ...]:
            given = dict(zip(live, values, strict=True))
            return tuple(
                given[operands.node.inputs[position]].expand(output)
                if operands.is_live(position)
                else operands.tensor(position).expand(output)
                for position in inputs
            )

        return sign, taps

    return build


_MAXIMA: Mapping[str, Callable[[Operands], tuple[int, Taps]]] = {
    "MaxPool": _pooling,
    "GlobalMaxPool": _global,
    "ReduceMax": _reduced(1),
    "ReduceMin": _reduced(-1),
    "Max": _of_values(1),
    "Min": _of_values(-1),
}


def _reason(node: Node) -> str:
    return _REASONS.get(node.op, f"{'an' if node.op[0] in 'AEIOU' else 'a'} {node.op}")


def _wanted(node: Node, read: set[str]) -> tuple[int, ...]:
    return tuple(position for position, name in enumerate(node.outputs) if name in read)


def _tupled(raw: Function, order: tuple[int, ...], wanted: tuple[int, ...]) -> Callable[..., tuple[Tensor, ...]]:
    """A function of each input once, whichever stands several times, to the outputs that are read."""

    def function(*values: Tensor) -> tuple[Tensor, ...]:
        found = raw(*(values[position] for position in order))
        return (found,) if isinstance(found, Tensor) else tuple(found[position] for position in wanted)

    return function


def _selected(spread: Spread | None, wanted: tuple[int, ...]) -> Spread | None:
    if spread is None:
        return None

    def selected(*variances: Tensor) -> tuple[Tensor, ...]:
        found = spread(*variances)
        return found if len(found) == len(wanted) else tuple(found[position] for position in wanted)

    return selected
