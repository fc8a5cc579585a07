"""What propagation says of a network's output."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Propagated:
    """Moments of a network's output.

    Attributes:
        mean: of the flattened output.
        covariance: of the flattened output, positive semi-definite.
        jacobian: W_x, the flattened output's derivative in the flattened input, averaged over the noise, corrected.
        correction: what the samples moved the mean by (``closure``), contained in it.
        correction_error: standard error of the samples' own mean, of which the correction is the part worth believing;
            0 where the propagated mean is exact.
        directions: how many tangents were propagated.
        direction_error: standard error of the mean where those were random, by the difference of two halves; None
            where there was one for every direction of the noise.
        samples: how many noisy inputs the residuals are estimated from.
        variance_error: standard error of the variances from those; None where residuals were paired.
        gains: by node, the root mean square of the standard deviations of the node's output over that of the input's,
            for the elementwise steps, whose variances the propagation needs anyway.
        quadrature_error: the largest error of any unit's mean by quadrature (``quadrature``), in units of that unit's
            own standard deviation; None where nothing was integrated so.
    """

    mean: Float[Tensor, " d"]
    covariance: Float[Tensor, "d d"]
    jacobian: Float[Tensor, "d n"]
    correction: Float[Tensor, " d"]
    correction_error: Float[Tensor, " d"]
    directions: int
    direction_error: Float[Tensor, " d"] | None
    samples: int
    variance_error: Float[Tensor, " d"] | None
    gains: dict[str, float]
    quadrature_error: float | None


def largest(errors: Iterable[float | None]) -> float | None:
    """The largest of those that there are."""
    return max((error for error in errors if error is not None), default=None)
