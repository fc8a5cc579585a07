"""Student's interval of an error averaged over images."""

from __future__ import annotations

import scipy.stats


def student_interval(value: float, error: float, images: int, confidence: float) -> tuple[float, float]:
    """Ends of Student's interval of an E_r averaged over images, cut to the values 0 to 2 that an E_r can have.

    It would be exact if the images' errors were normal; they are not, so that this is an approximation.

    Args:
        value: the average.
        error: its standard error over the images.
        images: how many, at least 2.
        confidence: of the interval.
    """
    reach = float(scipy.stats.t.ppf(0.5 + 0.5 * confidence, images - 1)) * error
    return max(0.0, value - reach), min(2.0, value + reach)
