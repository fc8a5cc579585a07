"""From a network's steps to prepared ones; what has no sound line is refused here, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from nmcheck.bounds.layers import lrn_of
from nmcheck.bounds.lrn import LocalResponseNormalization
from nmcheck.bounds.relaxation.curvature import CURVATURE, INCREASING
from nmcheck.bounds.relaxation.magnitude import magnitude_of
from nmcheck.bounds.relaxation.prepared import (
    Prepared,
    PreparedAffine,
    PreparedElementwise,
    PreparedMaximum,
    PreparedProduct,
    PreparedResponse,
)
from nmcheck.bounds.relaxation.selection import selection_of
from nmcheck.bounds.relaxation.substitution import Pull
from nmcheck.errors import UnsupportedError
from nmcheck.execute.program import Program
from nmcheck.graph.ir import Graph
from nmcheck.steps import (
    AffineStep,
    LinearizedStep,
    MaximumStep,
    Network,
    PiecewiseLinearStep,
    ProductStep,
    SmoothStep,
    Step,
)

_ADVICE = "use --method lipschitz, or export the model without it"


def prepare(graph: Graph, program: Program, network: Network) -> tuple[Prepared, ...]:
    """The network's steps, ready to be bounded.

    Raises:
        UnsupportedError: a step has no sound line; the message names its node.
    """
    preparation = _Preparation(graph, program, network)
    return tuple(preparation.step(step) for step in _fused(network, graph))


def _fused(network: Network, graph: Graph) -> list[Step]:
    """The steps, with a ReLU that only a maximum reads made one more value of that maximum.

    max(relu(a), relu(b)) is max(a, b, 0): one relaxation instead of two, and fewer elements whose bounds matter.
    """
    readers: dict[str, list[Step]] = {}
    for step in network.steps:
        for name in step.inputs:
            readers.setdefault(name, []).append(step)
    gone: set[int] = set()
    source: dict[str, str] = {}
    for step in network.steps:
        if not isinstance(step, PiecewiseLinearStep) or graph.by_name[step.node].op != "Relu":
            continue
        value = step.outputs[0]
        following = readers.get(value, [])
        alone = len(following) == 1 and value != network.output
        if alone and isinstance(following[0], MaximumStep) and graph.by_name[following[0].node].op in _POOLS:
            gone.add(id(step))
            source[value] = step.inputs[0]
    steps: list[Step] = []
    for step in network.steps:
        if id(step) in gone:
            continue
        if isinstance(step, MaximumStep) and step.inputs[0] in source:
            steps.append(replace(step, inputs=(source[step.inputs[0]],), taps=_with_zero(step.taps)))
        else:
            steps.append(step)
    return steps


_POOLS = ("MaxPool", "GlobalMaxPool", "ReduceMax")
"""Maxima of one value's own elements."""


def _with_zero(taps: Callable[..., tuple[Tensor, ...]]) -> Callable[..., tuple[Tensor, ...]]:
    def extended(x: Tensor) -> tuple[Tensor, ...]:
        found = taps(x)
        return (*found, torch.zeros_like(found[0]))

    return extended


class _Preparation:
    def __init__(self, graph: Graph, program: Program, network: Network) -> None:
        self.graph, self.program, self.network = graph, program, network

    def step(self, step: Step) -> Prepared:
        node = self.graph.by_name[step.node]
        if isinstance(step, AffineStep):
            return self._affine(step)
        if isinstance(step, PiecewiseLinearStep):
            function = torch.func.vmap(step.function)
            return PreparedElementwise(step.inputs, step.outputs, function, step.kinks, None, increasing=False)
        if isinstance(step, SmoothStep) and node.op in CURVATURE:
            return self._smooth(step)
        if isinstance(step, MaximumStep):
            alone = len(step.inputs) == 1
            return PreparedMaximum(
                inputs=step.inputs,
                outputs=step.outputs,
                taps=torch.func.vmap(step.taps),
                pull=self._pull(step.taps, step.inputs),
                selection=selection_of(step.taps, self.network.shapes[step.inputs[0]]) if alone else None,
            )
        if isinstance(step, ProductStep):
            return self._product(step)
        if isinstance(step, LinearizedStep) and node.op == "LRN":
            return PreparedResponse(step.inputs, step.outputs, self._lrn(step))
        raise self._refusal(step, f"nmcheck has no linear bounds for {_described(step, node.op)}")

    def _zeros(self, names: tuple[str, ...]) -> tuple[Tensor, ...]:
        return tuple(torch.zeros(self.network.shapes[name], dtype=torch.float64) for name in names)

    def _pull(self, function: Callable[..., tuple[Tensor, ...]], inputs: tuple[str, ...]) -> Pull:
        transposed = torch.func.vmap(torch.func.vjp(function, *self._zeros(inputs))[1])
        return lambda *coefficients: transposed(coefficients)

    def _affine(self, step: AffineStep) -> Prepared:
        magnitude = magnitude_of(self.graph, self.program, step)
        if magnitude is None:
            raise self._refusal(step, "it has too many weights of its own kind to be bounded")
        zeros = self._zeros(step.inputs)
        return PreparedAffine(
            inputs=step.inputs,
            outputs=step.outputs,
            function=torch.func.vmap(step.function),
            pull=self._pull(step.function, step.inputs),
            offsets=tuple(offset.unsqueeze(0) for offset in step.function(*zeros)),
            magnitude=torch.func.vmap(magnitude),
            rows=self._rows(step),
        )

    def _rows(self, step: AffineStep) -> tuple[tuple[Tensor, ...], ...] | None:
        """Norms of the rows, by output and input: the root of what variances of one become."""
        if step.spread is None:
            return None
        zeros = self._zeros(step.inputs)
        by_input: list[tuple[Tensor, ...]] = []
        for position, zero in enumerate(zeros):
            ones = (*zeros[:position], torch.ones_like(zero), *zeros[position + 1 :])
            by_input.append(tuple(spread.sqrt().unsqueeze(0) for spread in step.spread(*ones)))
        return tuple(zip(*by_input, strict=True))

    def _smooth(self, step: SmoothStep) -> Prepared:
        node = self.graph.by_name[step.node]
        rule = CURVATURE[node.op]
        function = torch.func.vmap(step.function)
        if not torch.isfinite(torch.as_tensor(rule(self.graph, node, torch.zeros(1), torch.zeros(1)))).all():
            raise self._refusal(step, "its attributes give it no finite curvature")
        return PreparedElementwise(
            step.inputs,
            step.outputs,
            function,
            step.kinks,
            lambda low, high: rule(self.graph, node, low, high),
            increasing=node.op in INCREASING,
        )

    def _product(self, step: ProductStep) -> Prepared:
        if len(step.inputs) == 1:
            return PreparedElementwise(
                step.inputs, step.outputs, torch.square, (0.0,), lambda _low, _high: 2.0, increasing=False
            )
        shape = self.network.shapes[step.outputs[0]]

        def expand(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            return x.expand(shape), y.expand(shape)

        return PreparedProduct(step.inputs, step.outputs, torch.func.vmap(expand), self._pull(expand, step.inputs))

    def _lrn(self, step: Step) -> LocalResponseNormalization:
        try:
            return lrn_of(self.graph.by_name[step.node])
        except ValueError as error:
            raise self._refusal(step, str(error).rstrip(".")) from error

    def _refusal(self, step: Step, reason: str) -> UnsupportedError:
        node = self.graph.by_name[step.node]
        return UnsupportedError(f"{self.graph.model.path}: {node.name} ({node.op}): {reason}; {_ADVICE}.")


def _described(step: Step, op: str) -> str:
    return step.reason if isinstance(step, LinearizedStep) else f"the operator {op}"
