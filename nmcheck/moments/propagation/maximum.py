"""The largest of several Gaussians, two at a time: max(a, b) = b + relu(a - b), so pooling is a ReLU in disguise.

With s^2 = Var(a - b), z = (E a - E b)/s and g = Phi(z) (formulas.md, section c; Clark 1961):
E max = max(E a, E b) + s h(-|z|), tangents g T_a + (1 - g) T_b, and the excess s^2 (g (1 - g) - h(z) h(-z)).
Of more than two the winners of pairs are compared in turn, each taken as Gaussian again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nmcheck.moments.normal import normal_cdf, relu_of_shifted_normal
from nmcheck.moments.propagation.hermite import relu_hermite, relu_residual
from nmcheck.moments.propagation.linear import transposed
from nmcheck.moments.propagation.tangents import CHUNK, Coloring, Tangents, batched, pushed
from nmcheck.moments.propagation.value import Bend, Passed, Value
from nmcheck.moments.relu import deviation, standardized
from nmcheck.steps import MaximumStep


@dataclass(frozen=True)
class _Contender:
    """A tap, or the winner of two.

    Attributes:
        mean: its mean.
        rows: its tangents.
        linear: its linear response to each sample's noise.
        actual: itself at each sample.
        injected: variance that comparisons added.
        shares: how much of each tap is in it, on average, by the tap's number.
        bends: the comparisons it came through, with how much of each is in it.
    """

    mean: Tensor
    rows: Tensor
    linear: Tensor
    actual: Tensor
    injected: Tensor
    shares: dict[int, Tensor]
    bends: tuple[Bend, ...] = ()


def maximum(step: MaximumStep, values: Sequence[Value]) -> Passed:
    """The winner of all taps, with pairs of neighbors compared first."""
    means = tuple(value.mean for value in values)

    def push(*rows: Tensor) -> tuple[Tensor, ...]:
        return torch.func.jvp(step.taps, means, rows)[1]

    tangents = pushed([value.tangents for value in values], step.locality, push)
    linear = batched(push)(*(value.linear for value in values))
    actual = batched(step.taps)(*(value.actual for value in values))
    contenders = [
        _Contender(mean, one.rows, response, sample, torch.zeros_like(mean), {tap: torch.ones_like(mean)})
        for tap, (mean, one, response, sample) in enumerate(
            zip(step.taps(*means), tangents, linear, actual, strict=True)
        )
    ]
    while len(contenders) > 1:
        pairs = zip(contenders[::2], contenders[1::2], strict=False)
        winners = [_larger(a, b, tangents[0].coloring) for a, b in pairs]
        contenders = winners + contenders[2 * len(winners) :]
    winner = contenders[0]
    back = transposed(step.taps, means)

    def pull(cotangents: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return back(tuple(cotangents[0] * winner.shares[tap] for tap in range(len(winner.shares))))

    output = Value(winner.mean, Tangents(winner.rows, tangents[0].coloring), winner.linear, winner.actual)
    return Passed((output,), pull, winner.injected, bends=winner.bends)


def _larger(a: _Contender, b: _Contender, coloring: Coloring | None) -> _Contender:
    rest = (a.actual - a.linear) - (b.actual - b.linear)
    apart = (rest - rest.mean(dim=0)).square().sum(dim=0) / (len(rest) - 1)
    for left, right in zip(a.rows.split(CHUNK), b.rows.split(CHUNK), strict=True):
        apart = apart + (left - right).square().sum(dim=0)
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
    return _Contender(
        mean=mean,
        rows=torch.lerp(b.rows, a.rows, g.expand_as(a.rows)),
        linear=torch.lerp(b.linear, a.linear, g.expand_as(a.linear)),
        actual=torch.maximum(a.actual, b.actual),
        injected=g**2 * a.injected + other**2 * b.injected + excess,
        shares=shares,
        bends=tuple(bends),
    )
