"""Quadratic bounds of a first layer of ReLUs in an L2 ball: not all of its units can be at their ends at once.

A chord above ReLU is loosest where the image usually is, in the middle of the interval, and linear bounds pay that for
every unstable unit. Over z = z0 + w.d, with |d| <= epsilon, also a parabola lies above it:

    relu(z0 + v) <= k + t v + q v^2    with  k = max over v of relu(z0 + v) - t v - q v^2,

for any t and any q > 0; k is found exactly, as either side of the kink is concave in v. Going backward to the ReLUs
gives coefficients B, and with the lines 0 or z below for B > 0 and parabolas for B < 0 a quadratic function of d below
the margin on the ball: ``value + g.d - d'Pd`` with P = sum over B < 0 of |B| q w w'. Unlike a sum of the units' worst
cases, d'Pd is at most lambda_max(P) |d|^2. By weak duality, for every lambda > lambda_max(P) and |d| <= rho,

    -g.d + d'Pd <= lambda rho^2 + g'(lambda - P)^-1 g / 4,

so the margin stays positive up to any rho for which value is at least the right side for some lambda. With
S = D^(1/2) W W' D^(1/2), D = |B| q, and h = D^(1/2) W g the form is (|g|^2 + h'(lambda - S)^-1 h) / lambda, and S
follows from the Gram matrix W W' of the units.

Rounding. With d in the ball, w.d is off by at most ``ROUNDING`` of the magnitude of all its terms, g.d likewise, and
(w.d)^2 by twice that times the magnitude; both are taken off the value. h is off by ``ROUNDING`` of |w| |g| an entry,
which adds to the root of its form, and the spectrum is shifted by more than the rounding of S and its eigenvalues.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nmcheck.bounds.relaxation.interval import ROUNDING
from nmcheck.bounds.relaxation.prepared import PreparedElementwise
from nmcheck.bounds.relaxation.relaxation import Relaxation, Relaxed
from nmcheck.bounds.relaxation.rows import rows_of
from nmcheck.bounds.relaxation.substitution import Owner

MOST_UNITS = 512
"""Of the layer: a matrix with as many rows as units are bent is diagonalized for every class that is looked at."""
_FLOAT64 = 8
_BENDS = (0.5,)
"""Choices of q, over the half width of the unit's interval."""
_MULTIPLIERS = (0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0)
"""Choices of lambda - lambda_max(P), in terms of |g| / (2 epsilon), which is right where P is zero."""
_SPECTRUM = 1e-10
"""Of the trace of S: above the rounding of its entries and eigenvalues."""
_SHAVED = 1 - 1e-6
_MEMORY = 2**22
"""Numbers in the matrices that are diagonalized together."""


class QuadraticLayer:
    """The first layer of ReLUs of a network in which everything goes through it.

    Args:
        relaxation: the network.
        position: of the ReLU among its steps.
    """

    def __init__(self, relaxation: Relaxation, position: int) -> None:
        self._relaxation = relaxation
        self._position = position
        step = relaxation.steps[position]
        self._before, self._after = step.inputs[0], step.outputs[0]
        self._rows = relaxation.affine.matrix(self._before)
        self._gram = relaxation.affine.gram(self._before)

    @classmethod
    def of(cls, relaxation: Relaxation) -> QuadraticLayer | None:
        """The layer of a network, or None where there is none of this kind."""
        position = relaxation.first_curve()
        if position is None:
            return None
        step = relaxation.steps[position]
        if not isinstance(step, PreparedElementwise):
            return None
        shape = relaxation.network.shapes[step.inputs[0]]
        units, inputs = math.prod(shape), math.prod(relaxation.network.shapes[relaxation.network.input])
        if units > MOST_UNITS or _FLOAT64 * units * inputs > relaxation.budget or not step.is_relu(shape):
            return None
        return cls(relaxation, position)

    def reach(self, relaxed: Relaxed, seeds: Float[Tensor, "specs classes"], owner: Owner) -> Float[Tensor, " specs"]:
        """Up to which radius quadratic bounds that hold in the region keep each combination positive; 0 if nowhere."""
        passed = self._relaxation.descended(relaxed, self._relaxation.network.output, seeds, owner, self._position + 1)
        interval = relaxed.intervals[self._before]
        low, high, centre, magnitude = (
            rows_of(part)[owner] for part in (interval.low, interval.high, interval.centre, interval.size)
        )
        slopes = rows_of(passed.coefficients[self._after])
        size = passed.size + (slopes.abs() * magnitude).sum(dim=1)
        constant = passed.constant - ROUNDING * size
        epsilon = relaxed.region.epsilon[owner]
        together = max(1, _MEMORY // slopes.shape[1] ** 2)
        best = torch.zeros_like(constant)
        for rows in torch.arange(len(owner)).split(together):
            units = _Units(slopes[rows], centre[rows], low[rows], high[rows], magnitude[rows])
            for bend in _BENDS:
                found = units.reach(constant[rows], epsilon[rows], self._rows, self._gram, bend)
                best[rows] = torch.maximum(best[rows], found)
        return best


class _Units:
    """The layer's units as some of the combinations read them."""

    def __init__(
        self,
        slopes: Float[Tensor, "specs units"],
        centre: Float[Tensor, "specs units"],
        low: Float[Tensor, "specs units"],
        high: Float[Tensor, "specs units"],
        magnitude: Float[Tensor, "specs units"],
    ) -> None:
        self.slopes, self.centre, self.magnitude = slopes, centre, magnitude
        self.unstable: Bool[Tensor, "specs units"] = (low < 0) & (high > 0)
        self.least, self.most = low - centre, high - centre
        # Exact where the unit is stable; at the kink both 0 and z are below.
        self.below = torch.where(self.unstable, (centre > 0).to(centre), (low >= 0).to(centre))

    def reach(
        self,
        constant: Float[Tensor, " specs"],
        epsilon: Float[Tensor, " specs"],
        rows: Float[Tensor, "units inputs"],
        gram: Float[Tensor, "units units"],
        bend: float,
    ) -> Float[Tensor, " specs"]:
        """The largest radius for one choice of parabolas."""
        bent = self.unstable & (self.slopes < 0)
        half = ((self.most - self.least) / 2).clamp(min=torch.finfo(self.least.dtype).tiny)
        q = bend / half
        t = ((1 + 4 * q * self.centre) / 2).clamp(0, 1)
        k = parabola_height(self.centre, self.least, self.most, t, q)
        k = k + ROUNDING * (self.centre.abs() + half)
        slope = torch.where(bent, t, self.below)
        height = torch.where(bent, k, self.below * self.centre)
        pull = self.slopes * slope
        weight = torch.where(bent, -self.slopes * q, 0)
        moved = 2 * (pull.abs() * self.magnitude + weight * self.magnitude**2).sum(dim=1)
        value = constant + (self.slopes * height).sum(dim=1) - ROUNDING * moved
        count = max(1, int(bent.sum(dim=1).max()))
        root, units = weight.sqrt().topk(count, dim=1)
        matrix = root.unsqueeze(2) * gram[units.unsqueeze(2), units.unsqueeze(1)] * root.unsqueeze(1)
        g = pull @ rows
        square = g.square().sum(dim=1)
        h = root * (g @ rows.T).gather(1, units)
        spectrum, vectors = torch.linalg.eigh(matrix)
        trace = matrix.diagonal(dim1=1, dim2=2).sum(dim=1)
        off = ROUNDING * (trace * square).sqrt()
        spectrum = spectrum + _SPECTRUM * trace.unsqueeze(1)
        turned = (vectors.mT @ h.unsqueeze(2)).squeeze(2) ** 2
        step = square.sqrt() / (2 * epsilon)
        best = torch.zeros_like(value)
        for multiplier in _MULTIPLIERS:
            weight_of_norm = spectrum[:, -1].clamp(min=0) + multiplier * step
            above = weight_of_norm.unsqueeze(1) - spectrum
            bent_form = (turned / above).sum(dim=1).sqrt() + off / above[:, -1].sqrt()
            form = (square + bent_form**2) / weight_of_norm
            # Where the two nearly cancel, what rounding makes of either is no longer small beside the difference.
            left = (value - form / 4 - ROUNDING * (value.abs() + form)) / weight_of_norm
            radius = left.clamp(min=0).sqrt() * _SHAVED
            best = torch.maximum(best, torch.where(torch.isfinite(radius), radius, 0))
        return best


def parabola_height(centre: Tensor, least: Tensor, most: Tensor, t: Tensor, q: Tensor) -> Tensor:
    """The largest value of relu(centre + v) - t v - q v^2 for v in [least, most] around zero, with a kink inside."""
    kink = torch.minimum(torch.maximum(-centre, least), most)
    left = torch.minimum(torch.maximum(-t / (2 * q), least), kink)
    right = torch.minimum(torch.maximum((1 - t) / (2 * q), kink), most)
    return torch.maximum(-t * left - q * left**2, centre + (1 - t) * right - q * right**2)
