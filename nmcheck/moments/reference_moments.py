"""Sampled moments with all that keeps them from the truth: sampling, rounding, and what no sample met.

- *sampling*: the spread of the terms averaged over their number, and Hall's interval of the variance;
- *rounding*: outputs are known to about eta; a mean is no better than that;
- *what no sample met*: where fewer than ``FEW`` draws carry an estimate (few or none of them crossed a kink), its own
  spread says nothing of kinks that no draw crossed. How much the output bends there is found by pairs at twice the
  noise (``probes``), which cross a kink t deviations away as often as one t/2 away: r, the root mean square of what is
  left there of the slope's continuation. A ReLU that M = 250 pairs just miss (t = 2.5) moves the mean by 0.004 r, and
  the variance by 0.026 r sd + 0.007 r^2: the allowances are r/M and (6 r sd + 2 r^2)/M.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import scipy.stats
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from nmcheck.moments.seen_outputs import SeenOutputs
from nmcheck.moments.streaming import JointMoments

FEW = 25.0
"""Effective draws below which a standard error takes in what no draw met."""

TRUSTED = 4.0
"""Effective terms that a variance's interval needs: with fewer, single draws carry it, and it may miss the tail."""

COARSE = 0.05
"""Relative standard error of a variance below which it does not matter how many draws carry it."""


@dataclass(frozen=True)
class ReferenceMoments:
    """Sampled mean and variance of every output, float64 on the CPU, in the output's units.

    Attributes:
        mean: unbiased estimate of the mean.
        mean_se: its standard error, with rounding and what no sample met.
        variance: unbiased estimate of the variance; 0 where no sample moved the output.
        variance_se: its standard error, with the same.
        variance_low: lower end of Hall's skewness-corrected interval; may be below zero when few terms tell little.
        variance_high: its upper end.
        confidence: of that interval.
        carriers: effective number of terms that carry the variance's error, 1/gam^2 with gam = skewness/sqrt(M) of the
            terms: M terms of which k alike differ from the rest have gam = 1/sqrt(k). Infinite without skewness.
        rounding: eta, what rounding may move the output by.
        moved: whether samples moved the output by more than rounding does.
        controlled: whether the control variate was used; elsewhere it explains nothing, and sampling is plain.
        samples: evaluations of the network, n.
        flips: independent samples whose largest output is not ``label``'s.
        flip_trials: how many independent samples there were. Of an antithetic pair only the "+" member counts: the
            two are dependent, and an exact binomial interval over both covers 84 to 86 % instead of 95 %.
        classes: how many of those trials had each output as their largest.
    """

    mean: Float[Tensor, " d"]
    mean_se: Float[Tensor, " d"]
    variance: Float[Tensor, " d"]
    variance_se: Float[Tensor, " d"]
    variance_low: Float[Tensor, " d"]
    variance_high: Float[Tensor, " d"]
    confidence: float
    carriers: Float[Tensor, " d"]
    rounding: Float[Tensor, " d"]
    moved: Bool[Tensor, " d"]
    controlled: Bool[Tensor, " d"]
    samples: int
    flips: int
    flip_trials: int
    classes: Int64[Tensor, " d"]

    @property
    def heavy_tailed(self) -> Bool[Tensor, " d"]:
        """Where so few samples carry the variance that it and its interval are not to be trusted."""
        coarse = self.variance_se > COARSE * self.variance
        return self.moved & coarse & (self.carriers < TRUSTED)

    @property
    def samples_for_tails(self) -> int | None:
        """Samples at which ``TRUSTED`` terms would carry every variance, at least; None where they do already."""
        heavy = self.heavy_tailed
        if not bool(heavy.any()):
            return None
        return 2 * math.ceil(0.5 * self.samples * TRUSTED / float(self.carriers[heavy].min()))


def reference_moments(
    outputs: SeenOutputs,
    values: JointMoments,
    terms: JointMoments,
    eta: Float[Tensor, " d"],
    confidence: float,
    *,
    remainder: Float[Tensor, " d"],
    bend: Callable[[], Float[Tensor, " d"]],
    label: int,
    samples: int,
    controlled: Bool[Tensor, " d"],
) -> ReferenceMoments:
    """Mean and variance with their standard errors, and Hall's interval (Hall 1992, J. R. Stat. Soc. B 54).

    [V - SE T(q), V - SE T(-q)] with T(x) = 3 (cbrt(1 + gam (x - gam/6)) - 1)/gam and gam = skewness/sqrt(M); T(x) = x
    for gam = 0.

    Args:
        outputs: what was seen of the outputs.
        values: moments of M values y whose mean is the outputs' mean, and of y^2, in the outputs' units and shift.
        terms: moments of M terms whose mean is the variance.
        eta: rounding of the outputs.
        confidence: of the interval.
        remainder: effective number of pairs that carry what the control variate leaves of the odd part.
        bend: finds how much outputs bend where no draw may have come, for those that few draws carry.
        label: the class that flips are counted against.
        samples: evaluations of the network.
        controlled: whether the control variate was used.
    """
    count, unit, moved = terms.count, outputs.unit, outputs.moved(eta)
    variance = torch.where(moved, unit**2 * terms.mean[:, 0], 0.0)
    sd = variance.clamp(min=0.0).sqrt()
    spread, carried = _spread(values)
    few = (spread * unit <= eta) | (carried < FEW)
    # A sum of squares by weights of both signs, which rounding can take below the zero it may be.
    term_spread = (terms.second[:, 0, 0].clamp_min(0.0) / (count - 1)).sqrt()
    central = terms.third[:, 0, 0, 0] / count
    skewness = torch.where(term_spread > 0, central / torch.where(term_spread > 0, term_spread, 1.0) ** 3, 0.0)
    gam = skewness / math.sqrt(count)
    carriers = torch.where(gam != 0, 1.0 / torch.where(gam != 0, gam, 1.0) ** 2, torch.inf)
    by_rounding = eta * (2.0 * sd + eta)
    few_terms = (term_spread * unit**2 <= by_rounding) | (carriers < FEW) | (carried < FEW) | (remainder < FEW)
    unmet = torch.where(few | few_terms, bend(), 0.0) if bool((few | few_terms).any()) else torch.zeros_like(sd)
    mean_se = _root_of_squares(spread * unit / math.sqrt(count), eta, torch.where(few, unmet / count, 0.0))
    variance_se = _root_of_squares(
        term_spread * unit**2 / math.sqrt(count),
        by_rounding,
        torch.where(few_terms, (6.0 * sd * unmet + 2.0 * unmet**2) / count, 0.0),
    )
    quantile = float(scipy.stats.t.ppf(0.5 + 0.5 * confidence, count - 1))
    trials = int(outputs.winners.sum())
    return ReferenceMoments(
        mean=outputs.shift + unit * values.mean[:, 0],
        mean_se=mean_se,
        variance=variance,
        variance_se=variance_se,
        variance_low=variance - variance_se * _hall(gam, quantile),
        variance_high=variance - variance_se * _hall(gam, -quantile),
        confidence=confidence,
        carriers=carriers,
        rounding=eta,
        moved=moved,
        controlled=controlled,
        samples=samples,
        flips=trials - int(outputs.winners[label]),
        flip_trials=trials,
        classes=outputs.winners,
    )


def _spread(values: JointMoments) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
    """Standard deviation of a value y, and the effective number of draws that carry it.

    (sum u^2)^2 / sum u^4 with u = y - mean y: k where k draws alike differ from the rest; both sums from the moments of
    y and y^2.
    """
    count, mean = values.count, values.mean[:, 0]
    squares = values.second[:, 0, 0].clamp_min(0.0)
    weights = torch.zeros_like(values.mean)
    weights[:, 0], weights[:, 1] = -2.0 * mean, 1.0
    of_squares = values.combined(weights, mean**2)
    carried = carried_by(of_squares.mean[:, 0], of_squares.second[:, 0, 0], count)
    return (squares / (count - 1)).sqrt(), carried


def carried_by(mean: Float[Tensor, " d"], second: Float[Tensor, " d"], count: int) -> Float[Tensor, " d"]:
    """Effective number of draws that carry a sum of squares, (sum w)^2 / sum w^2; 0 if all are 0.

    Args:
        mean: of w.
        second: sum of (w - mean)^2.
        count: of draws.
    """
    total = second.clamp_min(0.0) + count * mean**2
    return torch.where(total > 0, (count * mean) ** 2 / torch.where(total > 0, total, 1.0), 0.0)


def _root_of_squares(*parts: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
    return torch.stack(parts).square().sum(dim=0).sqrt()


def _hall(gam: Float[Tensor, " d"], x: float) -> Float[Tensor, " d"]:
    # Below 1e-6 the quotient loses digits and differs from its limit x by less than 1e-5 x.
    small = gam.abs() < 1e-6
    safe = torch.where(small, 1.0, gam)
    inside = 1.0 + safe * (x - safe / 6.0)
    root = torch.sign(inside) * inside.abs() ** (1.0 / 3.0)
    return torch.where(small, x, 3.0 * (root - 1.0) / safe)
