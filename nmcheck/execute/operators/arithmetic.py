"""Sums, products, powers and comparisons, elementwise with broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce

from nmcheck.execute.on_demand import Tensor, torch
from nmcheck.execute.operands import Function, Operands
from nmcheck.execute.row import Kind, OperatorRow, affine_in_first, affine_in_one
from nmcheck.graph.ir import Graph, Node


def elementwise(function: Callable[..., Tensor]) -> Callable[[Operands], Function]:
    """A builder for an operator that torch has under another name, constants on either side."""
    return lambda operands: operands.filled(function)


def _sum(*values: Tensor) -> Tensor:
    return reduce(torch.add, values)


def _mean(*values: Tensor) -> Tensor:
    return reduce(torch.add, values) / len(values)


def _max(*values: Tensor) -> Tensor:
    return reduce(torch.maximum, values)


def _min(*values: Tensor) -> Tensor:
    return reduce(torch.minimum, values)


def divide(operands: Operands) -> Function:
    """Div; between whole numbers the quotient's whole part."""
    return operands.filled(
        partial(torch.div, rounding_mode="trunc") if _whole(operands.node, operands.graph) else torch.div
    )


def _divide_kind(node: Node, graph: Graph) -> Kind:
    return Kind.PIECEWISE_LINEAR if _whole(node, graph) else affine_in_first(node, graph)


def _whole(node: Node, graph: Graph) -> bool:
    """Whether an operator with operands of one type works on whole numbers.

    A constant operand says so; where all depend on the sample, they are whole only behind a cast, an arg-max or a
    quantization, which are looked for along the operators that keep the type of their first operand.
    """
    while True:
        constants = [graph.constants[value] for value in node.inputs if value in graph.constants]
        if constants and node.op in _ONE_TYPE:
            return constants[0].dtype.kind in "iu"
        if node.op == "Cast":
            return node.attributes.get("to") in _WHOLE_TYPES
        if node.op in ("ArgMax", "ArgMin", "QuantizeLinear"):
            return True
        before = graph.producers.get(next((value for value in node.inputs if value not in graph.constants), ""))
        if before is None or node.op in ("DequantizeLinear", "CastLike"):
            return False
        node = before


def _power_kind(node: Node, graph: Graph) -> Kind:
    exponent = graph.constants.get(node.inputs[1])
    return Kind.AFFINE if exponent is not None and bool((exponent == 1).all()) else Kind.SMOOTH


def power(operands: Operands) -> Function:
    """Pow; a whole exponent stays a number, so that negative bases keep their derivative."""
    exponent = None if operands.is_live(1) else operands.required(1)
    if exponent is not None and exponent.size == 1 and len(operands.shape(0)) >= exponent.ndim:
        number = exponent.item()
        return lambda base: torch.pow(base, number)
    return operands.filled(torch.pow)


def mod(operands: Operands) -> Function:
    """Mod: like Python's, or like C's with ``fmod``."""
    return operands.filled(torch.fmod if operands.integer("fmod", 0) else torch.remainder)


def _where_kind(node: Node, graph: Graph) -> Kind:
    return Kind.AFFINE if node.inputs[0] in graph.constants else Kind.PIECEWISE_LINEAR


def _where(condition: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(condition.bool(), yes, no)


_ONE_TYPE = frozenset({"Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mod"})
"""Operators whose operands are all of one type, which is the result's."""
_WHOLE_TYPES = frozenset({2, 3, 4, 5, 6, 7, 12, 13})
"""ONNX's codes of the types of whole numbers that arithmetic is defined on."""

_COMPARISONS: dict[str, Callable[..., Tensor]] = {
    "Equal": torch.eq,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "And": torch.logical_and,
    "Or": torch.logical_or,
    "Xor": torch.logical_xor,
    "Not": torch.logical_not,
}

ROWS = (
    OperatorRow("Add", Kind.AFFINE, elementwise(torch.add)),
    OperatorRow("Sub", Kind.AFFINE, elementwise(torch.sub)),
    OperatorRow("Mul", Kind.AFFINE, elementwise(torch.mul), affine_in_one),
    OperatorRow("Div", Kind.AFFINE, divide, _divide_kind),
    OperatorRow("Sum", Kind.AFFINE, elementwise(_sum)),
    OperatorRow("Mean", Kind.AFFINE, elementwise(_mean)),
    OperatorRow("Neg", Kind.AFFINE, elementwise(torch.neg)),
    OperatorRow("Pow", Kind.SMOOTH, power, _power_kind),
    OperatorRow("Mod", Kind.PIECEWISE_LINEAR, mod),
    OperatorRow("Max", Kind.PIECEWISE_LINEAR, elementwise(_max)),
    OperatorRow("Min", Kind.PIECEWISE_LINEAR, elementwise(_min)),
    OperatorRow("Where", Kind.AFFINE, elementwise(_where), _where_kind),
    *(OperatorRow(op, Kind.PIECEWISE_LINEAR, elementwise(function)) for op, function in _COMPARISONS.items()),
)
