"""The largest of several Gaussians, two at a time: max(a, b) = b + relu(a - b), so pooling is made of ReLUs.

With s^2 = Var(a - b), z = (E a - E b)/s and g = Phi(z) (formulas.md, section c; Clark 1961):
E max = max(E a, E b) + s h(-|z|), tangents g T_a + (1 - g) T_b, and the excess s^2 (g (1 - g) - h(z) h(-z)).
Of more than two the winners of pairs are compared in turn, each taken as Gaussian again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from nmcheck.moments.normal import normal_cdf, relu_of_shifted_normal
from nmcheck.moments.propagation.hermite import relu_hermite, relu_residual
from nmcheck.moments.propagation.linear import transposed
from nmcheck.moments.propagation.tangents import CHUNK, Coloring, Tangents, batched, pushed
from nmcheck.moments.propagation.value import Bend, Bends, Passed, Response, Value, centered, pushed_responses
from nmcheck.moments.relu import deviation, standardized
from nmcheck.steps import MaximumStep

LOWEST = -1e30
"""What is below counts as this: -inf and the least float32, which a Pad in front of a pool may have, or a constant. Two
infinite values have no difference."""
T = TypeVar("T")


@dataclass(frozen=True)
class _Comparison:
    """Of two contenders a and b, frozen for responses to other noise.

    Attributes:
        difference: E a - E b.
        gate: how much of a is in the larger one, on average.
        linear_sd: standard deviation of the linear response of a - b.
    """

    difference: Tensor
    gate: Tensor
    linear_sd: Tensor

    def larger(self, a: Response, b: Response) -> Response:
        """The larger one's response: b + relu(a - b) bends at the linear response of a - b."""
        linear = torch.lerp(b.linear, a.linear, self.gate.expand_as(a.linear))
        if a.told is Bends.NONE:
            return a.passed_on(linear)
        apart = a.passed_on(a.linear - b.linear)
        z = standardized(self.difference, self.linear_sd)
        rise = self.linear_sd * relu_of_shifted_normal(torch.where(z > 0, -z, z))
        bends = (None if one is None else part * one for one, part in ((a.bend, self.gate), (b.bend, 1.0 - self.gate)))
        return a.passed_on(linear, *bends, apart.bent(self._rise, rise, normal_cdf(z)))

    def _rise(self, u: Tensor) -> Tensor:
        """relu(d + u) - relu(d), without the difference of two huge numbers that a tap in the padding makes of it."""
        return torch.where(self.difference > 0, torch.maximum(u, -self.difference), (self.difference + u).clamp(min=0))


@dataclass(frozen=True)
class _Contender:
    """A tap, or the winner of two.

    Attributes:
        mean: its mean.
        rows: its tangents.
        response: to each sample's noise.
        actual: itself at each sample.
        injected: variance that comparisons added.
        shares: how much of each tap is in it, on average, by the tap's number.
        bends: the comparisons it came through, with how much of each is in it.
    """

    mean: Tensor
    rows: Tensor
    response: Response
    actual: Tensor
    injected: Tensor
    shares: dict[int, Tensor]
    bends: tuple[Bend, ...] = ()


def taps_of(step: MaximumStep) -> Callable[..., tuple[Tensor, ...]]:
    """The values compared, none of them below ``LOWEST``."""

    def taps(*values: Tensor) -> tuple[Tensor, ...]:
        return tuple(tap.clamp(min=LOWEST) for tap in step.taps(*values))

    return taps


def maximum(step: MaximumStep, values: Sequence[Value]) -> Passed:
    """The winner of all taps, with pairs of neighbors compared first."""
    means, taps = tuple(value.mean for value in values), taps_of(step)

    def push(*rows: Tensor) -> tuple[Tensor, ...]:
        return torch.func.jvp(taps, means, rows)[1]

    tangents = pushed([value.tangents for value in values], step.locality, push)
    responses = pushed_responses([value.response for value in values], push)
    actual = batched(taps)(*(value.actual for value in values))
    contenders = [
        _Contender(mean, one.rows, response, sample, torch.zeros_like(mean), {tap: torch.ones_like(mean)})
        for tap, (mean, one, response, sample) in enumerate(zip(taps(*means), tangents, responses, actual, strict=True))
    ]
    comparisons: list[_Comparison] = []

    def compared(a: _Contender, b: _Contender) -> _Contender:
        winner, comparison = _larger(a, b, tangents[0].coloring)
        comparisons.append(comparison)
        return winner

    winner = _tournament(contenders, compared)
    back = transposed(taps, means)

    def pull(cotangents: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return back(tuple(cotangents[0] * winner.shares[tap] for tap in range(len(winner.shares))))

    def respond(given: Sequence[Response]) -> tuple[Response, ...]:
        in_turn = iter(comparisons)
        return (_tournament(list(pushed_responses(given, push)), lambda a, b: next(in_turn).larger(a, b)),)

    output = Value(winner.mean, Tangents(winner.rows, tangents[0].coloring), winner.response, winner.actual)
    return Passed((output,), pull, respond, winner.injected, bends=winner.bends)


def _tournament(contenders: list[T], larger: Callable[[T, T], T]) -> T:
    while len(contenders) > 1:
        winners = [larger(a, b) for a, b in zip(contenders[::2], contenders[1::2], strict=False)]
        contenders = winners + contenders[2 * len(winners) :]
    return contenders[0]


def _larger(a: _Contender, b: _Contender, coloring: Coloring | None) -> tuple[_Contender, _Comparison]:
    # Each by itself: less a tap in the padding, nothing would be left of the other's digits.
    rest = centered(a.actual - a.response.linear) - centered(b.actual - b.response.linear)
    linear = torch.zeros_like(a.mean)
    for left, right in zip(a.rows.split(CHUNK), b.rows.split(CHUNK), strict=True):
        linear = linear + (left - right).square().sum(dim=0)
    apart = linear + rest.square().sum(dim=0) / (len(rest) - 1)
    s = deviation(apart)
    difference = a.mean - b.mean
    z = standardized(difference, s)
    g = normal_cdf(z)
    larger = torch.where(difference > 0, a.mean, b.mean)
    mean = larger + s * relu_of_shifted_normal(torch.where(z > 0, -z, z))
    excess = apart * (g * normal_cdf(-z) - relu_of_shifted_normal(z) * relu_of_shifted_normal(-z)).clamp(min=0.0)
    other = normal_cdf(-z)
    shares = {tap: g * share for tap, share in a.shares.items()}
    shares |= {tap: other * share for tap, share in b.shares.items()}
    bends = [replace(bend, share=g * bend.share) for bend in a.bends]
    bends += [replace(bend, share=other * bend.share) for bend in b.bends]
    first, second = Tangents(a.rows, coloring), Tangents(b.rows, coloring)
    bends.append(
        Bend(
            columns=lambda units: first.columns(units) - second.columns(units),
            sd=s,
            strength=relu_residual(z, s),
            share=torch.ones_like(z),
            hermite=lambda units, order: relu_hermite(z.flatten()[units], s.flatten()[units], order),
            m=z,
        )
    )
    comparison = _Comparison(difference, g, deviation(linear))
    winner = _Contender(
        mean=mean,
        rows=torch.lerp(b.rows, a.rows, g.expand_as(a.rows)),
        response=comparison.larger(a.response, b.response),
        actual=torch.maximum(a.actual, b.actual),
        injected=g**2 * a.injected + other**2 * b.injected + excess,
        shares=shares,
        bends=tuple(bends),
    )
    return winner, comparison
