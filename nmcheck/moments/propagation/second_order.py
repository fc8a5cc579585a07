"""What the residuals of different elements share: the covariance that residual variances, taken one by one, leave out.

An element's residual is a function of one Gaussian, so two of them, in the same layer or in different ones, have the
covariance sum over k >= 2 of a_k b_k rho^k / k! (``hermite``), with rho from their tangents. Summed over all pairs with
the derivatives W of the outputs this is, for every k, a product of matrices. Where |rho| is large the series is slow,
and for kinks the exact kernel takes its place (``moments.kernel``).

Only elements that matter are paired: those that are decided (far from their kink) have no residual, and of the rest the
weakest are left out as long as their share of the sum of |W| sd(residual) stays below ``LEFT_OUT``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.moments.kernel import relu_excess
from nmcheck.moments.propagation.value import Bend

LEFT_OUT = 0.01
"""Share of the residuals' summed influence that is left out of the pairs."""
SMALL = 1e-4
"""Residuals below this share of their layer's largest are forgotten on the way forward."""
ORDER = 8
"""Terms k = 2..8 of the series; with |rho| <= LARGE the rest is below 2e-6 of sd times sd."""
LARGE = 0.35
"""Correlation beyond which a pair of kinks is computed exactly."""
BLOCK = 2048
"""Elements paired with elements at once."""


@dataclass(frozen=True)
class Residuals:
    """The residuals of one bend that are worth pairing.

    Attributes:
        step: number of the step.
        units: positions in the flattened value.
        together: whether what the step's bends share in an element is counted already.
        columns: tangents over standard deviations, a unit vector less its residual variance; (directions, units).
        strength: standard deviation of each residual.
        share: what it adds to the step's first output.
        hermite: coefficients k = 2..ORDER, (ORDER - 1, units).
        m: E u / sd u of a kink, NaN for a smooth bend.
        sd: standard deviation of u.
    """

    step: int
    units: Tensor
    together: bool
    columns: Tensor
    strength: Tensor
    share: Tensor
    hermite: Tensor
    m: Tensor
    sd: Tensor


def residuals_of(bend: Bend, step: int) -> Residuals | None:
    """Keep the undecided elements of a bend; None if there are none."""
    influence = (bend.strength * bend.share.abs()).flatten()
    largest = float(influence.detach().max()) if influence.numel() else 0.0
    units = torch.nonzero(influence > SMALL * largest).squeeze(1)
    if largest == 0.0:
        return None
    sd = bend.sd.flatten()[units]
    m = torch.full_like(sd, math.nan) if bend.m is None else bend.m.flatten()[units]
    return Residuals(
        step=step,
        units=units,
        together=bend.together,
        columns=bend.columns(units) / sd,
        strength=bend.strength.flatten()[units],
        share=bend.share.flatten()[units],
        hermite=bend.hermite(units, ORDER),
        m=m,
        sd=sd,
    )


def pair_covariance(found: Sequence[Residuals], weights: dict[int, Tensor]) -> Float[Tensor, "d d"]:
    """Sum of W_i W_j' Cov(r_i, r_j) over all pairs of different elements, both orders.

    Args:
        found: residuals of all bends.
        weights: the flattened outputs' derivatives in each step's first output, (d, *value), by the step's number.
    """
    together = _together(found, weights)
    chosen = _influential(together)
    d, n = chosen.weight.shape
    total = chosen.weight.new_zeros(d, d)
    for rows, columns in _blocks(n):
        part = _block(chosen, rows, columns)
        total = total + part if rows == columns else total + part + part.mT
    return total


@dataclass(frozen=True)
class _Units:
    """Residuals of all bends, one behind the other, with W times share as ``weight``, (d, units).

    Residuals with the same ``place`` are not paired: what they share is in the variances that steps add.
    """

    place: Tensor
    columns: Tensor
    weight: Tensor
    strength: Tensor
    hermite: Tensor
    m: Tensor
    sd: Tensor

    def at(self, which: Tensor | slice) -> _Units:
        return _Units(
            self.place[which],
            self.columns[:, which],
            self.weight[:, which],
            self.strength[which],
            self.hermite[:, which],
            self.m[which],
            self.sd[which],
        )


def _together(found: Sequence[Residuals], weights: dict[int, Tensor]) -> _Units:
    weight = [weights[one.step].flatten(1)[:, one.units] * one.share for one in found]
    place, count = [], 0
    for one in found:
        count += len(one.units)
        alone = -torch.arange(count - len(one.units) + 1, count + 1, device=one.units.device)
        place.append(one.units + (one.step << 32) if one.together else alone)
    return _Units(
        place=torch.cat(place),
        columns=torch.cat([one.columns for one in found], dim=1),
        weight=torch.cat(weight, dim=1),
        strength=torch.cat([one.strength for one in found]),
        hermite=torch.cat([one.hermite for one in found], dim=1),
        m=torch.cat([one.m for one in found]),
        sd=torch.cat([one.sd for one in found]),
    )


def _influential(units: _Units) -> _Units:
    """All but the weakest, by the output that each matters most to."""
    influence = units.weight.abs() * units.strength
    most = (influence / influence.sum(dim=1, keepdim=True).clamp(min=torch.finfo(influence.dtype).tiny)).amax(dim=0)
    ascending, order = most.sort()
    weak = int((ascending.cumsum(0) <= LEFT_OUT).sum())
    return units.at(order[weak:])


def _blocks(count: int) -> Iterator[tuple[slice, slice]]:
    for first in range(0, count, BLOCK):
        for second in range(first, count, BLOCK):
            yield slice(first, min(first + BLOCK, count)), slice(second, min(second + BLOCK, count))


def _block(units: _Units, rows: slice, columns: slice) -> Tensor:
    """Pairs of one block; a residual with itself is left out, being in the variances that steps add."""
    a, b = units.at(rows), units.at(columns)
    rho = (a.columns.mT @ b.columns).clamp(-1.0, 1.0).masked_fill(a.place[:, None] == b.place, 0.0)
    total = a.weight.new_zeros(len(a.weight), len(b.weight))
    kinks = ~(a.m.isnan()[:, None] | b.m.isnan())
    slow = (rho.abs() > LARGE) & kinks
    i, j = torch.nonzero(slow, as_tuple=True)
    far = rho[i, j]
    rho = torch.where(slow, 0.0, rho)
    power, factorial = rho, 1.0
    for k in range(2, ORDER + 1):
        power = power * rho
        factorial *= k
        total = total + (a.weight * a.hermite[k - 2]) @ power @ (b.weight * b.hermite[k - 2]).mT / factorial
    if len(i):
        exact = torch.zeros_like(rho)
        exact[i, j] = a.sd[i] * b.sd[j] * relu_excess(a.m[i], b.m[j], far)
        total = total + a.weight @ exact @ b.weight.mT
    return total
