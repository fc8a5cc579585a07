"""How far two executions of the same network differ."""

from __future__ import annotations

import numpy as np
from jaxtyping import Num


def relative_difference(program_output: Num[np.ndarray, "*shape"], reference_output: Num[np.ndarray, "*shape"]) -> float:
    """max |difference| / max |reference|; the absolute difference where the reference is 0 throughout.

    NaN if either holds a NaN, so that no threshold is passed by it.
    """
    reference = np.asarray(reference_output, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        difference = np.abs(np.asarray(program_output, dtype=np.float64) - reference)
    # Infinities of the same sign agree.
    difference[np.asarray(program_output) == reference] = 0.0
    largest, size = float(difference.max(initial=0.0)), float(np.abs(reference).max(initial=0.0))
    return largest / size if size > 0 else largest
