"""Affine steps, exactly, and steps that are replaced by their tangent at the mean, with what it misses from samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nmcheck.moments.propagation.tangents import batched, pushed
from nmcheck.moments.propagation.value import Passed, Pull, Response, Value, pushed_responses
from nmcheck.steps import AffineStep, LinearizedStep


def first_order(step: AffineStep | LinearizedStep, values: Sequence[Value]) -> Passed:
    """The function at the mean for the mean, its Jacobian there for tangents.

    Of an affine step that is everything. Of another, the mean is f(mu) and the samples' average of
    f(y) - f(mu) - J (y - mu), what the curvature makes of the noise: the tangent is a control variate whose own mean is
    known, so few samples tell the rest.
    """
    means = tuple(value.mean for value in values)

    def push(*rows: Tensor) -> tuple[Tensor, ...]:
        return torch.func.jvp(step.function, means, rows)[1]

    tangents = pushed([value.tangents for value in values], step.locality, push)

    def respond(given: Sequence[Response]) -> tuple[Response, ...]:
        return pushed_responses(given, push)

    responses = respond([value.response for value in values])
    actual = batched(step.function)(*(value.actual for value in values))
    # An Expand makes views in which elements share memory, of which torch takes no derivatives.
    centers = tuple(one.contiguous() for one in step.function(*means))
    if isinstance(step, LinearizedStep):
        moved = batched(push)(*(value.actual - value.mean for value in values))
        centers = tuple(
            center + (sample - center - shift).mean(dim=0)
            for center, sample, shift in zip(centers, actual, moved, strict=True)
        )
    outputs = zip(centers, tangents, responses, actual, strict=True)
    return Passed(tuple(Value(*each) for each in outputs), transposed(step.function, means), respond)


def transposed(function: Callable[..., tuple[Tensor, ...]], means: tuple[Tensor, ...]) -> Pull:
    """Cotangents through the transposed Jacobian at the means."""

    def pull(cotangents: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        back = torch.func.vjp(function, *means)[1]
        return torch.func.vmap(back)(cotangents)

    return pull
