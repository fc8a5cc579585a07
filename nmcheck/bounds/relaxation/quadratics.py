"""Quadratic functions of the change of the input, and what is certain of them in a ball (``curved`` says why)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.bounds.relaxation.interval import ROUNDING

_MULTIPLIERS = (0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.3)
"""Choices of lambda - Lambda, in terms of |g| / (2 epsilon), which is right where P is zero."""
_SHAVED = 1 - 1e-6


@dataclass(frozen=True)
class Applied:
    """What the matrix W makes of slopes g.

    Attributes:
        value: of the function at the image, rounding allowed for.
        square: |g|^2, or more.
        pushed: W g.
        off: how much that can be off in the Euclidean norm.
        back: |W' m W g|, or more, but for that.
    """

    value: Float[Tensor, " specs"]
    square: Float[Tensor, " specs"]
    pushed: Float[Tensor, "specs elements"]
    off: Float[Tensor, " specs"]
    back: Float[Tensor, " specs"]


@dataclass(frozen=True)
class Quadratics:
    """Functions of the change d of the input, each below its spec on the whole ball: value + g.d - d'Pd.

    Attributes:
        value: at the image, rounding allowed for.
        square: |g|^2.
        form: g'Pg.
        pushed: |Pg|^2.
        largest: a bound of P's eigenvalues.
        epsilon: radius of the ball they hold on.
    """

    value: Float[Tensor, " specs"]
    square: Float[Tensor, " specs"]
    form: Float[Tensor, " specs"]
    pushed: Float[Tensor, " specs"]
    largest: Float[Tensor, " specs"]
    epsilon: Float[Tensor, " specs"]

    @classmethod
    def of(
        cls,
        applied: Applied,
        counts: Float[Tensor, "specs elements"],
        c: Float[Tensor, " specs"],
        *,
        lipschitz: float,
        epsilon: Float[Tensor, " specs"],
    ) -> Quadratics:
        """With P = c W' diag(counts) W, W having a Lipschitz constant."""
        repeated = counts.amax(dim=1)
        root = (counts * applied.pushed.square()).sum(dim=1).sqrt() + repeated.sqrt() * applied.off
        return cls(
            value=applied.value,
            square=applied.square,
            form=c * root.square(),
            pushed=(c * (applied.back + lipschitz * repeated * applied.off)).square(),
            largest=c * repeated * lipschitz**2,
            epsilon=epsilon,
        )

    def lowest(self) -> Float[Tensor, " specs"]:
        """The least value on the ball, or less."""
        best = torch.full_like(self.value, -torch.inf)
        for multiplier in _MULTIPLIERS:
            weight, inverse = self._dual(multiplier)
            fall = weight * self.epsilon**2 + inverse / 4
            best = torch.fmax(best, self.value - fall - ROUNDING * (self.value.abs() + fall))
        return best

    def reach(self) -> Float[Tensor, " specs"]:
        """Up to which radius they stay non-negative, or less; 0 if nowhere."""
        best = torch.zeros_like(self.value)
        for multiplier in _MULTIPLIERS:
            weight, inverse = self._dual(multiplier)
            left = (self.value - inverse / 4 - ROUNDING * (self.value.abs() + inverse)) / weight
            best = torch.fmax(best, left.clamp(min=0).sqrt() * _SHAVED)
        return best

    def _dual(self, multiplier: float) -> tuple[Tensor, Tensor]:
        """lambda, and a bound of g'(lambda - P)^-1 g."""
        above = multiplier * self.square.sqrt() / (2 * self.epsilon)
        above = above.clamp(min=torch.finfo(above.dtype).tiny)
        weight = self.largest + above
        return weight, self.square / weight + self.form / weight**2 + self.pushed / (weight**2 * above)
