"""What is known of each image's distance to another label, as a report states it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nmcheck.checks.case import Case
from nmcheck.results import UNREACHABLE, SampleBounds

NO_ATTACK = "no attack was run, so no adversarial example is known"


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
