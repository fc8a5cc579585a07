"""A parabola above a maximum of several values, each in an interval around its middle.

For any slopes p, any q > 0 and |v_t| <= h_t,

    max_k (z_k + v_k) <= M + sum_t p_t v_t + q sum_t v_t^2,    M = max_k ( z_k + sum_t phi_t(|[t = k] - p_t|) ),

phi_t(a) being the largest a v - q v^2 with 0 <= v <= h_t. Proof: for each k the difference of both sides is a sum over
t, and M is at least what each of these sums can reach. A value that always lies below another's lower end need not be
counted among the k. With two values (x, 0) this is a parabola above ReLU.

The slopes are those that make M smallest between the two values that are highest in the middle: with a difference
delta of these and D = |e_a - e_b|^2, 1 - tau and tau = (1 - 4 q delta / D) / 2, at least 0, where no h_t is in the way.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_ROUNDING = 1e-13


@dataclass(frozen=True)
class Compared:
    """Values compared, at many places.

    Attributes:
        middle: z, (taps, places).
        half: h, how far a value can be from its middle; zero for a constant.
        possible: which values can be the largest; at least one at every place.
        variable: which are no constants.
    """

    middle: Float[Tensor, "taps places"]
    half: Float[Tensor, "taps places"]
    possible: Bool[Tensor, "taps places"]
    variable: Bool[Tensor, "taps places"]

    @classmethod
    def between(cls, low: Tensor, middle: Tensor, high: Tensor, variable: Bool[Tensor, "taps places"]) -> Compared:
        """Of the intervals [low, high] around the middles."""
        floor = low.amax(dim=0)
        return cls(middle, torch.maximum(high - middle, middle - low), (high > floor) | (low == floor), variable)

    @property
    def contested(self) -> Bool[Tensor, " places"]:
        """Where several values can be the largest."""
        return self.possible.sum(dim=0) > 1

    def at(self, places: Int[Tensor, " chosen"]) -> Compared:
        """Some of the places."""
        return Compared(
            self.middle[:, places], self.half[:, places], self.possible[:, places], self.variable[:, places]
        )


def parabola(values: Compared, q: Float[Tensor, " places"]) -> tuple[Float[Tensor, "taps places"], Tensor]:
    """Slopes p and height M.

    Args:
        values: at least two taps.
        q: positive, one for each place.
    """
    slopes = _slopes(values, q)
    height = torch.full_like(q, -torch.inf)
    for k in range(len(slopes)):
        reached = values.middle[k].clone()
        for t in range(len(slopes)):
            steepness = (slopes[t] - 1 if t == k else slopes[t]).abs()
            v = torch.minimum(steepness / (2 * q), values.half[t])
            reached += v * (steepness - q * v)
        height = torch.where(values.possible[k], torch.maximum(height, reached), height)
    terms = torch.where(values.possible, values.middle.abs(), 0).amax(dim=0) + values.half.sum(dim=0)
    return slopes, height + _ROUNDING * terms


def _slopes(values: Compared, q: Tensor) -> Tensor:
    ranked = torch.where(values.possible, values.middle, -torch.inf).topk(2, dim=0)
    first, second = ranked.indices
    apart = torch.stack([values.variable.gather(0, one.unsqueeze(0)).squeeze(0) for one in (first, second)])
    distance = apart.sum(dim=0).clamp(min=1)
    difference = ranked.values[0] - ranked.values[1]
    tau = ((1 - 4 * q * difference / distance) / 2).clamp(min=0)
    slopes = torch.zeros_like(values.middle)
    slopes.scatter_(0, first.unsqueeze(0), (1 - tau).unsqueeze(0)).scatter_(0, second.unsqueeze(0), tau.unsqueeze(0))
    return torch.where(values.variable, slopes, 0)
