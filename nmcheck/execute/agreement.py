"""Whether two executions of a network agree, each output by its own measure.

An output that a mask puts at -1e7 says nothing about how exact the others are, nor does one that sits on an offset of
1e6. So a difference is measured by the spread of its own output over the images, of which a misread operator changes a
good part, and by what rounding explains: of the output's own magnitude, and of the sums behind it, which the same
network computed in float64 shows.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Outputs = Float[np.ndarray, "images outputs"]
Probes = Float[np.ndarray, "probes outputs"]

SINGLE, HALF = 1e-4, 1e-2
"""Largest difference of an output on its scale, by the precision the file computes in. Rounding in deep networks stays
below it, a misread operator does not."""
_SINGLE_UNIT, _HALF_UNIT = float(np.finfo(np.float32).eps), float(np.finfo(np.float16).eps)
_LEAST = float(np.finfo(np.float32).tiny)
"""Smaller numbers are rounded to multiples of a fixed one, or to zero."""
_OWN = 4
"""Units in the last place of its own that an output may be off, whatever it was computed from."""
_NOISE = 24
"""Times the root mean square of float32's rounding that an output may be off: onnxruntime adds up in other orders, and
the largest of a hundred thousand differences of Gaussian numbers is six or seven of their deviations."""
_MOST_NOISE = 1e-3
"""Part of an output's size beyond which a difference of float32 and float64 is more than rounding."""


def single_scale(reference: Outputs, single: Probes, double: Probes) -> Outputs:
    """What a difference from ``reference`` is measured by where the file computes in single precision or better.

    The spread of each output, and what rounding explains, over ``SINGLE``: on this scale ``SINGLE`` is the limit.

    Args:
        reference: the outputs.
        single: outputs of some inputs like those behind ``reference``, computed in float32.
        double: of the same inputs, in float64.
    """
    size, spread = np.abs(reference), np.ptp(reference, axis=0)
    noise = np.sqrt(np.nan_to_num(np.square(single - double), nan=0.0, posinf=0.0).mean(axis=0))
    largest = size.max(axis=0)
    # Where the rounding of the output itself explains its noise, that says nothing about the sums behind other outputs.
    behind = noise > 2 * _SINGLE_UNIT * largest
    if behind.any():
        relative = float(np.median(noise[behind] / np.maximum(largest[behind], _LEAST)))
        noise = np.maximum(np.maximum(noise, np.median(noise[behind])), relative * size)
    most = _MOST_NOISE * np.maximum(np.maximum(spread, size), _usual_size(reference))
    sums = np.minimum(_NOISE * noise, most) + _NOISE * _LEAST
    return spread + np.maximum(_OWN * _SINGLE_UNIT * size, sums) / SINGLE


def half_scale(reference: Outputs) -> Outputs:
    """The same where the file computes in half precision.

    No execution in it is at hand that could show the rounding of sums, so the spread counts as at least the size that
    half of an image's outputs have.
    """
    spread = np.maximum(np.ptp(reference, axis=0), _usual_size(reference))
    return spread + _OWN * _HALF_UNIT * np.abs(reference) / HALF


def differences(ours: Outputs, reference: Outputs, scale: Outputs) -> Outputs:
    """|ours - reference| / scale; 0 where they are equal, infinite where they differ and the scale is 0.

    NaN where one of them is NaN, so that no threshold is passed by it.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.abs(ours - reference) / scale
    return np.where(ours == reference, 0.0, found)


def _usual_size(reference: Outputs) -> Float[np.ndarray, "images one"]:
    """The size that at least half of an image's outputs have at most: that of some output, and not of a rare one."""
    return np.quantile(np.abs(reference), 0.5, axis=1, method="lower", keepdims=True)
