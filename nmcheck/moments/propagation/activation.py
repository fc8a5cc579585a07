"""Elementwise steps: exact for piecewise linear functions of a Gaussian, by quadrature for smooth ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nmcheck.moments.propagation.elementwise import Moments, piecewise_linear, smooth
from nmcheck.moments.propagation.hermite import relu_hermite, relu_residual, smooth_hermite
from nmcheck.moments.propagation.value import Bend, Bends, Passed, Response, Value
from nmcheck.moments.relu import deviation, standardized
from nmcheck.steps import PiecewiseLinearStep, SmoothStep


def activation(step: PiecewiseLinearStep | SmoothStep, value: Value) -> Passed:
    """E f for the mean, the gate E f' for tangents."""
    linear_variance = value.tangents.variance()
    variance = linear_variance + value.residual_variance()
    sd = deviation(variance)
    rule = _rule(step, value.mean, sd)
    total = rule.gate**2 * variance + rule.excess
    function = torch.func.vmap(step.function)
    # Of the linear response alone, which is what the bend is a function of.
    alone = None if value.response.told is Bends.NONE else _rule(step, value.mean, deviation(linear_variance))

    def respond(given: Sequence[Response]) -> tuple[Response, ...]:
        (one,) = given
        linear = one.linear * rule.gate
        if alone is None:
            return (one.passed_on(linear),)
        bent = one.bent(lambda u: function(value.mean + u), alone.mean, alone.gate)
        return (one.passed_on(linear, None if one.bend is None else rule.gate * one.bend, bent),)

    (response,) = respond([value.response])
    output = Value(rule.mean, value.tangents.scaled(rule.gate), response, function(value.actual))

    def pull(cotangents: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (cotangents[0] * rule.gate,)

    return Passed(
        (output,),
        pull,
        respond,
        rule.excess,
        total,
        _kinks(step, value, sd) if isinstance(step, PiecewiseLinearStep) else (_curve(step, value, sd, rule.excess),),
        None if _is_exact(step) else _largest_error(rule, total),
    )


def _is_exact(step: PiecewiseLinearStep | SmoothStep) -> bool:
    return isinstance(step, PiecewiseLinearStep) or step.harmonic is not None


@torch.no_grad()
def _largest_error(rule: Moments, variance: Tensor) -> float:
    """Of any element's mean, in units of its own standard deviation; elements without one have no error."""
    error, spread = rule.error.double(), deviation(variance).double()
    shares = torch.where(spread > 0, error / torch.where(spread > 0, spread, 1.0), 0.0)
    return float(shares.max()) if shares.numel() else 0.0


def _rule(step: PiecewiseLinearStep | SmoothStep, mean: Tensor, sd: Tensor) -> Moments:
    if isinstance(step, PiecewiseLinearStep):
        return piecewise_linear(step, mean, sd)
    return smooth(step, mean, sd)


def _kinks(step: PiecewiseLinearStep, value: Value, sd: Tensor) -> tuple[Bend, ...]:
    bends: list[Bend] = []
    for kink, jump in zip(step.kinks, step.jumps, strict=True):
        m = standardized(value.mean - kink, sd)
        bends.append(
            Bend(
                columns=value.tangents.columns,
                sd=sd,
                strength=relu_residual(m, sd),
                share=torch.ones_like(m) * jump,
                hermite=_of_kink(m, sd),
                m=m,
                together=True,
            )
        )
    return tuple(bends)


def _of_kink(m: Tensor, sd: Tensor) -> Callable[[Tensor, int], Tensor]:
    return lambda units, order: relu_hermite(m.flatten()[units], sd.flatten()[units], order)


def _curve(step: SmoothStep, value: Value, sd: Tensor, excess: Tensor) -> Bend:
    def hermite(units: Tensor, order: int) -> Tensor:
        return smooth_hermite(step, value.mean.flatten()[units], sd.flatten()[units], order)

    return Bend(value.tangents.columns, sd, excess.sqrt(), torch.ones_like(sd), hermite, None)
