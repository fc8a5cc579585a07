"""How near analytic moments are to a sampled reference: the papers' metric E_r, biases, ratios and z-scores.

Arrays are (images, classes); "class" is the index of a logit. E_r is dominated by logits whose mean is near zero, so it
stands beside the bias in output deviations and the z-score, which says whether the reference can see an error at all.

A logit that no sample moved (masked, dead, saturated) has no variance that an error could be measured by, and an E_r of
2 as soon as an engine says 1e-300: averages leave it out, and say how many they left out.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
import scipy.special
from jaxtyping import Bool, Float

Array = np.ndarray
_FLOOR_NODES = 256


@dataclass(frozen=True)
class SampledMoments:
    """The reference of every image and class.

    Attributes:
        mean: sampled means.
        mean_se: their standard errors.
        variance: sampled variances.
        variance_se: their standard errors.
        moved: whether samples moved the logit; where they did, its variance is positive.
    """

    mean: Float[Array, "images classes"]
    mean_se: Float[Array, "images classes"]
    variance: Float[Array, "images classes"]
    variance_se: Float[Array, "images classes"]
    moved: Bool[Array, "images classes"]

    def of_class(self, c: int) -> SampledMoments:
        """The reference of one logit, shape (images, 1)."""
        return SampledMoments(
            self.mean[:, [c]], self.mean_se[:, [c]], self.variance[:, [c]], self.variance_se[:, [c]], self.moved[:, [c]]
        )


@dataclass(frozen=True)
class Tightness:
    """Errors averaged over the logits that samples moved. None: the number does not exist.

    Without such a logit there is none; a standard error needs two images that have one.

    Attributes:
        images: how many there are.
        unmoved: pairs of an image and a logit that are left out, since no sample moved the logit.
        mean_er: E_r of the means.
        mean_er_se: its standard error over images.
        var_er: E_r of the variances.
        var_er_se: its standard error over images.
        mean_bias_sd: mean of |analytic mean - reference mean| / reference standard deviation.
        var_ratio: sum of analytic over sum of reference variances.
    """

    images: int
    unmoved: int
    mean_er: float | None
    mean_er_se: float | None
    var_er: float | None
    var_er_se: float | None
    mean_bias_sd: float | None
    var_ratio: float | None


@dataclass(frozen=True)
class ClassTightness(Tightness):
    """Errors of one logit.

    Attributes:
        class_index: the logit.
        mean_z: sum_i (analytic_i - reference_i) / sqrt(sum_i se_i^2) over the images, of the means; standard normal
            for an exact engine and independent samples.
        var_z: the same of the variances.
    """

    class_index: int
    mean_z: float | None
    var_z: float | None


@dataclass(frozen=True)
class Floor:
    """E_r that a perfect engine would show, from the reference's own error (``relative_error_floor``).

    Attributes:
        mean_er: of the means.
        var_er: of the variances.
    """

    mean_er: float
    var_er: float


def relative_error(x: Float[Array, "*shape"], y: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """E_r(x, y) = 2 |x - y| / (|x| + |y|), in [0, 2]; 0/0 := 0 (the extension paper's measure of tightness)."""
    size = np.abs(x) + np.abs(y)
    return 2.0 * np.abs(x - y) / np.where(size > 0, size, 1.0)


def per_class(
    mean: Float[Array, "images classes"],
    variance: Float[Array, "images classes"],
    reference: SampledMoments,
) -> tuple[ClassTightness, ...]:
    """Errors of the analytic ``mean`` and ``variance``, one entry a class, averaged over the images.

    A variance that an engine could not give (NaN) makes the numbers built on it NaN: the caller reports none.

    Args:
        mean: the engine's.
        variance: the engine's.
        reference: what they are compared with.
    """
    moved = reference.moved
    return tuple(
        ClassTightness(
            **asdict(overall(mean[:, [c]], variance[:, [c]], reference.of_class(c))),
            class_index=c,
            mean_z=_z(mean[:, c], reference.mean[:, c], reference.mean_se[:, c], moved[:, c]),
            var_z=_z(variance[:, c], reference.variance[:, c], reference.variance_se[:, c], moved[:, c]),
        )
        for c in range(mean.shape[1])
    )


def overall(
    mean: Float[Array, "images classes"], variance: Float[Array, "images classes"], reference: SampledMoments
) -> Tightness:
    """Errors averaged over classes and images; standard errors over images, each image's classes averaged first."""
    moved = reference.moved
    left = {"images": len(mean), "unmoved": int((~moved).sum())}
    if not moved.any():
        return Tightness(
            **left, mean_er=None, mean_er_se=None, var_er=None, var_er_se=None, mean_bias_sd=None, var_ratio=None
        )
    mean_er = _by_image(relative_error(mean, reference.mean), moved)
    var_er = _by_image(relative_error(variance, reference.variance), moved)
    bias = np.abs(mean - reference.mean)[moved] / np.sqrt(reference.variance[moved])
    return Tightness(
        **left,
        mean_er=float(mean_er.mean()),
        mean_er_se=_standard_error(mean_er),
        var_er=float(var_er.mean()),
        var_er_se=_standard_error(var_er),
        mean_bias_sd=float(bias.mean()),
        var_ratio=float(variance[moved].sum()) / float(reference.variance[moved].sum()),
    )


def relative_error_floor(
    reference: Float[Array, "images classes"], se: Float[Array, "images classes"]
) -> Float[Array, "images classes"]:
    """E[E_r(T, reference)] for T ~ N(reference, se^2): what the reference's own error makes of a perfect engine.

    floor = E[2 |se Z| / (|reference + se Z| + |reference|)], Z standard normal, by the midpoints of 256 equally likely
    slices of Z; sqrt(2/pi) se/|reference| where se is much smaller than the reference.
    """
    total = np.zeros(reference.shape)
    for z in scipy.special.ndtri((np.arange(_FLOOR_NODES) + 0.5) / _FLOOR_NODES):
        total += relative_error(reference + se * z, reference)
    return total / _FLOOR_NODES


def floor(reference: SampledMoments) -> Floor | None:
    """The floor averaged over images and those of their logits that samples moved; None if there are none."""
    moved = reference.moved
    if not moved.any():
        return None
    return Floor(
        mean_er=float(_by_image(relative_error_floor(reference.mean, reference.mean_se), moved).mean()),
        var_er=float(_by_image(relative_error_floor(reference.variance, reference.variance_se), moved).mean()),
    )


def _by_image(values: Array, moved: Array) -> Array:
    """Averages over the logits moved, of every image that has one."""
    some = moved.any(axis=1)
    return np.where(moved, values, 0.0).sum(axis=1)[some] / moved.sum(axis=1)[some]


def _standard_error(per_image: Array) -> float | None:
    return float(per_image.std(ddof=1)) / math.sqrt(len(per_image)) if len(per_image) > 1 else None


def _z(analytic: Array, reference: Array, se: Array, moved: Array) -> float | None:
    scale = math.sqrt(float((se[moved] ** 2).sum()))
    return float((analytic - reference)[moved].sum()) / scale if scale > 0 else None
