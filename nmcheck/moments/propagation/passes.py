"""Through the steps of a network: forward for values and gates, backward for derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.moments.gaussian import GaussianInput
from nmcheck.moments.propagation.activation import activation
from nmcheck.moments.propagation.linear import first_order
from nmcheck.moments.propagation.maximum import maximum
from nmcheck.moments.propagation.product import product
from nmcheck.moments.propagation.second_order import Residuals, residuals_of
from nmcheck.moments.propagation.tangents import Tangents
from nmcheck.moments.propagation.value import Bends, Passed, Response, Value
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


def pass_forward(
    network: Network,
    x: GaussianInput,
    tangents: Tangents,
    samples: Tensor,
    residuals: list[Residuals] | None = None,
    *,
    bends: bool = True,
) -> tuple[Value, list[tuple[Step, Passed]]]:
    """The output's mean, and what each step left for the way back. Values are forgotten after their last use.

    Args:
        network: the steps.
        x: the input's distribution.
        tangents: the input's.
        samples: noise of the input, a row each.
        residuals: filled with those worth pairing, if given.
        bends: whether the samples' bends are followed; they mean something if the tangents' squares sum to variances.
    """
    mean = x.mean.reshape(network.shapes[network.input])
    noise = samples.reshape(-1, *mean.shape)
    response = Response(noise, Bends.SINGLE if bends else Bends.NONE)
    values = {network.input: Value(mean, tangents, response, mean + noise)}
    last = {name: position for position, step in enumerate(network.steps) for name in step.inputs}
    passed: list[tuple[Step, Passed]] = []
    for position, step in enumerate(network.steps):
        found = pass_step(step, [values[name] for name in step.inputs])
        values.update({name: value for name, value in zip(step.outputs, found.outputs, strict=True) if name})
        if residuals is not None:
            residuals += [one for bend in found.bends if (one := residuals_of(bend, position)) is not None]
        passed.append((step, replace(found, outputs=(), bends=())))
        for name in step.inputs:
            if last[name] == position and name != network.output:
                values.pop(name, None)
    return values[network.output], passed


def pass_backward(
    network: Network,
    mean: Tensor,
    passed: Sequence[tuple[Step, Passed]],
    seed: Float[Tensor, "d outputs"] | None = None,
    visit: Callable[[int, Tensor], None] | None = None,
) -> Float[Tensor, "d ..."]:
    """Derivatives of the flattened output in the input.

    Args:
        network: the steps.
        mean: the output's.
        passed: what the steps left on the way forward.
        seed: combinations of the flattened output's elements to take derivatives of; every element if not given.
        visit: told of every step that the output depends on, by its number, with the derivatives in its first output.
    """
    if seed is None:
        seed = torch.eye(mean.numel(), dtype=mean.dtype, device=mean.device)
    d = len(seed)
    seed = seed.reshape(d, *mean.shape)
    cotangents: dict[str, Tensor] = {network.output: seed}
    for position, (step, found) in reversed(list(enumerate(passed))):
        present = [cotangents.pop(name, None) for name in step.outputs]
        if all(one is None for one in present):
            continue
        given = tuple(
            seed.new_zeros(d, *network.shapes[name]) if one is None else one
            for name, one in zip(step.outputs, present, strict=True)
        )
        if visit is not None:
            visit(position, given[0])
        for name, one in zip(step.inputs, found.pull(given), strict=True):
            cotangents[name] = cotangents[name] + one if name in cotangents else one
    return cotangents.get(network.input, seed.new_zeros(d, *network.shapes[network.input]))


def pass_step(step: Step, values: Sequence[Value]) -> Passed:
    """One step by the rule of its kind."""
    match step:
        case AffineStep() | LinearizedStep():
            return first_order(step, values)
        case PiecewiseLinearStep() | SmoothStep():
            return activation(step, values[0])
        case MaximumStep():
            return maximum(step, values)
        case ProductStep():
            return product(step, values)
        case _:
            raise TypeError(f"no rule for a {type(step).__name__}")
