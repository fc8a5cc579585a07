"""How often noise changes the predicted class: an exact interval from counts, a Gaussian estimate from moments."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy.stats
from jaxtyping import Float, Int64
from torch import Tensor

from nmcheck.decision import takes_over

_Vector = Float[np.ndarray, " d"]
_Matrix = Float[np.ndarray, "d d"]

_ORTHANT_POINTS, _ORTHANT_ERROR = 10_000, 1e-4
# A margin this many deviations above zero flips with probability below 3e-7, less than the integral can see.
_NEAR = 5.0
DOUBLE_ROUNDING = float(np.finfo(np.float64).eps)
"""Relative rounding of float64."""
_STILL, _TIED = 64, 16
"""A margin has no variance where less than so many roundings of its logits' variances are left of it (at that much,
rounding is a twentieth), and is zero where less than so many of its logits are."""
MOST_CONTENDERS = 24
"""Classes likely enough to be confused with the label that each is worth an integral of its own."""


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


def gaussian_flip_probability(
    mean: Float[Tensor, " d"], covariance: Float[Tensor, "d d"], label: int, rounding: float = DOUBLE_ROUNDING
) -> float:
    """P(another class than the label is predicted) if the logits were N(mean, covariance).

    An estimate: ReLU networks' logits are not Gaussian. The probability that all margins f_label - f_c are positive is
    an orthant probability, integrated by scipy (Genz's method, seeded) to a few 1e-4, and kept between the bounds of
    Bonferroni, max_c P(margin_c <= 0) <= P <= sum_c P(margin_c <= 0), which carry the digits where it is small.
    Singular covariances are fine; margins without variance decide by their sign, ties by the convention of
    ``decision``, and those more than 5 deviations above zero enter the bounds only (each adds at most 3e-7). Where the
    bounds differ by less than 1e-5, the upper one is taken.

    Args:
        mean: of the logits.
        covariance: of the logits.
        label: the class that is predicted without noise.
        rounding: relative rounding of the arithmetic that mean and covariance come from. Of logits that always differ
            by the same, it leaves a variance that is none.

    Returns:
        A probability; NaN if ``mean`` or ``covariance`` holds one.
    """
    return _flip_probability(_array(mean), _array(covariance), label, rounding)


def _flip_probability(mean: _Vector, covariance: _Matrix, label: int, rounding: float) -> float:
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        return math.nan
    z = _margins(mean, covariance, label, rounding)
    single = scipy.stats.norm.sf(z)
    low, high = float(single.max()), min(1.0, float(single.sum()))
    near = np.flatnonzero(z < _NEAR)
    # The integral would not tell more where the bounds agree to a tenth of its own error.
    if high - low < 0.1 * _ORTHANT_ERROR or not len(near) or low == 1.0:
        return high
    values, vectors = np.linalg.eigh(_correlation(covariance, label, near))
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
    ).cdf(z[near])
    return float(np.clip(1.0 - inside, low, high))


def gaussian_class_probabilities(
    mean: Float[Tensor, " d"], covariance: Float[Tensor, "d d"], label: int, rounding: float = DOUBLE_ROUNDING
) -> Float[np.ndarray, " d"] | None:
    """P(class j is predicted) for every j if the logits were N(mean, covariance).

    The label's is one less ``gaussian_flip_probability``. The others share that: class j in proportion to the
    probability that its logit is the largest, by the same orthant integral, or, where that is below the integral's
    error, to its bound min_i P(f_j >= f_i).

    Args:
        mean: of the logits, finite.
        covariance: of the logits, finite.
        label: the class that is predicted without noise.
        rounding: as for ``gaussian_flip_probability``.

    Returns:
        Probabilities that sum to 1; None if more than ``MOST_CONTENDERS`` classes contend.
    """
    m, S = _array(mean), _array(covariance)
    flip = _flip_probability(m, S, label, rounding)
    weights = scipy.stats.norm.sf(_margins(m, S, label, rounding))
    for j in np.flatnonzero(weights > 0.01 * _ORTHANT_ERROR):
        weights[j] = scipy.stats.norm.cdf(_margins(m, S, int(j), rounding)).min()
    contenders = np.flatnonzero(weights > _ORTHANT_ERROR)
    if len(contenders) > MOST_CONTENDERS:
        return None
    if len(contenders) > 1:
        shares = [1.0 - _flip_probability(m, S, int(j), rounding) for j in contenders]
        if sum(shares) > 0:
            weights[contenders] = np.clip(shares, 0.0, weights[contenders])
    total = weights.sum()
    found = weights * (flip / total) if total > 0 else weights
    found[label] = 1.0 - found.sum()
    return found


def _margins(mean: _Vector, covariance: _Matrix, label: int, rounding: float) -> Float[np.ndarray, " d"]:
    """Means of the margins f_label - f_c over their deviations, for every class c; +infinity for the label itself.

    A margin without variance is -infinity where c is predicted rather than the label, else +infinity.
    """
    centre = mean[label] - mean
    own = covariance[label, label] + covariance.diagonal()
    variance = own - 2.0 * covariance[label]
    moving = variance > _STILL * rounding * own
    z = centre / np.sqrt(np.where(moving, variance, 1.0))
    # Of two logits that move together; constant ones are what they are.
    tied = (own > 0) & (np.abs(centre) <= _TIED * rounding * (np.abs(mean[label]) + np.abs(mean)))
    lost = takes_over(np.where(tied, 0.0, -centre), np.arange(len(mean)), label)
    z = np.where(moving, z, np.where(lost, -math.inf, math.inf))
    z[label] = math.inf
    return z


def _correlation(covariance: _Matrix, label: int, classes: Int64[np.ndarray, " k"]) -> Float[np.ndarray, "k k"]:
    """Of the margins f_label - f_c for some classes c, all of which vary."""
    cross = covariance[label, classes]
    spread = covariance[np.ix_(classes, classes)] + covariance[label, label] - cross[:, None] - cross
    deviation = np.sqrt(spread.diagonal())
    correlation = spread / np.outer(deviation, deviation)
    return 0.5 * (correlation + correlation.T)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().cpu().numpy()
