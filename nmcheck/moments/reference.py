"""Sampled moments of a network's outputs under Gaussian input noise, with standard errors: the reference.

``control_variate`` draws antithetic pairs mu +- e and uses a Jacobian as a linear control variate and, for the mean,
what the network's bends add to it (``propagation.surrogate``); ``plain`` is ordinary Monte Carlo. Both are unbiased,
keep no more than a batch, reproduce for a seed, and draw the same noise for every batch size: each noise vector is one
fixed call of a float64 generator on the CPU, cast to the input's type afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import scipy.stats
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nmcheck.decision import predicted_class
from nmcheck.errors import UsageError
from nmcheck.moments.gaussian import GaussianInput
from nmcheck.moments.streaming import JointMoments

Evaluate = Callable[[Tensor], Tensor]
"""Inputs of shape (batch, n) to outputs of shape (batch, d)."""

LEAST_TERMS = 250
"""Terms (pairs, or plain samples) below which the variance's interval does not keep its confidence."""


@dataclass(frozen=True)
class ReferenceMoments:
    """Sampled mean and variance of every output, float64 on the CPU, in the output's units.

    Attributes:
        mean: unbiased estimate of the mean.
        mean_se: its standard error.
        variance: unbiased estimate of the variance.
        variance_se: its standard error.
        variance_low: lower end of Hall's skewness-corrected interval; may be below zero when few terms tell little.
        variance_high: its upper end.
        confidence: of that interval.
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
    samples: int
    flips: int
    flip_trials: int
    classes: Int64[Tensor, " d"]


def control_variate(
    evaluate: Evaluate,
    x: GaussianInput,
    jacobian: Float[Tensor, "d n"],
    *,
    pairs: int,
    label: int,
    seed: int,
    bends: Callable[[Tensor], Tensor] | None = None,
    batch_size: int = 512,
    confidence: float = 0.95,
) -> ReferenceMoments:
    """Antithetic pairs with a linear control variate.

    With p = (f+ + f-)/2, o = (f+ - f-)/2, g = J e and v_g = sigma^2 J S J' (per output): the mean is that of
    p - a q, in which the linear control has cancelled by itself, with q the bends averaged over the pair, E q = 0, and
    a = Cov(p, q)/Var q fitted on the other half of the pairs, so that it stays unbiased; the variance is the mean of

        c_k = M/(M-1) (p_k - mean p)^2 + o_k^2 - beta^2 (g_k^2 - v_g),

    whose beta = sum(o g)/sum(g^2) is fitted on the other half as well. Standard errors are sd(p - a q)/sqrt(M) and
    sd(c)/sqrt(M). Any J and any q of mean zero are valid; better ones only narrow the errors.

    Args:
        evaluate: the network.
        x: the input; noise is cast to the type and device of its mean.
        jacobian: of the outputs at the mean.
        pairs: M, at least 250; the network is evaluated 2 M times.
        label: the class that flips are counted against.
        seed: of the noise. Give every image its own: shared noise would correlate the errors of different images.
        bends: from noise vectors, a row each, to a q of each output, whose mean is 0; q = 0 if not given.
        batch_size: inputs evaluated at once.
        confidence: of the variance's interval.

    Raises:
        UsageError: fewer than 250 pairs.
    """
    if pairs < LEAST_TERMS:
        raise UsageError(
            f"the control-variate reference was asked for {2 * pairs} samples, too few for a variance's interval; "
            f"ask for at least {2 * LEAST_TERMS}"
        )
    folds, winners, half = [_Fold(), _Fold()], _Winners(), pairs // 2
    done, shift = 0, None
    for noise in _noise(x, pairs, seed, max(1, batch_size // 2)):
        plus, minus = evaluate(torch.cat([x.mean + noise, x.mean - noise])).cpu().chunk(2)
        winners.add(plus)
        plus, minus = plus.double(), minus.double()
        p, o = 0.5 * (plus + minus), 0.5 * (plus - minus)
        g = (noise.to(jacobian) @ jacobian.mT).cpu().double()
        q = torch.zeros_like(p) if bends is None else bends(noise).cpu().double()
        shift = p[0] if shift is None else shift
        first = max(0, min(len(p), half - done))
        for fold, rows in zip(folds, (slice(0, first), slice(first, None)), strict=True):
            fold.add(p[rows] - shift, o[rows], g[rows], q[rows])
        done += len(p)
    assert shift is not None
    response = x.structure.response(jacobian.double())
    control = float(x.sigma) ** 2 * response.square().sum(dim=1).cpu()
    both = folds[0].moments.merged(folds[1].moments)
    mean, factor = both.mean[:, 0], pairs / (pairs - 1)
    terms = [
        fold.terms(mean, other.excess, control, factor) for fold, other in zip(folds, reversed(folds), strict=True)
    ]
    even = [fold.even_terms(other.explained) for fold, other in zip(folds, reversed(folds), strict=True)]
    told = even[0].merged(even[1])
    mean_se = (told.second[:, 0, 0].clamp_min(0.0) / (pairs - 1) / pairs).sqrt()
    return _moments(
        shift + told.mean[:, 0],
        mean_se,
        terms[0].merged(terms[1]),
        confidence,
        winners.counts,
        label=label,
        samples=2 * pairs,
    )


def plain(
    evaluate: Evaluate,
    x: GaussianInput,
    *,
    samples: int,
    label: int,
    seed: int,
    batch_size: int = 512,
    confidence: float = 0.95,
) -> ReferenceMoments:
    """Ordinary Monte Carlo: sample mean and variance, SE sd/sqrt(n), every sample an independent flip trial.

    Args:
        evaluate: the network.
        x: the input; noise is cast to the type and device of its mean.
        samples: n, at least 250.
        label: the class that flips are counted against.
        seed: of the noise; give every image its own.
        batch_size: inputs evaluated at once.
        confidence: of the variance's interval.

    Raises:
        UsageError: fewer than 250 samples.
    """
    if samples < LEAST_TERMS:
        raise UsageError(
            f"the plain reference was asked for {samples} samples, too few for an interval of the variance; "
            f"ask for at least {LEAST_TERMS}"
        )
    winners, moments, shift = _Winners(), None, None
    for noise in _noise(x, samples, seed, batch_size):
        f = evaluate(x.mean + noise).cpu()
        winners.add(f)
        f = f.double()
        shift = f[0] if shift is None else shift
        u = f - shift
        batch = JointMoments.of(torch.stack([u, u**2], dim=2))
        moments = batch if moments is None else moments.merged(batch)
    assert moments is not None
    assert shift is not None
    mean, factor = moments.mean[:, 0], samples / (samples - 1)
    weights = factor * torch.stack([-2.0 * mean, torch.ones_like(mean)], dim=1)
    terms = moments.combined(weights, factor * mean**2)
    mean_se = (moments.second[:, 0, 0] / (samples - 1) / samples).sqrt()
    return _moments(shift + mean, mean_se, terms, confidence, winners.counts, label=label, samples=samples)


class _Winners:
    """Counts of which output was the largest."""

    def __init__(self) -> None:
        self.counts = torch.zeros(0, dtype=torch.int64)

    def add(self, outputs: Float[Tensor, "batch d"]) -> None:
        found = torch.bincount(predicted_class(outputs), minlength=outputs.shape[1])
        self.counts = found if not len(self.counts) else self.counts + found


class _Fold:
    """Half of the pairs: moments of (p, p^2, r^2, r g, g^2) and (p, q), with r = o - g and p from the first pair's on.

    r stands for o because o^2 - beta^2 g^2 = r^2 + 2 r g + (1 - beta^2) g^2 loses no digits where the network is nearly
    linear.
    """

    def __init__(self) -> None:
        self._moments: JointMoments | None = None
        self._even: JointMoments | None = None
        self._rg: Tensor | float = 0.0
        self._gg: Tensor | float = 0.0

    def add(
        self, p: Float[Tensor, "m d"], o: Float[Tensor, "m d"], g: Float[Tensor, "m d"], q: Float[Tensor, "m d"]
    ) -> None:
        if not len(p):
            return
        r = o - g
        batch = JointMoments.of(torch.stack([p, p**2, r**2, r * g, g**2], dim=2))
        self._moments = batch if self._moments is None else self._moments.merged(batch)
        even = JointMoments.of(torch.stack([p, q], dim=2))
        self._even = even if self._even is None else self._even.merged(even)
        self._rg = self._rg + (r * g).sum(dim=0)
        self._gg = self._gg + (g**2).sum(dim=0)

    @property
    def moments(self) -> JointMoments:
        assert self._moments is not None
        return self._moments

    @property
    def even(self) -> JointMoments:
        assert self._even is not None
        return self._even

    @property
    def explained(self) -> Float[Tensor, " d"]:
        """Least-squares slope of p on q; 0 where q never moves."""
        square = self.even.second[:, 1, 1]
        return torch.where(square > 0, self.even.second[:, 0, 1] / torch.where(square > 0, square, 1.0), 0.0)

    def even_terms(self, explained: Float[Tensor, " d"]) -> JointMoments:
        """Of p - explained q."""
        weights = torch.stack([torch.ones_like(explained), -explained], dim=1)
        return self.even.combined(weights, torch.zeros_like(explained))

    @property
    def excess(self) -> Float[Tensor, " d"]:
        """Least-squares slope of r on g through the origin, beta - 1; beta = 0 where the control never moves."""
        rg, gg = torch.as_tensor(self._rg), torch.as_tensor(self._gg)
        return torch.where(gg > 0, rg / torch.where(gg > 0, gg, 1.0), -1.0)

    def terms(
        self, mean: Float[Tensor, " d"], excess: Float[Tensor, " d"], control: Float[Tensor, " d"], factor: float
    ) -> JointMoments:
        """Of c = factor (p - mean)^2 + o^2 - beta^2 (g^2 - control), a sum of the features."""
        one = torch.ones_like(mean)
        weights = [-2.0 * factor * mean, factor * one, one, 2.0 * one, -excess * (2.0 + excess)]
        return self.moments.combined(torch.stack(weights, dim=1), factor * mean**2 + (1.0 + excess) ** 2 * control)


def _noise(x: GaussianInput, vectors: int, seed: int, batch_size: int) -> Iterator[Float[Tensor, "_ n"]]:
    """``vectors`` noise vectors in batches, of the type and device of the input's mean."""
    generator = torch.Generator().manual_seed(seed)
    directions = x.structure.directions(x.mean.numel())
    for start in range(0, vectors, batch_size):
        # One call a vector: torch fills a larger tensor in another order, and the batch size would change the noise.
        rows = [
            torch.randn(directions, generator=generator, dtype=torch.float64)
            for _ in range(min(batch_size, vectors - start))
        ]
        yield (float(x.sigma) * x.structure.noise(torch.stack(rows))).to(x.mean)


def _moments(
    mean: Float[Tensor, " d"],
    mean_se: Float[Tensor, " d"],
    terms: JointMoments,
    confidence: float,
    winners: Int64[Tensor, " d"],
    *,
    label: int,
    samples: int,
) -> ReferenceMoments:
    """Variance with its standard error, and Hall's interval of it (Hall 1992, J. R. Stat. Soc. B 54).

    [V - SE T(q), V - SE T(-q)] with T(x) = 3 (cbrt(1 + gam (x - gam/6)) - 1)/gam and gam = skewness/sqrt(M); T(x) = x
    for gam = 0.

    Args:
        mean: of the outputs.
        mean_se: its standard error.
        terms: moments of M terms whose mean is the variance.
        confidence: of the interval.
        winners: how often each output was the largest.
        label: the class that flips are counted against.
        samples: evaluations of the network.
    """
    count = terms.count
    variance = terms.mean[:, 0]
    # A sum of squares by weights of both signs, which rounding can take below the zero it may be.
    spread = (terms.second[:, 0, 0].clamp_min(0.0) / (count - 1)).sqrt()
    variance_se = spread / math.sqrt(count)
    central = terms.third[:, 0, 0, 0] / count
    skewness = torch.where(spread > 0, central / torch.where(spread > 0, spread, 1.0) ** 3, 0.0)
    gam = skewness / math.sqrt(count)
    quantile = float(scipy.stats.t.ppf(0.5 + 0.5 * confidence, count - 1))
    trials = int(winners.sum())
    return ReferenceMoments(
        mean=mean,
        mean_se=mean_se,
        variance=variance,
        variance_se=variance_se,
        variance_low=variance - variance_se * _hall(gam, quantile),
        variance_high=variance - variance_se * _hall(gam, -quantile),
        confidence=confidence,
        samples=samples,
        flips=trials - int(winners[label]),
        flip_trials=trials,
        classes=winners,
    )


def _hall(gam: Float[Tensor, " d"], x: float) -> Float[Tensor, " d"]:
    # Below 1e-6 the quotient loses digits and differs from its limit x by less than 1e-5 x.
    small = gam.abs() < 1e-6
    safe = torch.where(small, 1.0, gam)
    inside = 1.0 + safe * (x - safe / 6.0)
    root = torch.sign(inside) * inside.abs() ** (1.0 / 3.0)
    return torch.where(small, x, 3.0 * (root - 1.0) / safe)
