"""How far two executions of the same network differ."""

from __future__ import annotations

import numpy as np
from jaxtyping import Num


def relative_difference(
    program_output: Num[np.ndarray, "*shape"], reference_output: Num[np.ndarray, "*shape"]
) -> float:
    """Max |difference| / max |reference|; the absolute difference where the reference is 0 throughout.

    NaN if either holds a NaN, so that no threshold is passed by it.
    """
    ours, reference = (np.asarray(array, dtype=np.float64) for array in (program_output, reference_output))
    with np.errstate(invalid="ignore"):
        # Infinities of the same sign agree.
        difference = np.where(ours == reference, 0.0, np.abs(ours - reference))
    largest, size = float(difference.max(initial=0.0)), float(np.abs(reference).max(initial=0.0))
    return largest / size if size > 0 else largest
