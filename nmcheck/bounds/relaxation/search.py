"""The largest radius that a family of linear bounds certifies, per image.

A test at epsilon gives, for every other class, an affine function below the logit difference on the whole ball of
radius epsilon. It stays non-negative up to some radius F of its own; within min(epsilon, F) the difference therefore
cannot fall below zero, whether or not the test at epsilon as a whole was passed. Only such radii are certified, class
by class the best of all tests: nothing is ever interpolated into a certificate.

F falls with epsilon, as wider balls have looser bounds, and where F(epsilon) = epsilon nothing is left to gain. That
point is approached by the secant of F(epsilon) - epsilon, kept inside its bracket.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

Test = Callable[[Float[Tensor, " chosen"], Int[Tensor, " chosen"]], Float[Tensor, "chosen classes"]]
"""From radii and the images they are tested at to F for every class: infinite for the image's own, and negative where
the bound is of no use even at the image, the more so the worse it is."""

_INSIDE = 0.02
"""Share of a bracket that a step keeps away from its ends."""
_GROWTH = 3.0
"""Most a radius grows from one passed test to the next."""
_SECOND = 1.3
"""And if it is the first."""


@dataclass(frozen=True)
class Search:
    """How long to look.

    Attributes:
        tests: tests an image at most.
        accuracy: relative distance from the certified radius to one that was not, or is not expected to be, at which
            to stop.
    """

    tests: int = 8
    accuracy: float = 0.005


def search_radii(
    test: Test,
    known: Float[Tensor, "images classes"],
    first: Float[Tensor, " images"],
    upper: Float[Tensor, " images"],
    search: Search,
) -> Float[Tensor, "images classes"]:
    """Certified radii by class, each at least the one known.

    Args:
        test: F at given radii.
        known: radii certified already, by class.
        first: the radius to test first, positive and finite.
        upper: no radius above it is tested; infinite if none is known to be hopeless.
        search: how long to look.
    """
    best = known.clone()
    bracket = _Bracket(best.amin(dim=1), upper)
    epsilon = torch.minimum(first, upper)
    for _ in range(search.tests):
        certified = best.amin(dim=1)
        enough = certified * (1 + search.accuracy)
        chosen = (torch.isfinite(certified) & (bracket.high > enough) & (epsilon > enough)).nonzero().squeeze(1)
        if not len(chosen):
            break
        tested = epsilon[chosen]
        reach = test(tested, chosen)
        proven = torch.minimum(reach, tested.unsqueeze(1)).clamp(min=0)
        best[chosen] = torch.maximum(best[chosen], proven)
        bracket.add(chosen, tested, reach.amin(dim=1) - tested)
        epsilon = bracket.proposal(best.amin(dim=1), search.accuracy)
    return best


class _Bracket:
    """Radii around the crossing of F(epsilon) - epsilon, image by image, and the last two tests made."""

    def __init__(self, known: Tensor, upper: Tensor) -> None:
        self.low, self.high = known.clone(), upper.clone()
        # Nothing is known of the difference until a test has been made.
        self._last, self._last_gap = self.low.clone(), torch.full_like(known, torch.nan)
        self._former, self._former_gap = self.low.clone(), torch.full_like(known, torch.nan)

    def add(self, chosen: Tensor, tested: Tensor, gap: Tensor) -> None:
        """Take in a test."""
        passed = gap >= 0
        self.low[chosen] = torch.where(passed, tested, self.low[chosen])
        self.high[chosen] = torch.where(passed, self.high[chosen], tested)
        self._former[chosen], self._former_gap[chosen] = self._last[chosen], self._last_gap[chosen]
        self._last[chosen], self._last_gap[chosen] = tested, gap

    def proposal(self, certified: Tensor, accuracy: float) -> Tensor:
        """The radius to test next; not above what is certified where no more is expected."""
        low, high = torch.maximum(self.low, certified), self.high
        tiny = torch.finfo(low.dtype).tiny
        fall = (self._former_gap - self._last_gap) / (self._last - self._former)
        crossing = torch.where(fall > 0, self._last + self._last_gap / fall.clamp(min=tiny), torch.inf)
        crossing = torch.where(fall.isnan(), torch.nan, crossing)
        # F falls steeply, so a radius just below its crossing loses least.
        aimed = crossing * (1 - accuracy / 3)
        halved = torch.where(low > 0, (low.clamp(min=tiny) * high).sqrt(), high / 4)
        outside = ~(aimed < high - _INSIDE * (high - low)) | (aimed < low)
        inside = torch.where(outside | torch.isnan(aimed), halved, aimed)
        ahead = torch.minimum(torch.maximum(aimed, 1.1 * self.low), _GROWTH * self.low)
        outward = torch.where(torch.isfinite(ahead), ahead, _SECOND * self.low)
        return torch.where(torch.isfinite(high), inside, outward)
