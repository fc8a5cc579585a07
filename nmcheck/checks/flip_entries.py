"""How often noise changes the predicted class, by image and class, for the report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nmcheck.checks.case import Case
from nmcheck.checks.moments import EngineRun
from nmcheck.moments.flips import MOST_CONTENDERS, clopper_pearson, pooled_clopper_pearson
from nmcheck.moments.reference_moments import ReferenceMoments
from nmcheck.results import (
    ClassFlipEstimate,
    ClassFlips,
    ConfusionRow,
    EstimatedFlips,
    ImageFlipEstimate,
    ImageFlips,
    SampledFlips,
)

TOO_MANY_CLASSES = (
    f"in some image more than {MOST_CONTENDERS} classes are likely enough to come out, each of which would take an "
    "integral of its own; the sampled matrix has them all"
)


def sampled_flips(case: Case, sigma: float, references: Sequence[ReferenceMoments]) -> SampledFlips:
    """What the reference's independent draws say at one noise level."""
    predicted = case.predicted.cpu().numpy()
    by_class = []
    for c in np.unique(predicted):
        of_class = [references[int(row)] for row in np.flatnonzero(predicted == c)]
        pooled = pooled_clopper_pearson((found.flips, found.flip_trials) for found in of_class)
        by_class.append(
            ClassFlips(
                class_=int(c),
                images=len(of_class),
                trials=pooled.n,
                sampled=pooled.rate,
                low=pooled.low,
                high=pooled.high,
            )
        )
    intervals = [clopper_pearson(found.flips, found.flip_trials) for found in references]
    by_image = tuple(
        ImageFlips(
            index=int(case.positions[row]),
            label=int(case.classes_of_images[row]),
            predicted=int(predicted[row]),
            sampled=one.rate,
            low=one.low,
            high=one.high,
        )
        for row, one in enumerate(intervals)
    )
    shares = [found.classes.double().numpy() / found.flip_trials for found in references]
    return SampledFlips(
        sigma_pixel=sigma,
        confidence=intervals[0].confidence,
        trials=intervals[0].n,
        per_class=tuple(by_class),
        per_image=by_image,
        confusion=_confusion(predicted, shares),
    )


def estimated_flips(case: Case, run: EngineRun) -> EstimatedFlips | None:
    """What an engine estimates; None where it gives no covariance for some image."""
    flips = [flip for flip in run.flips if flip is not None]
    if len(flips) < len(run.flips):
        return None
    predicted = case.predicted.cpu().numpy()
    shares = [one for one in run.classes if one is not None]
    complete = len(shares) == len(run.classes)
    rows = {int(c): np.flatnonzero(predicted == c) for c in np.unique(predicted)}
    return EstimatedFlips(
        per_class=tuple(
            ClassFlipEstimate(
                class_=c, images=len(chosen), analytic=float(np.mean([flips[int(row)] for row in chosen]))
            )
            for c, chosen in rows.items()
        ),
        per_image=tuple(
            ImageFlipEstimate(index=int(case.positions[row]), analytic=flip) for row, flip in enumerate(flips)
        ),
        confusion=_confusion(predicted, shares) if complete else None,
        confusion_reason=None if complete else TOO_MANY_CLASSES,
    )


def _confusion(predicted: np.ndarray, shares: Sequence[np.ndarray]) -> tuple[ConfusionRow, ...]:
    """The images' class probabilities averaged over those predicted alike."""
    found = []
    for c in np.unique(predicted):
        chosen = np.flatnonzero(predicted == c)
        mean = np.mean([shares[int(row)] for row in chosen], axis=0)
        to = {str(j): float(mean[j]) for j in np.flatnonzero(mean)}
        found.append(ConfusionRow(class_=int(c), images=len(chosen), to=to))
    return tuple(found)
