"""How uncorrelated variances pass an affine operator: by the squares of its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
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
"""Operators whose weights are their constants, times these attributes."""
_EVEN = frozenset(["ReduceSum", "ReduceMean", "GlobalAveragePool", "AveragePool", "CumSum"])
"""Operators that weight all they read alike."""


def spread_of(operands: Operands, function: Function) -> Spread | None:
    """From variances of the live inputs' elements to those of the outputs'; None if only ``function`` is known.

    Where an output element reads one element x of an input, its weight w is the derivative's, so w^2 Var x is
    w times the derivative applied to the variances; likewise where all weights are the same w.
    """
    node, graph = operands.node, operands.graph
    live = graph.live_inputs(node)
    if node.domain or len(set(live)) < len(live):
        return None
    if node.op in _WEIGHTED:
        return _squared(operands)
    nearest = node.op in ("Resize", "Upsample") and operands.text("mode", "nearest") == "nearest"
    if node.op in _SINGLE or row_for(node).kind_of(node, graph) is Kind.SHAPE or nearest:
        return _by_single_elements(function)
    if node.op in _EVEN:
        return _by_even_weights(operands, function)
    return None


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
    """The operator itself, with its weights squared and no bias; built anew each time, so that nothing is kept."""
    node, graph = operands.node, operands.graph

    def spread(*variances: Tensor) -> tuple[Tensor, ...]:
        constants = dict(graph.constants)
        for position, name in enumerate(node.inputs):
            if name in graph.constants:
                weight = graph.constants[name]
                constants[name] = np.square(weight) if position < 2 else np.zeros_like(weight)
        squares = {
            attribute: operands.number(attribute, 1.0) ** 2
            for attribute in _WEIGHTED[node.op]
            if attribute in node.attributes
        }
        twin = replace(node, attributes={**node.attributes, **squares})
        found = row_for(node).build(replace(operands, graph=replace(graph, constants=constants), node=twin))(*variances)
        return found if isinstance(found, tuple) else (found,)

    return spread


def _alone(position: int, tensor: Tensor, others: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor if index == position else torch.zeros_like(other) for index, other in enumerate(others))


def _derivative(function: Function, points: tuple[Tensor, ...], tangents: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """An affine function's linear part, applied to ``tangents``."""
    found = torch.func.jvp(function, tuple(torch.zeros_like(point) for point in points), tangents)[1]
    return found if isinstance(found, tuple) else (found,)
