"""How often noise changes the predicted class: an exact interval from counts, a Gaussian estimate from moments."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy.stats
import torch
from jaxtyping import Float
from torch import Tensor

_ORTHANT_POINTS, _ORTHANT_ERROR = 10_000, 1e-4
# A margin this many deviations above zero flips with probability below 7e-16: it cannot change the result.
_CERTAIN = 8.0


@dataclass(frozen=True)
class FlipInterval:
    """A flip rate with its Clopper-Pearson interval.

    Attributes:
        rate: flips / n.
        low: lower end.
        high: upper end.
        confidence: least probability with which the interval covers the true rate.
        n: independent trials.
    """

    rate: float
    low: float
    high: float
    confidence: float
    n: int


def clopper_pearson(flips: int, trials: int, confidence: float = 0.95) -> FlipInterval:
    """The exact binomial interval: covers the true rate with probability at least ``confidence`` for every rate and n.

    Args:
        flips: trials that flipped.
        trials: independent trials, at least 1 (of antithetic pairs only the "+" members).
        confidence: between 0 and 1.

    Raises:
        ValueError: no trials, or more flips than trials.
    """
    if not 0 <= flips <= trials or trials == 0:
        raise ValueError(f"{flips} flips in {trials} trials is not a count")
    tail = 0.5 * (1.0 - confidence)
    low = 0.0 if flips == 0 else float(scipy.stats.beta.ppf(tail, flips, trials - flips + 1))
    high = 1.0 if flips == trials else float(scipy.stats.beta.ppf(1.0 - tail, flips + 1, trials - flips))
    return FlipInterval(flips / trials, low, high, confidence, trials)


def pooled_clopper_pearson(counts: Iterable[tuple[int, int]], confidence: float = 0.95) -> FlipInterval:
    """One interval for the flip rate averaged over these images (weighted by their trials), from (flips, trials) each.

    The images' rates differ, so the pooled count is Poisson-binomial and not binomial. The interval stays valid: by
    Hoeffding (1956, theorem 5) each tail of a Poisson-binomial beyond the integers around its mean is at most the
    binomial's of the same mean. The one case this leaves out is an expected count below 1 (or within 1 of n) and a
    tail that begins at the first flip; its probability is at most the expected count, which is then at most
    -log(1 - (1 - confidence)/2), below 1 - confidence, and the other tail is empty. It says nothing about images that
    were not sampled.

    Raises:
        ValueError: no trials, or more flips than trials.
    """
    counts = list(counts)
    return clopper_pearson(sum(flips for flips, _ in counts), sum(trials for _, trials in counts), confidence)


def gaussian_flip_probability(mean: Float[Tensor, " d"], covariance: Float[Tensor, "d d"], label: int) -> float:
    """P(some other logit is at least the label's) if the logits were N(mean, covariance).

    An estimate: ReLU networks' logits are not Gaussian. The probability that all margins f_label - f_c are positive is
    an orthant probability, integrated by scipy (Genz's method, seeded) to a few 1e-4, and kept between the bounds of
    Bonferroni, max_c P(margin_c <= 0) <= P <= sum_c P(margin_c <= 0), which carry the digits where it is small.
    Singular covariances are fine; margins without variance decide by their sign, and margins more than 8 deviations
    above zero are left out (each could add at most 7e-16).

    Args:
        mean: of the logits.
        covariance: of the logits.
        label: the class that is predicted without noise.

    Returns:
        A probability; NaN if ``mean`` or ``covariance`` holds one.
    """
    d = len(mean)
    if not bool(torch.isfinite(mean).all() and torch.isfinite(covariance).all()):
        return math.nan
    others = [c for c in range(d) if c != label]
    contrast = np.zeros((d - 1, d))
    contrast[:, label] = 1.0
    contrast[np.arange(d - 1), others] = -1.0
    centre = contrast @ mean.detach().double().cpu().numpy()
    spread = contrast @ covariance.detach().double().cpu().numpy() @ contrast.T
    deviation = np.sqrt(np.maximum(np.diag(spread), 0.0))
    if np.any((deviation == 0) & (centre <= 0)):
        return 1.0
    open_ = (deviation > 0) & (centre < _CERTAIN * deviation)
    if not open_.any():
        return 0.0
    z = centre[open_] / deviation[open_]
    if len(z) == 1:
        return float(scipy.stats.norm.sf(z[0]))
    correlation = spread[np.ix_(open_, open_)] / np.outer(deviation[open_], deviation[open_])
    values, vectors = np.linalg.eigh(0.5 * (correlation + correlation.T))
    inside = scipy.stats.multivariate_normal(
        # Rounding may have left small negative eigenvalues, which scipy would refuse.
        cov=scipy.stats.Covariance.from_eigendecomposition(  # pyright: ignore[reportArgumentType]
            (np.maximum(values, 0.0), vectors)
        ),
        allow_singular=True,
        seed=0,
        maxpts=_ORTHANT_POINTS,
        abseps=_ORTHANT_ERROR,
        releps=_ORTHANT_ERROR,
    ).cdf(z)
    single = scipy.stats.norm.sf(z)
    return float(np.clip(1.0 - inside, single.max(), min(1.0, single.sum())))
