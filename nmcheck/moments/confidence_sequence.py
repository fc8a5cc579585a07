"""Intervals of a flip rate that hold at every look at once, so that sampling may stop whenever they decide.

With s flips in n trials and a Beta(a, b) mixture over alternatives q, the likelihood ratio against a rate p,

    M_n(p) = B(a + s, b + n - s) / B(a, b) / (p^s (1 - p)^(n - s)),

is a martingale that starts at 1 if every trial flips with probability p; by Ville's inequality it ever reaches 1/alpha
with probability at most alpha. The rates p with M_n(p) < 1/alpha therefore enclose the true one at all n at once with
probability at least 1 - alpha: Robbins (1970), Ann. Math. Statist. 41, 1397; Howard, Ramdas, McAuliffe and Sekhon
(2021), Ann. Statist. 49, 1055. An interval computed anew at each look, as Clopper and Pearson's, has no such guarantee.

Images flip with different probabilities p_1 ... p_m. Sampled in rounds of one trial an image, the same holds at the
ends of rounds for their average p: for a fixed q the round's factor is the product of 1 + c (X_i - p) with the same
c = (q - p)/(p (1 - p)), whose expectation, the product of 1 + c (p_i - p), is by the inequality of arithmetic and
geometric means at most 1 (the factors average to 1 and are not negative). M_n is then a supermartingale, for which
Ville's inequality holds too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import scipy.optimize
import scipy.special

PRIOR = (0.5, 0.5)
"""Jeffreys' prior: no rate is favored, and small ones, which gates are about, are resolved well."""


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


def anytime_interval(flips: int, trials: int, alpha: float) -> RateInterval:
    """The interval of one look; valid at every look at once, if looks are taken at the ends of rounds only.

    Args:
        flips: trials that flipped.
        trials: independent trials, at least 1.
        alpha: probability that the intervals of any number of looks ever leave out the rate.

    Raises:
        ValueError: no trials, more flips than trials, or alpha not between 0 and 1.
    """
    if not 0 <= flips <= trials or trials == 0:
        raise ValueError(f"{flips} flips in {trials} trials is not a count")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha is {alpha}, not between 0 and 1")
    a, b = PRIOR
    rate, kept = flips / trials, trials - flips
    # log M_n(p) - log(1/alpha), which is convex in p and below zero at the rate itself.
    constant = float(scipy.special.betaln(a + flips, b + kept) - scipy.special.betaln(a, b)) + math.log(alpha)

    def excess(p: float) -> float:
        value = constant
        if flips:
            value -= flips * math.log(p)
        return value - kept * math.log1p(-p) if kept else value

    low = 0.0 if flips == 0 else _root(excess, math.ulp(0.0), rate)
    high = 1.0 if kept == 0 else _root(excess, rate, math.nextafter(1.0, 0.0))
    return RateInterval(rate, low, high, 1.0 - alpha, trials)


def _root(function: Callable[[float], float], left: float, right: float) -> float:
    found = scipy.optimize.root_scalar(function, bracket=(left, right), method="brentq", xtol=1e-15, rtol=1e-12)
    return float(found.root)
