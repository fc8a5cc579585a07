"""``--cut best``: the ReLU around which the linearized network comes closest to the network under the noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from torch import Tensor

from nmcheck.checks.case import Case
from nmcheck.checks.cut import Refusal
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.checks.progress import Progress
from nmcheck.checks.seeds import Purpose, noise_seed
from nmcheck.graph.cuts import CutPoint, cut_points
from nmcheck.linearize.budget import budget_refusal
from nmcheck.linearize.linearizer import LINEARIZERS, Linearizer
from nmcheck.moments.gaussian import GaussianInput
from nmcheck.results import CutError, LevelError

IMAGES = 8
"""Images looked at, evenly spaced among those analysed."""
DRAWS = 32
"""Noise draws an image and noise level."""
NEAR = 0.05
"""An error is near the smallest if it exceeds it by no more than this part of it."""
EXACT = 1e-6
"""Errors below are rounding: the network has the form (Affine, ReLU, Affine) around that ReLU."""

UNMOVED = "noise does not move the logits of the images looked at"
INFINITE = "the logits under noise are infinite or no numbers"


@dataclass(frozen=True)
class _Trial:
    """One image at one noise level: the draws to linearize with, noisy images, and the network's logits there."""

    image: Tensor
    averaging: Tensor
    noisy: Tensor
    logits: Tensor
    moved: float


def cut_errors(
    case: Case, options: AnalyzeOptions, progress: Progress, refusal: Refusal = budget_refusal
) -> tuple[CutError, ...]:
    """The linearization error of every ReLU whose matrices fit in memory, measured, and which is chosen.

    With M the network linearized around the ReLU at an image x, and R the network, the error at x is
    sqrt(mean |M(x + e) - R(x + e)|^2 / mean |R(x + e) - R(x)|^2) over ``DRAWS`` draws e: the part of the logits'
    movement that the linearization misses. It is averaged over ``IMAGES`` images and over the noise levels; images
    that the noise does not move are left out. All ReLUs see the same draws. ``_chosen`` says which is taken.

    Args:
        case: the network, the images and what the noise is like.
        options: the noise levels, the linearizer and the seed.
        progress: told of each ReLU done.
        refusal: whether what is made at a ReLU fits in memory.
    """
    rows = np.unique(np.linspace(0, len(case.images) - 1, min(IMAGES, len(case.images))).round().astype(int))
    trials = [[_trial(case, options, int(row), level) for row in rows] for level in range(len(options.sigmas))]
    points, found = cut_points(case.graph), []
    with progress.stage("Choice of the cut", len(points)) as advance:
        for point in points:
            found.append(_measured(case, options, point, trials, refusal(case.graph, point.node)))
            advance(1)
    chosen = _chosen(found)
    return tuple(replace(one, chosen=position == chosen) for position, one in enumerate(found))


def _chosen(found: Sequence[CutError]) -> int | None:
    """The last ReLU whose error is near the smallest or is rounding, for a later one has smaller matrices as a rule.

    Where no error could be measured, the last one that fits in memory.
    """
    errors = {position: one.error for position, one in enumerate(found) if one.error is not None}
    if errors:
        limit = max(EXACT, (1 + NEAR) * min(errors.values()))
        return max(position for position, error in errors.items() if error <= limit)
    return max((position for position, one in enumerate(found) if one.within_budget), default=None)


def _trial(case: Case, options: AnalyzeOptions, row: int, level: int) -> _Trial:
    image, index = case.images[row], int(case.positions[row])
    x = GaussianInput(image.flatten(), options.sigmas[level], case.structure)

    def draws(count: int, purpose: Purpose) -> Tensor:
        return x.draws(count, noise_seed(options.seed, purpose, index, level)).reshape(-1, *image.shape)

    noisy = image + draws(DRAWS, Purpose.CUT)
    logits = case.double(noisy)
    return _Trial(
        image=image,
        averaging=draws(options.averaging_points // 2, Purpose.AVERAGING),
        noisy=noisy,
        logits=logits,
        moved=_distance(logits, case.logits[row]),
    )


def _distance(some: Tensor, others: Tensor) -> float:
    """Root mean square over draws of the Euclidean distance."""
    return float((some - others).square().sum(dim=1).mean().sqrt())


def _measured(
    case: Case, options: AnalyzeOptions, point: CutPoint, trials: Sequence[Sequence[_Trial]], refusal: str | None
) -> CutError:
    linearizer = None if refusal else LINEARIZERS[options.linearizer](case.double, point.node)
    levels = [
        _at_level(sigma, linearizer, of_level, refusal) for sigma, of_level in zip(options.sigmas, trials, strict=True)
    ]
    known = [one.error for one in levels if one.error is not None]
    missing = [one.error_reason for one in levels if one.error is None]
    return CutError(
        node=point.node.name,
        kind=point.kind,
        units=prod(case.graph.shapes[point.node.outputs[0]]),
        within_budget=refusal is None,
        chosen=False,
        error=None if missing else float(np.mean(known)),
        error_reason=missing[0] if missing else None,
        levels=tuple(levels),
        images=len(trials[0]),
        draws=DRAWS,
    )


def _at_level(sigma: float, linearizer: Linearizer | None, trials: Sequence[_Trial], refusal: str | None) -> LevelError:
    if linearizer is None:
        return LevelError(sigma_pixel=sigma, error=None, error_reason=refusal)
    errors = [
        _distance(linearizer.outputs(one.image, one.averaging, one.noisy), one.logits) / one.moved
        for one in trials
        if one.moved != 0
    ]
    if not np.isfinite(errors).all():
        return LevelError(sigma_pixel=sigma, error=None, error_reason=INFINITE)
    if not errors:
        return LevelError(sigma_pixel=sigma, error=None, error_reason=UNMOVED)
    return LevelError(sigma_pixel=sigma, error=float(np.mean(errors)))
