"""Sampled moments of a network's outputs under Gaussian input noise, with standard errors: the reference.

``control_variate`` draws antithetic pairs mu +- e and uses the Jacobian at mu as a linear control variate; ``plain`` is
ordinary Monte Carlo. Both are unbiased, reproduce for a seed, and draw the same noise for every batch size: each noise
vector is one fixed call of a float64 generator on the CPU, cast to the input's type afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import scipy.stats
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nmcheck.errors import UsageError
from nmcheck.moments.gaussian import GaussianInput

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
    batch_size: int = 512,
    confidence: float = 0.95,
) -> ReferenceMoments:
    """Antithetic pairs with a linear control variate.

    With p = (f+ + f-)/2, o = (f+ - f-)/2, g = J e and v_g = sigma^2 J S J' (per output): the mean is mean(p), in which
    the linear control cancels by itself; the variance is the mean of

        c_k = M/(M-1) (p_k - mean p)^2 + o_k^2 - beta^2 (g_k^2 - v_g),

    whose beta = sum(o g)/sum(g^2) is fitted on the other half of the pairs, so that it stays unbiased. Standard errors
    are sd(p)/sqrt(M) and sd(c)/sqrt(M). Any J is valid; a better one only narrows the error.

    Args:
        evaluate: the network.
        x: the input; noise is cast to the type and device of its mean.
        jacobian: of the outputs at the mean.
        pairs: M, at least 250; the network is evaluated 2 M times.
        label: the class that flips are counted against.
        seed: of the noise. Give every image its own: shared noise would correlate the errors of different images.
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
    even, odd, linear, winners = [], [], [], []
    for noise in _noise(x, pairs, seed, max(1, batch_size // 2)):
        plus, minus = evaluate(torch.cat([x.mean + noise, x.mean - noise])).cpu().chunk(2)
        winners.append(plus.argmax(dim=1))
        plus, minus = plus.double(), minus.double()
        even.append(0.5 * (plus + minus))
        odd.append(0.5 * (plus - minus))
        linear.append((noise.to(jacobian) @ jacobian.mT).cpu().double())
    p, o, g = torch.cat(even), torch.cat(odd), torch.cat(linear)
    control = g**2 - float(x.sigma) ** 2 * x.structure.response(jacobian.double()).square().sum(dim=1).cpu()
    half = pairs // 2
    beta = torch.cat([_slope(o[half:], g[half:]).expand(half, -1), _slope(o[:half], g[:half]).expand(pairs - half, -1)])
    mean = p.mean(dim=0)
    terms = pairs / (pairs - 1) * (p - mean) ** 2 + o**2 - beta**2 * control
    return _moments(mean, p, terms, confidence, torch.cat(winners), label=label, samples=2 * pairs)


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
    outputs = []
    for noise in _noise(x, samples, seed, batch_size):
        outputs.append(evaluate(x.mean + noise).cpu())
    f = torch.cat(outputs).double()
    mean = f.mean(dim=0)
    terms = samples / (samples - 1) * (f - mean) ** 2
    return _moments(mean, f, terms, confidence, torch.cat(outputs).argmax(dim=1), label=label, samples=samples)


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


def _slope(o: Float[Tensor, "m d"], g: Float[Tensor, "m d"]) -> Float[Tensor, " d"]:
    """Least-squares slope of o on g through the origin; 0 where the control never moves."""
    square = (g**2).sum(dim=0)
    return torch.where(square > 0, (o * g).sum(dim=0) / torch.where(square > 0, square, 1.0), 0.0)


def _moments(
    mean: Float[Tensor, " d"],
    mean_terms: Float[Tensor, "m d"],
    variance_terms: Float[Tensor, "m d"],
    confidence: float,
    winners: Int64[Tensor, " trials"],
    *,
    label: int,
    samples: int,
) -> ReferenceMoments:
    """Mean and variance with standard errors, and Hall's interval of the variance (Hall 1992, J. R. Stat. Soc. B 54).

    [V - SE T(q), V - SE T(-q)] with T(x) = 3 (cbrt(1 + gam (x - gam/6)) - 1)/gam and gam = skewness/sqrt(M); T(x) = x
    for gam = 0.
    """
    count = len(variance_terms)
    variance = variance_terms.mean(dim=0)
    spread = variance_terms.std(dim=0)
    variance_se = spread / math.sqrt(count)
    central = ((variance_terms - variance) ** 3).mean(dim=0)
    skewness = torch.where(spread > 0, central / torch.where(spread > 0, spread, 1.0) ** 3, 0.0)
    gam = skewness / math.sqrt(count)
    quantile = float(scipy.stats.t.ppf(0.5 + 0.5 * confidence, count - 1))
    return ReferenceMoments(
        mean=mean,
        mean_se=mean_terms.std(dim=0) / math.sqrt(count),
        variance=variance,
        variance_se=variance_se,
        variance_low=variance - variance_se * _hall(gam, quantile),
        variance_high=variance - variance_se * _hall(gam, -quantile),
        confidence=confidence,
        samples=samples,
        flips=int((winners != label).sum()),
        flip_trials=len(winners),
        classes=torch.bincount(winners, minlength=len(mean)),
    )


def _hall(gam: Float[Tensor, " d"], x: float) -> Float[Tensor, " d"]:
    # Below 1e-6 the quotient loses digits and differs from its limit x by less than 1e-5 x.
    small = gam.abs() < 1e-6
    safe = torch.where(small, 1.0, gam)
    inside = 1.0 + safe * (x - safe / 6.0)
    root = torch.sign(inside) * inside.abs() ** (1.0 / 3.0)
    return torch.where(small, x, 3.0 * (root - 1.0) / safe)
