"""On which side of a rate a flip rate lies, said so that every look counts: sampling may stop whenever it is decided.

Let s be the flips in n trials. Against a rate p, the alternative whose odds are r times those of p has the likelihood
ratio

    M_r = r^s (1 + (r - 1) p)^(-n).

A trial that flips with probability p' multiplies it by a factor of expectation (1 + (r - 1) p') / (1 + (r - 1) p),
which is at most 1 for r > 1 if p' <= p, and for r < 1 if p' >= p. The mixtures, with weights w_j that sum to 1,

    above(p) = sum_j w_j M_r of r = exp(t_j),    below(p) = sum_j w_j M_r of r = exp(-t_j),    t_j > 0:

start at 1 and are nonnegative supermartingales, the one for every rate up to p, the other for every rate from p on.
By Ville's inequality a supermartingale ever reaches 1/alpha with probability at most alpha, however often one looks:
above(p) >= 1/alpha is evidence that the rate exceeds p, below(p) >= 1/alpha that it is less, and either is wrong with
probability at most alpha. above falls and below grows with p, so the rates that neither excludes are an interval; with
alpha/2 for each end it holds the rate at all looks at once with probability at least 1 - alpha. Wald (1945), Ann. Math.
Statist. 16, 117; Robbins (1970), ibid. 41, 1397; Howard, Ramdas, McAuliffe and Sekhon (2021), Ann. Statist. 49, 1055.
An interval computed anew at each look, as Clopper and Pearson's, has no such guarantee.

Images flip with different probabilities p_1 ... p_m. Sampled in rounds of one trial an image, the same holds at the
ends of rounds for their average: a round multiplies M_r by a factor of expectation

    prod_i (1 + (r - 1) p_i) / (1 + (r - 1) p)^m <= ((1 + (r - 1) average) / (1 + (r - 1) p))^m,

by the inequality of arithmetic and geometric means (no 1 + (r - 1) p_i is negative), which is at most 1 as before.

The t_j double from 1/8192 to 16, and their weights fall off on either side of 1/2, odds of 1.6 to 1: differences of
that size are those a gate is asked about, and smaller and larger ones cost only the logarithm of their weight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.optimize
import scipy.special
from jaxtyping import Float64, Int8, Int64

_STEPS = np.arange(-12.0, 6.0)
LOG_ODDS = 0.5 * 2.0**_STEPS
"""The logarithms t_j of the odds ratios that are mixed."""
LOG_WEIGHTS = -np.log1p(_STEPS**2) - np.log((1.0 / (1.0 + _STEPS**2)).sum())
"""log w_j: weights like a Cauchy density in the number of doublings from 1/2."""
ABOVE, BELOW, OPEN = 1, -1, 0
_FARTHEST = 745.0
"""Logit of the least positive double, about: farther out is 0 or 1."""


@dataclass(frozen=True)
class RateInterval:
    """A rate with the interval of one look.

    Attributes:
        rate: flips / n.
        low: lower end.
        high: upper end.
        confidence: least probability that the intervals of all looks hold the rate.
        n: trials.
    """

    rate: float
    low: float
    high: float
    confidence: float
    n: int


def log_evidence(
    flips: Int64[np.ndarray, "*shape"], trials: int, rate: float
) -> tuple[Float64[np.ndarray, "*shape"], Float64[np.ndarray, "*shape"]]:
    """Logarithms of above(rate) and below(rate), see the module.

    Args:
        flips: trials that flipped, of any number of runs side by side.
        trials: of each run.
        rate: between 0 and 1.
    """
    count = np.asarray(flips, dtype=np.float64)
    above = _mixture(count, trials - count, rate, 1.0 - rate)
    below = _mixture(trials - count, count, 1.0 - rate, rate)
    return np.asarray(above), np.asarray(below)


def decided(flips: Int64[np.ndarray, "*shape"], trials: int, rate: float, alpha: float) -> Int8[np.ndarray, "*shape"]:
    """What one look says: ABOVE or BELOW if the true rate is shown to be above or below ``rate``, else OPEN.

    Valid at every look at once, if looks are taken at the ends of rounds only: ABOVE is ever said of a true rate of at
    most ``rate``, and BELOW of one of at least ``rate``, with probability at most ``alpha``.
    """
    above, below = log_evidence(flips, trials, rate)
    # With flips/n <= p no likelihood ratio for a larger rate exceeds 1: the two are never large together.
    needed = -math.log(alpha)
    return np.where(above >= needed, ABOVE, np.where(below >= needed, BELOW, OPEN)).astype(np.int8)


@lru_cache(maxsize=4096)
def anytime_interval(flips: int, trials: int, alpha: float) -> RateInterval:
    """The interval of one look; valid at every look at once, if looks are taken at the ends of rounds only.

    Args:
        flips: trials that flipped.
        trials: independent trials, at least 1.
        alpha: probability that the intervals of any number of looks ever leave out the rate; half of it for each end.

    Raises:
        ValueError: no trials, more flips than trials, or alpha not between 0 and 1.
    """
    if not 0 <= flips <= trials or trials == 0:
        raise ValueError(f"{flips} flips in {trials} trials is not a count")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha is {alpha}, not between 0 and 1")
    kept, needed = trials - flips, math.log(2.0) - math.log(alpha)
    low = float(scipy.special.expit(_lower_end(flips, kept, needed)))
    high = float(scipy.special.expit(-_lower_end(kept, flips, needed)))
    # Near 1 doubles lie far apart for what is left to 1: rounded outwards.
    low, high = math.nextafter(low, 0.0), math.nextafter(high, 1.0)
    return RateInterval(flips / trials, low, high, 1.0 - alpha, trials)


def _lower_end(flips: int, kept: int, needed: float) -> float:
    """Logit of the largest rate that is shown to be exceeded; minus infinity if none is."""

    def excess(logit: float) -> float:
        rate, other = scipy.special.expit([logit, -logit])
        return float(_mixture(float(flips), float(kept), rate, other)) - needed

    if excess(-_FARTHEST) < 0.0:
        return -math.inf
    # At the rate itself no likelihood ratio exceeds 1.
    top = math.log(flips / kept) if kept else _FARTHEST
    found = scipy.optimize.root_scalar(excess, bracket=(-_FARTHEST, top), method="brentq", xtol=1e-11, rtol=1e-13)
    # Outwards by more than the root's tolerance.
    return float(found.root) - 1e-9


def _mixture(flips: np.ndarray | float, kept: np.ndarray | float, rate: float, other: float) -> np.ndarray | float:
    """Logarithm of above(rate); ``other`` is 1 - rate, and each of the two is exact where it is small."""
    column = (slice(None), *(None,) * np.ndim(flips))
    trials = flips + kept
    if rate <= 0.5:
        # t s - n log(1 + (e^t - 1) p)
        change, size = np.log1p(np.expm1(LOG_ODDS) * rate)[column], LOG_ODDS[column] * flips
    else:
        # The same with 1 + (e^t - 1) p = e^t (1 + (e^-t - 1) (1 - p)), for rates near 1.
        change, size = np.log1p(np.expm1(-LOG_ODDS) * other)[column], -LOG_ODDS[column] * kept
    return np.logaddexp.reduce(LOG_WEIGHTS[column] + size - trials * change, axis=0)
