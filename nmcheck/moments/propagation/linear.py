"""Affine steps, exactly, and steps that are replaced by their tangent at the mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nmcheck.moments.propagation.tangents import pushed
from nmcheck.moments.propagation.value import Passed, Pull, Value
from nmcheck.steps import AffineStep, LinearizedStep

PROBES = 64
"""Random signs by which a nugget passes a function of which only products with its Jacobian are at hand: the variances
behind it are right on average and off by a factor of about 1 +- sqrt(2/64), and they are a small part of the whole."""


def affine(step: AffineStep, values: Sequence[Value]) -> Passed:
    """W x + b: mean through the function, tangents through W, the nugget through the squares of W's entries."""
    return _first_order(step.function, step.spread, step, values)


def linearized(step: LinearizedStep, values: Sequence[Value]) -> Passed:
    """The tangent at the mean: E f = f(mu), slope J(mu). Nothing is said of what the tangent misses."""
    return _first_order(step.function, None, step, values)


def _first_order(
    function: Callable[..., tuple[Tensor, ...]],
    spread: Callable[..., tuple[Tensor, ...]] | None,
    step: AffineStep | LinearizedStep,
    values: Sequence[Value],
) -> Passed:
    means = tuple(value.mean for value in values)
    outputs = function(*means)

    def push(*rows: Tensor) -> tuple[Tensor, ...]:
        return torch.func.jvp(function, means, rows)[1]

    tangents = pushed([value.tangents for value in values], step.locality, push)
    nuggets = tuple(value.nugget for value in values)
    if all(not bool(nugget.any()) for nugget in nuggets):
        spreads = tuple(torch.zeros_like(output) for output in outputs)
    else:
        spreads = _probed(push, nuggets) if spread is None else spread(*nuggets)
    found = tuple(Value(*each) for each in zip(outputs, tangents, spreads, strict=True))
    return Passed(found, transposed(function, means))


def transposed(function: Callable[..., tuple[Tensor, ...]], means: tuple[Tensor, ...]) -> Pull:
    """Cotangents through the transposed Jacobian at the means."""

    def pull(cotangents: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        back = torch.func.vjp(function, *means)[1]
        return torch.func.vmap(back)(cotangents)

    return pull


def _probed(push: Callable[..., tuple[Tensor, ...]], nuggets: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Squares of the Jacobian's entries times the nuggets, from products with random signs (Hutchinson)."""
    generator = torch.Generator().manual_seed(0)
    signs = [
        (torch.randint(0, 2, (PROBES, *nugget.shape), generator=generator) * 2 - 1).to(nugget) for nugget in nuggets
    ]
    rows = torch.func.vmap(push)(*(sign * nugget.sqrt() for sign, nugget in zip(signs, nuggets, strict=True)))
    return tuple(one.square().mean(dim=0) for one in rows)
