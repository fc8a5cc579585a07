"""How near analytic moments are to a sampled reference: the papers' metric E_r, biases, ratios and z-scores.

Arrays are (images, classes); "class" is the index of a logit. E_r is dominated by logits whose mean is near zero, so it
stands beside the bias in output deviations and the z-score, which says whether the reference can see an error at all.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
import scipy.special
from jaxtyping import Float

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
    """

    mean: Float[Array, "images classes"]
    mean_se: Float[Array, "images classes"]
    variance: Float[Array, "images classes"]
    variance_se: Float[Array, "images classes"]

    def of_class(self, c: int) -> SampledMoments:
        """The reference of one logit, shape (images, 1)."""
        return SampledMoments(self.mean[:, [c]], self.mean_se[:, [c]], self.variance[:, [c]], self.variance_se[:, [c]])


@dataclass(frozen=True)
class Tightness:
    """Errors averaged over images. None: the number does not exist (see each).

    Attributes:
        images: how many.
        mean_er: E_r of the means.
        mean_er_se: its standard error over images; None for a single image.
        var_er: E_r of the variances.
        var_er_se: its standard error over images; None for a single image.
        mean_bias_sd: mean of |analytic mean - reference mean| / reference standard deviation; None if a reference
            variance is not positive.
        var_ratio: sum of analytic over sum of reference variances; None if the latter is not positive.
    """

    images: int
    mean_er: float
    mean_er_se: float | None
    var_er: float
    var_er_se: float | None
    mean_bias_sd: float | None
    var_ratio: float | None


@dataclass(frozen=True)
class ClassTightness(Tightness):
    """Errors of one logit.

    Attributes:
        class_index: the logit.
        mean_z: sum_i (analytic_i - reference_i) / sqrt(sum_i se_i^2) over the images, of the means; standard normal
            for an exact engine and independent samples. None if the reference has no error, or none above its rounding.
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
    rounding: float = 0.0,
) -> tuple[ClassTightness, ...]:
    """Errors of the analytic ``mean`` and ``variance``, one entry a class, averaged over the images.

    A variance that an engine could not give (NaN) makes the numbers built on it NaN: the caller reports none.

    Args:
        mean: the engine's.
        variance: the engine's.
        reference: what they are compared with.
        rounding: relative rounding error of one evaluation of the sampled network. Where so little noise is drawn that
            no sample crosses a kink, the control variate leaves nothing but rounding, and the standard error says
            nothing about what the rare crossings would have added: such a z is None.
    """
    size = rounding * np.abs(reference.mean).max(axis=1)
    spread = 2.0 * size * np.sqrt(np.maximum(reference.variance, 0.0).max(axis=1))
    return tuple(
        ClassTightness(
            **asdict(overall(mean[:, [c]], variance[:, [c]], reference.of_class(c))),
            class_index=c,
            mean_z=_z(mean[:, c], reference.mean[:, c], reference.mean_se[:, c], size),
            var_z=_z(variance[:, c], reference.variance[:, c], reference.variance_se[:, c], spread),
        )
        for c in range(mean.shape[1])
    )


def overall(
    mean: Float[Array, "images classes"], variance: Float[Array, "images classes"], reference: SampledMoments
) -> Tightness:
    """Errors averaged over classes and images; standard errors over images, each image's classes averaged first."""
    mean_er = relative_error(mean, reference.mean).mean(axis=1)
    var_er = relative_error(variance, reference.variance).mean(axis=1)
    bias = None
    if (reference.variance > 0).all():
        bias = float((np.abs(mean - reference.mean) / np.sqrt(reference.variance)).mean())
    total = float(reference.variance.sum())
    return Tightness(
        images=len(mean),
        mean_er=float(mean_er.mean()),
        mean_er_se=_standard_error(mean_er),
        var_er=float(var_er.mean()),
        var_er_se=_standard_error(var_er),
        mean_bias_sd=bias,
        var_ratio=float(variance.sum()) / total if total > 0 else None,
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


def floor(reference: SampledMoments) -> Floor:
    """The floor averaged over images and classes."""
    return Floor(
        mean_er=float(relative_error_floor(reference.mean, reference.mean_se).mean()),
        var_er=float(relative_error_floor(reference.variance, reference.variance_se).mean()),
    )


def _standard_error(per_image: Array) -> float | None:
    return float(per_image.std(ddof=1)) / math.sqrt(len(per_image)) if len(per_image) > 1 else None


def _z(analytic: Array, reference: Array, se: Array, rounding: Array) -> float | None:
    scale = math.sqrt(float((se**2).sum()))
    resolved = scale > math.sqrt(float((rounding**2).sum()))
    return float((analytic - reference).sum()) / scale if resolved else None
