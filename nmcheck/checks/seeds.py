"""Independent noise for every image, noise level and purpose, from the one seed the user gives."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What the noise is for."""

    REFERENCE = 0
    NOISE_GAIN = 1
    PROPAGATION = 2
    PROBES = 3
    AVERAGING = 4
    CUT = 5
    PILOT = 6
    GATE = 7
    PICTURES = 8
    COMPARISON = 9


def noise_seed(seed: int, purpose: Purpose, index: int, level: int) -> int:
    """A 63-bit seed for the noise of one image at one noise level.

    Args:
        seed: the user's.
        purpose: what the noise is for.
        index: the image's index in the data, so that its noise does not depend on which others are used.
        level: position of the noise level among those asked for.
    """
    return int(np.random.SeedSequence((seed, int(purpose), index, level)).generate_state(1, np.uint64)[0] >> 1)
