"""Slope optimization: better lines for the sake of one spec (alpha-CROWN, Xu et al. 2021).

Every relaxed function has a second choice of lines. Any mixture of two lines below a function is below it, so the
weights, one a spec and element, may be anything in [0, 1]; they are moved along the gradient of the spec's lowest value
in its region (Adam). A spec is a difference of logits, or an element whose interval is being tightened. Whatever the
gradient does, what is returned is evaluated once more like any other bound, and is therefore as sound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.bounds.relaxation.relaxation import LinearBounds, Relaxation, Relaxed
from nmcheck.bounds.relaxation.substitution import Mixable, Owner

_RATE = 0.25
"""Adam's step at the start; it falls linearly to a fifth of that."""


class SlopeOptimizer:
    """Finds better lines on one region.

    Args:
        relaxation: the network.
        steps: of the optimization of a combination of logits.
        inner_steps: of that of an element whose interval is tightened.
    """

    def __init__(self, relaxation: Relaxation, steps: int, inner_steps: int) -> None:
        self._relaxation = relaxation
        self._steps = steps
        self._inner_steps = inner_steps
        self._pairs: dict[int, tuple[Mixable, Mixable] | None] = {}

    def __call__(
        self, relaxed: Relaxed, value: str, seeds: Float[Tensor, "specs elements"], owner: Owner
    ) -> LinearBounds:
        """Affine functions below combinations of a value's elements, each with lines of its own.

        Args:
            relaxed: the network on its region, at least as far as ``value``.
            value: its name.
            seeds: the combinations; as many as fit in memory.
            owner: the image each is asked at.
        """
        relaxation = self._relaxation
        behind = relaxation.steps_behind(value)
        pairs = {position: pair for position in behind if (pair := self._pair(relaxed, position)) is not None}
        weights = {
            position: torch.zeros((2, len(seeds), *first.table.shape[1:]), dtype=seeds.dtype, requires_grad=True)
            for position, (first, _) in pairs.items()
        }

        def bounds() -> LinearBounds:
            mixed = list(relaxed.substitutions)
            for position, (first, second) in pairs.items():
                below, above = weights[position]
                mixed[position] = first.mixed(second, below, above, owner)
            return relaxation.substituted(replace(relaxed, substitutions=mixed), value, seeds, owner)

        if weights:
            steps = self._steps if value == relaxation.network.output else self._inner_steps
            best = _ascended(weights, lambda: bounds().lowest(relaxed.region), steps)
            weights = {position: weight.clamp(0, 1) for position, weight in best.items()}
        with torch.no_grad():
            return bounds()

    def lowest(
        self, relaxed: Relaxed, value: str, seeds: Float[Tensor, "specs elements"], owner: Owner
    ) -> Float[Tensor, " specs"]:
        """Their least values in the region, or less."""
        return self(relaxed, value, seeds, owner).lowest(relaxed.region)

    def _pair(self, relaxed: Relaxed, position: int) -> tuple[Mixable, Mixable] | None:
        """The two choices at a step, the second made when first asked for."""
        if position not in self._pairs:
            step, first = self._relaxation.steps[position], relaxed.substitutions[position]
            second = step.second([relaxed.intervals[name] for name in step.inputs], first)
            self._pairs[position] = (first, second) if second is not None and isinstance(first, Mixable) else None
        return self._pairs[position]


def _ascended(weights: dict[int, Tensor], lowest: Callable[[], Tensor], steps: int) -> dict[int, Tensor]:
    """For every spec the weights at which its value was highest on the way, the first ones included."""
    best = {position: weight.detach().clone() for position, weight in weights.items()}
    highest: Tensor | None = None
    optimizer = torch.optim.Adam(list(weights.values()), lr=_RATE)
    for step in range(steps + 1):
        found = lowest()
        better = torch.ones_like(found, dtype=torch.bool) if highest is None else found.detach() > highest
        highest = found.detach() if highest is None else torch.maximum(highest, found.detach())
        for position, weight in weights.items():
            best[position][:, better] = weight.detach()[:, better]
        if step == steps:
            break
        for group in optimizer.param_groups:
            group["lr"] = _RATE * (1 - 0.8 * step / steps)
        optimizer.zero_grad()
        (-found.sum()).backward()
        optimizer.step()
        with torch.no_grad():
            for weight in weights.values():
                weight.clamp_(0, 1)
    return best
