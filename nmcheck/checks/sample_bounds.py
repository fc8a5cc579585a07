"""What is known of each image's distance to another label, as a report states it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from nmcheck.checks.case import Case
from nmcheck.counting import counted
from nmcheck.results import UNREACHABLE, SampleBounds

NO_ATTACK = "no attack was run, so no adversarial example is known"


CONTRADICTED = (
    "an example that onnxruntime confirms lies within the radius certified in real arithmetic; near a tie the rounding "
    "of its kernels does that"
)
CONTRADICTIONS = (
    "For {count} of {images} no certified radius is stated: {reason}. Where such an example is not next to the "
    "image itself it is a defect of nmcheck; please report it. Means over the images still contain these radii."
)


class End(NamedTuple):
    """One end of the interval that holds the distance.

    Attributes:
        value: the end, or None.
        reason: why there is none.
        method: what gave it, or None.
    """

    value: float | None
    reason: str | None
    method: str | None


UNATTACKED = End(None, NO_ATTACK, None)


def finite(value: float) -> tuple[float | None, str | None]:
    """A number, or None and why where it is infinite."""
    return (value, None) if math.isfinite(value) else (None, UNREACHABLE)


def over_images(value: float, values: np.ndarray) -> tuple[float | None, str | None]:
    """What summarises some images' radii, or None and of how many of them one is infinite, where it is so itself."""
    if math.isfinite(value):
        return value, None
    count = int(np.isinf(values).sum())
    return None, UNREACHABLE if count == len(values) else f"{UNREACHABLE} of {count:,} of {len(values):,} images"


def certified_end(radius: float | None, reason: str | None, method: str) -> End:
    """The lower end.

    Args:
        radius: a certified radius, infinite where no change can move the label; None where there is none.
        reason: why there is none.
        method: what certified it.
    """
    value, why = (None, reason) if radius is None else finite(radius)
    return End(value, why, None if value is None else method)


def sample_bounds(case: Case, lower: Iterable[End], upper: Sequence[End] | None = None) -> tuple[SampleBounds, ...]:
    """A record an image.

    Args:
        case: the model and its images.
        lower: of each image.
        upper: of each image; None without an attack.
    """
    uppers = [UNATTACKED] * len(case.positions) if upper is None else upper
    return tuple(
        SampleBounds(
            index=int(position),
            label=int(case.classes_of_images[row]),
            predicted=int(case.predicted[row]),
            correct=bool(case.correct[row]),
            lower=low.value,
            lower_reason=low.reason,
            lower_method=low.method,
            upper=high.value,
            upper_reason=high.reason,
            upper_method=high.method,
        )
        for row, (position, low, high) in enumerate(zip(case.positions, lower, uppers, strict=True))
    )


def reconciled(samples: Iterable[SampleBounds]) -> tuple[SampleBounds, ...]:
    """The records, with certified radii beyond a confirmed example taken back."""
    return tuple(
        replace(sample, lower=None, lower_reason=CONTRADICTED, lower_method=None)
        if _is_contradicted(sample)
        else sample
        for sample in samples
    )


def contradictions(samples: Sequence[SampleBounds]) -> tuple[str, ...]:
    """A warning about radii that were taken back."""
    count = sum(sample.lower_reason == CONTRADICTED for sample in samples)
    if not count:
        return ()
    return (CONTRADICTIONS.format(count=f"{count:,}", images=counted(len(samples), "image"), reason=CONTRADICTED),)


def _is_contradicted(sample: SampleBounds) -> bool:
    if sample.upper is None:
        return False
    return sample.lower_reason == UNREACHABLE if sample.lower is None else sample.lower > sample.upper
