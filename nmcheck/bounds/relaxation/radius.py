"""Certified radii from linear relaxation, image by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nmcheck.bounds.relaxation.curved import CurvedLayer
from nmcheck.bounds.relaxation.optimization import SlopeOptimizer
from nmcheck.bounds.relaxation.quadratic import QuadraticLayer
from nmcheck.bounds.relaxation.region import Region
from nmcheck.bounds.relaxation.relaxation import Relaxation, Relaxed
from nmcheck.bounds.relaxation.rows import rows_of
from nmcheck.bounds.relaxation.search import Search, search_radii
from nmcheck.decision import predicted_class, takes_over

THEOREMS = {
    "crown-ibp": "linear relaxation backward from the logits (CROWN-IBP), intervals from interval arithmetic, "
    "Lipschitz balls and exact dual norms",
    "crown": "linear relaxation backward from the logits and from every element whose interval matters (CROWN), "
    "intersected with interval arithmetic, Lipschitz balls and exact dual norms; in L2 a first layer of "
    "ReLUs or maxima of affine functions of the input also by parabolas",
    "crown-optimized": "CROWN with lines optimized by gradient for every pair of classes (alpha-CROWN), each bound "
    "evaluated anew after the optimization",
}
_INNER = 2
"""Of the steps of slope optimization, how many times fewer an element of an inner layer gets."""
_FIRST = 1.5
"""The first radius tested, in terms of the one known."""
_CLOSE = 1.6
"""Classes whose reach is below that many times the nearest one's are looked at again, by quadratic bounds."""
_BEYOND = 1.25
"""Tests go that far beyond an adversarial example, so that a wrong certificate shows instead of ending there."""
_ABSENT = 1e-3
"""The first radius tested where none is known, in terms of the image's norm."""


@dataclass(frozen=True)
class Images:
    """What is asked about.

    Attributes:
        inputs: the images, float64, (images, *sample).
        logits: their logits.
        norm: 2 or infinity.
        box: range the perturbed input must stay in, or None.
    """

    inputs: Float[Tensor, "images *sample"]
    logits: Float[Tensor, "images classes"]
    norm: float
    box: tuple[float, float] | None = None

    def only(self, chosen: Int[Tensor, " chosen"]) -> Images:
        """Some of them."""
        return replace(self, inputs=self.inputs[chosen], logits=self.logits[chosen])


class RelaxedRadii:
    """Radii that the relaxation of one network certifies.

    Args:
        relaxation: the network.
        tighten: whether intervals are tightened by going backward (``crown``) or not (``crown-ibp``).
        optimize: steps of slope optimization a test; 0 for none.
    """

    def __init__(self, relaxation: Relaxation, *, tighten: bool, optimize: int = 0) -> None:
        self._relaxation = relaxation
        self._tighten = tighten
        self._optimize = optimize
        self._curved = CurvedLayer.of(relaxation) if tighten else None
        self._quadratic = QuadraticLayer.of(relaxation) if tighten else None

    def at(
        self,
        images: Images,
        known: Float[Tensor, "images classes"],
        upper: Float[Tensor, " images"] | None = None,
        search: Search | None = None,
    ) -> Float[Tensor, "images classes"]:
        """Radii by class, infinite for the predicted one and for masked ones, which are never chosen.

        Args:
            images: what is asked about.
            known: radii certified already, by class; zero where none is.
            upper: norms of adversarial examples, infinite where none is known. They only say where to look; what is
                certified does not depend on their being right, and may exceed them if it is wrong.
            search: how long to look.
        """

        def test(epsilon: Tensor, chosen: Tensor) -> Tensor:
            return self.reach(images, epsilon, chosen)

        least = known.amin(dim=1)
        size = torch.linalg.vector_norm(rows_of(images.inputs), ord=images.norm, dim=1).clamp(min=1)
        first = torch.where((least > 0) & torch.isfinite(least), _FIRST * least, _ABSENT * size)
        limit = torch.full_like(least, torch.inf) if upper is None else _BEYOND * upper
        return search_radii(test, known, first, limit, search or Search())

    def reach(
        self, images: Images, epsilon: Float[Tensor, " chosen"], chosen: Int[Tensor, " chosen"]
    ) -> Float[Tensor, "chosen classes"]:
        """Up to which radius linear bounds that hold on balls of ``epsilon`` keep each class below the predicted."""
        region = Region(images.inputs[chosen], epsilon, images.norm, images.box)
        optimizer = None
        if self._optimize:
            optimizer = SlopeOptimizer(self._relaxation, self._optimize, self._optimize // _INNER)
        curved = self._curved if region.norm == 2 else None
        relaxed = self._relaxation.relax(
            region,
            tighten=self._tighten,
            first=optimizer.lowest if optimizer else curved and curved.straight,
            then=curved and curved.lowest,
        )
        logits = images.logits[chosen]
        seeds, owner, other = margins(logits, self._relaxation.masked)
        output = self._relaxation.network.output
        bounds = self._relaxation.lower_bounds(relaxed, output, seeds, owner, optimizer)
        found = torch.full_like(logits, torch.inf)
        reach = region.reach_of(bounds.value, bounds.slope, owner)
        if region.norm == 2:  # In a box, too: what holds in the ball holds in its part.
            for layer in (self._curved, self._quadratic):
                reach = reach if layer is None else self._bent(layer, relaxed, seeds, owner, reach)
        # Where the difference may be zero at the image itself, only a class that comes later stays below.
        tied = takes_over(-bounds.value, other, predicted_class(logits)[owner])
        reach = torch.where(tied, reach.clamp(max=0), reach)
        # Numbers that overflowed on the way prove nothing.
        found[owner, other] = torch.where(torch.isfinite(bounds.value), reach, 0)
        return found.nan_to_num(nan=0.0, posinf=torch.inf)

    @staticmethod
    def _bent(
        layer: CurvedLayer | QuadraticLayer,
        relaxed: Relaxed,
        seeds: Tensor,
        owner: Tensor,
        reach: Float[Tensor, " specs"],
    ) -> Float[Tensor, " specs"]:
        """Reaches, those of each image's nearest classes by quadratic bounds where these are better."""
        nearest = torch.full_like(relaxed.region.epsilon, torch.inf).scatter_reduce(0, owner, reach, "amin")
        chosen = ((reach < _CLOSE * nearest.clamp(min=0)[owner]) | (reach <= 0)).nonzero().squeeze(1)
        if not len(chosen):
            return reach
        better = layer.reach(relaxed, seeds[chosen], owner[chosen])
        found = reach.clone()
        found[chosen] = torch.where(better > 0, torch.maximum(reach[chosen], better), reach[chosen])
        return found


def margins(
    logits: Float[Tensor, "images classes"], masked: Sequence[int] = ()
) -> tuple[Float[Tensor, "specs classes"], Int[Tensor, " specs"], Int[Tensor, " specs"]]:
    """Coefficients of f_c - f_j for every image's predicted c and every other j that is not masked.

    Returns:
        The coefficients, and the image and j of each.
    """
    classes = logits.shape[1]
    own = predicted_class(logits)
    rivals = torch.arange(classes) != own.unsqueeze(1)
    rivals[:, list(masked)] = False
    owner, other = rivals.nonzero(as_tuple=True)
    seeds = torch.zeros((len(owner), classes), dtype=logits.dtype)
    rows = torch.arange(len(owner))
    seeds[rows, own[owner]] = 1
    seeds[rows, other] = -1
    return seeds, owner, other
