"""Sampled moments of a network's outputs under Gaussian input noise, with standard errors: the reference.

``control_variate`` draws antithetic pairs mu +- e and uses a Jacobian as a linear control variate; ``plain`` is
ordinary Monte Carlo. What they say rests on the network's outputs at the samples and on the noise's own distribution,
and on nothing that an engine says: any Jacobian is valid, and a wrong one only widens the errors. Both are unbiased,
keep no more than a batch, reproduce for a seed, and draw the same noise for every batch size
(``noise_blocks``). The stated errors are those of ``reference_moments``.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.errors import UsageError
from nmcheck.moments.batches import inputs_at_once
from nmcheck.moments.gaussian import GaussianInput
from nmcheck.moments.noise_blocks import noise_blocks
from nmcheck.moments.probes import Evaluate, unmet_bend
from nmcheck.moments.reference_moments import ReferenceMoments, carried_by, reference_moments
from nmcheck.moments.seen_outputs import SeenOutputs
from nmcheck.moments.streaming import JointMoments

LEAST_TERMS = 250
"""Terms (pairs, or plain samples) below which the variance's interval does not keep its confidence."""

DOUBLE_ROUNDING = 1e-13
"""Relative rounding error of outputs in float64."""

STRAYED = 1000.0
"""Times the output's own deviation beyond which a slope's response is no control but a mistake."""

STEEPEST = 1.5
"""Largest coefficient of the control variate; in theory it is at most about 1."""


def control_variate(
    evaluate: Evaluate,
    x: GaussianInput,
    jacobian: Float[Tensor, "d n"],
    *,
    pairs: int,
    label: int,
    seed: int,
    rounding: float = DOUBLE_ROUNDING,
    batch_size: int | None = None,
    confidence: float = 0.95,
) -> ReferenceMoments:
    """Antithetic pairs with a linear control variate.

    With p = (f+ + f-)/2, o = (f+ - f-)/2, g = J e and v_g = sigma^2 J S J' (per output): the mean is that of p, in
    which the linear control has cancelled by itself; the variance is the mean of

        c_k = M/(M-1) (p_k - mean p)^2 + o_k^2 - beta^2 (g_k^2 - v_g),

    whose beta = sum(o g)/sum(g^2) is fitted on the other half of the pairs, so that it stays unbiased (Avramidis and
    Wilson 1993). beta is held in [0, ``STEEPEST``], shrunk by 1 - 2 (SE beta / beta)^2, and 0 where the control moves
    by less than rounding: nothing is fitted on rounding. Standard errors are sd(p)/sqrt(M) and sd(c)/sqrt(M), with the
    two additions of ``reference_moments``. Any J is valid; better ones only narrow the errors.

    Args:
        evaluate: the network.
        x: the input; noise is cast to the type and device of its mean.
        jacobian: of the outputs at the mean.
        pairs: M, at least 250; the network is evaluated 2 M times.
        label: the class that flips are counted against.
        seed: of the noise. Give every image its own: shared noise would correlate the errors of different images.
        rounding: relative rounding error of the outputs as they are evaluated.
        batch_size: inputs evaluated at once; by default as many as ``inputs_at_once``.
        confidence: of the variance's interval.

    Raises:
        UsageError: fewer than 250 pairs.
    """
    if pairs < LEAST_TERMS:
        raise UsageError(
            f"the control-variate reference was asked for {2 * pairs} samples, too few for a variance's interval; "
            f"ask for at least {2 * LEAST_TERMS}"
        )
    folds, outputs, half = [_Fold(), _Fold()], SeenOutputs(), pairs // 2
    # Any slope will do, but it must be a number.
    jacobian = jacobian.double().nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    response = x.structure.response(jacobian)
    control = float(x.sigma) ** 2 * response.square().sum(dim=1).cpu()
    done = 0
    for noise in noise_blocks(x, pairs, seed, max(1, (batch_size or inputs_at_once(x.mean.numel())) // 2)):
        plus, minus = evaluate(torch.cat([x.mean + noise, x.mean - noise])).cpu().chunk(2)
        plus, minus = outputs.add(plus), outputs.add(minus, trial=False)
        if not done:
            sane = (control.sqrt() <= STRAYED * outputs.unit).double()
            jacobian, control = sane.to(jacobian)[:, None] * jacobian, sane * control
        # In units of each output's own deviation, so that third powers of the terms neither vanish nor overflow.
        p, o = 0.5 * (plus + minus) / outputs.unit, 0.5 * (plus - minus) / outputs.unit
        g = (noise.to(jacobian) @ jacobian.mT).cpu().double() / outputs.unit
        first = max(0, min(len(p), half - done))
        for fold, rows in zip(folds, (slice(0, first), slice(first, None)), strict=True):
            fold.add(p[rows], o[rows], g[rows])
        done += len(p)
    unit, eta = outputs.unit, outputs.rounding(rounding)
    control = control / unit**2
    usable = control.sqrt() > eta / unit
    coefficients = [torch.where(usable, fold.coefficient, 0.0) for fold in reversed(folds)]
    both = folds[0].moments.merged(folds[1].moments)
    mean, factor = both.mean[:, 0], pairs / (pairs - 1)
    terms = [fold.terms(mean, beta, control, factor) for fold, beta in zip(folds, coefficients, strict=True)]
    return reference_moments(
        outputs,
        both,
        terms[0].merged(terms[1]),
        eta,
        confidence,
        remainder=carried_by(both.mean[:, 2], both.second[:, 2, 2], both.count),
        bend=lambda: unmet_bend(evaluate, x, seed),
        label=label,
        samples=2 * pairs,
        controlled=(coefficients[0] > 0) | (coefficients[1] > 0),
    )


def plain(
    evaluate: Evaluate,
    x: GaussianInput,
    *,
    samples: int,
    label: int,
    seed: int,
    rounding: float = DOUBLE_ROUNDING,
    batch_size: int | None = None,
    confidence: float = 0.95,
) -> ReferenceMoments:
    """Ordinary Monte Carlo: sample mean and variance, SE sd/sqrt(n), every sample an independent flip trial.

    Args:
        evaluate: the network.
        x: the input; noise is cast to the type and device of its mean.
        samples: n, at least 250.
        label: the class that flips are counted against.
        seed: of the noise; give every image its own.
        rounding: relative rounding error of the outputs as they are evaluated.
        batch_size: inputs evaluated at once; by default as many as ``inputs_at_once``.
        confidence: of the variance's interval.

    Raises:
        UsageError: fewer than 250 samples.
    """
    if samples < LEAST_TERMS:
        raise UsageError(
            f"the plain reference was asked for {samples} samples, too few for an interval of the variance; "
            f"ask for at least {LEAST_TERMS}"
        )
    outputs, moments = SeenOutputs(), None
    for noise in noise_blocks(x, samples, seed, batch_size or inputs_at_once(x.mean.numel())):
        u = outputs.add(evaluate(x.mean + noise).cpu()) / outputs.unit
        batch = JointMoments.of(torch.stack([u, u**2], dim=2))
        moments = batch if moments is None else moments.merged(batch)
    assert moments is not None
    mean, factor = moments.mean[:, 0], samples / (samples - 1)
    weights = factor * torch.stack([-2.0 * mean, torch.ones_like(mean)], dim=1)
    return reference_moments(
        outputs,
        moments,
        moments.combined(weights, factor * mean**2),
        outputs.rounding(rounding),
        confidence,
        remainder=torch.full_like(mean, torch.inf),
        bend=lambda: unmet_bend(evaluate, x, seed),
        label=label,
        samples=samples,
        controlled=torch.zeros_like(mean, dtype=torch.bool),
    )


class _Fold:
    """Half of the pairs: moments of (p, p^2, r^2, r g, g^2) with r = o - g.

    r stands for o because o^2 - beta^2 g^2 = r^2 + 2 r g + (1 - beta^2) g^2 loses no digits where the network is nearly
    linear.
    """

    def __init__(self) -> None:
        self._moments: JointMoments | None = None

    def add(self, p: Float[Tensor, "m d"], o: Float[Tensor, "m d"], g: Float[Tensor, "m d"]) -> None:
        if not len(p):
            return
        r = o - g
        batch = JointMoments.of(torch.stack([p, p**2, r**2, r * g, g**2], dim=2))
        self._moments = batch if self._moments is None else self._moments.merged(batch)

    @property
    def moments(self) -> JointMoments:
        assert self._moments is not None
        return self._moments

    @property
    def coefficient(self) -> Float[Tensor, " d"]:
        """Least-squares slope beta of o on g through the origin, as far as it is worth believing.

        beta - 1 = sum(r g)/sum(g^2), with the standard error sqrt(mean (r - (beta - 1) g)^2 / sum(g^2)).
        """
        rr, rg, gg = self.moments.mean[:, 2], self.moments.mean[:, 3], self.moments.mean[:, 4]
        moving = gg > 0
        excess = rg / torch.where(moving, gg, 1.0)
        beta = torch.where(moving, (1.0 + excess).clamp(0.0, STEEPEST), 0.0)
        left = (rr - 2.0 * excess * rg + excess**2 * gg).clamp(min=0.0)
        square = left / torch.where(moving, gg * self.moments.count, 1.0)
        kept = 1.0 - 2.0 * square / torch.where(beta > 0, beta, 1.0) ** 2
        return beta * kept.clamp(min=0.0)

    def terms(
        self, mean: Float[Tensor, " d"], beta: Float[Tensor, " d"], control: Float[Tensor, " d"], factor: float
    ) -> JointMoments:
        """Of c = factor (p - mean)^2 + o^2 - beta^2 (g^2 - control), a sum of the features."""
        one = torch.ones_like(mean)
        weights = [-2.0 * factor * mean, factor * one, one, 2.0 * one, (1.0 - beta) * (1.0 + beta)]
        return self.moments.combined(torch.stack(weights, dim=1), factor * mean**2 + beta**2 * control)
