"""How uncorrelated variances pass an affine operator: by the squares of its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from math import prod

import numpy as np
import torch
from torch import Tensor

from nmcheck.execute.operands import Function, Operands
from nmcheck.execute.row import Kind
from nmcheck.execute.table import row_for
from nmcheck.linearize.windows import tap_counts

Spread = Callable[..., tuple[Tensor, ...]]

_SINGLE = frozenset(
    [
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Neg",
        "Sum",
        "Mean",
        "Where",
        "BatchNormalization",
        "Cast",
        "CastLike",
        "Concat",
        "Pad",
        "Trilu",
        "DequantizeLinear",
    ]
)
"""Operators whose output elements read one element of each input."""
_WEIGHTED: Mapping[str, tuple[str, ...]] = {
    "Conv": (),
    "ConvTranspose": (),
    "Gemm": ("alpha", "beta"),
    "MatMul": (),
    "Einsum": (),
}
"""Operators whose weights are the constants among their first two operands, times these attributes; a third one is a
summand. Of Einsum all constants are weights."""
_EVEN = frozenset(["ReduceSum", "ReduceMean", "GlobalAveragePool", "AveragePool", "CumSum"])
"""Operators that weight all they read alike."""


def spread_of(operands: Operands, function: Function) -> Spread | None:
    """From variances of the live inputs' elements to those of the outputs'; None if only ``function`` is known.

    Where an output element reads one element x of an input, its weight w is the derivative's, so w^2 Var x is
    w times the derivative applied to the variances; likewise where all weights are the same w.
    """
    node, graph = operands.node, operands.graph
    live = graph.live_inputs(node)
    if node.domain:
        return None
    nearest = node.op in ("Resize", "Upsample") and operands.text("mode", "nearest") == "nearest"
    if node.op in _SINGLE or row_for(node).kind_of(node, graph) is Kind.SHAPE or nearest:
        # What stands twice is read at the same element twice.
        return _by_single_elements(_of_distinct(function, live))
    if len(set(live)) < len(live):
        return None
    if node.op in _WEIGHTED:
        return _by_weights(operands, function)
    return _by_even_weights(operands, function) if node.op in _EVEN else None


def _of_distinct(function: Function, live: tuple[str, ...]) -> Function:
    """A function of each live input once."""
    distinct = tuple(dict.fromkeys(live))
    order = [distinct.index(name) for name in live]
    return lambda *values: function(*(values[position] for position in order))


def _by_weights(operands: Operands, function: Function) -> Spread | None:
    if operands.node.op == "Einsum":
        return _squared(operands) if _weights_stand_alone(operands) else None
    only_summand = not (operands.is_live(0) or operands.is_live(1))
    return _by_single_elements(function) if only_summand else _squared(operands)


def _weights_stand_alone(operands: Operands) -> bool:
    """Whether the weights of an Einsum are products of one entry of each constant, not sums of such products."""
    terms, arrow, output = operands.text("equation", "").replace(" ", "").partition("->")
    if not arrow or "." in terms:
        return False
    letters = dict(enumerate(terms.split(",")))
    constant = {letter for position, term in letters.items() if not operands.is_live(position) for letter in term}
    read = {letter for position, term in letters.items() if operands.is_live(position) for letter in term}
    return constant <= read | set(output)


def _by_single_elements(function: Function) -> Spread:
    def spread(*variances: Tensor) -> tuple[Tensor, ...]:
        total: tuple[Tensor, ...] | None = None
        for position, variance in enumerate(variances):
            ones = _alone(position, torch.ones_like(variance), variances)
            weights = _derivative(function, variances, ones)
            through = _derivative(function, variances, _alone(position, variance, variances))
            parts = tuple(weight * one for weight, one in zip(weights, through, strict=True))
            total = parts if total is None else tuple(a + b for a, b in zip(total, parts, strict=True))
        return total or ()

    return spread


def _by_even_weights(operands: Operands, function: Function) -> Spread:
    counts = None
    if operands.node.op == "AveragePool":
        counts = operands.as_tensor(tap_counts(operands).clip(min=1))

    def spread(variance: Tensor) -> tuple[Tensor, ...]:
        (through,) = _derivative(function, (variance,), (variance,))
        if operands.node.op in ("ReduceSum", "CumSum"):
            return (through,)
        if counts is None:
            return (through * (prod(through.shape) / prod(variance.shape)),)
        (total,) = _derivative(function, (variance,), (torch.ones_like(variance),))
        return (through * total / counts,)

    return spread


def _squared(operands: Operands) -> Spread:
    """The operator itself, with its weights squared and no bias; built when first asked, and kept from then on."""
    node, graph = operands.node, operands.graph

    @cache
    def twin() -> Function:
        constants = dict(graph.constants)
        for position, name in enumerate(node.inputs):
            if name in graph.constants:
                weight = graph.constants[name]
                is_weight = position < 2 or node.op == "Einsum"
                constants[name] = np.square(weight, dtype=np.float64) if is_weight else np.zeros_like(weight)
        squares = {
            attribute: operands.number(attribute, 1.0) ** 2
            for attribute in _WEIGHTED[node.op]
            if attribute in node.attributes
        }
        squared = replace(node, attributes={**node.attributes, **squares})
        return row_for(node).build(replace(operands, graph=replace(graph, constants=constants), node=squared))

    def spread(*variances: Tensor) -> tuple[Tensor, ...]:
        found = twin()(*variances)
        return found if isinstance(found, tuple) else (found,)

    return spread


def _alone(position: int, tensor: Tensor, others: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor if index == position else torch.zeros_like(other) for index, other in enumerate(others))


def _derivative(function: Function, points: tuple[Tensor, ...], tangents: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """An affine function's linear part, applied to ``tangents``."""
    found = torch.func.jvp(function, tuple(torch.zeros_like(point) for point in points), tangents)[1]
    return found if isinstance(found, tuple) else (found,)
