"""The engines that linearize: from an (Affine, ReLU, Affine) model to the logits' mean and variance.

Analytic moments of a deeper network are estimates: the linearization around the cut has no error bound. The engines
named ``published-`` are the papers' formulas as they stand, kept as baselines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nmcheck.affine import AffineReluAffine
from nmcheck.moments.affine_relu_affine import output_covariance, output_mean, pre_activation
from nmcheck.moments.gaussian import GaussianInput
from nmcheck.moments.lemma4 import lemma4_variance
from nmcheck.moments.theorem2 import theorem2_variance

NO_SKIP_TERM = "the published formula has no skip term, and at this ReLU there is one"
PUBLISHED = "the papers' formula as it stands, shown for comparison"
INDEPENDENT = (
    "diagonal propagation drops all correlations between units, which loses most of the variance; its variance is not "
    "an estimate"
)
BASELINES = {"published-theorem2": PUBLISHED, "published-lemma4": PUBLISHED, "diagonal": INDEPENDENT}
"""Engines that are there for comparison only, and why."""
FULL_CORRELATION = "Lemma 4 has no value where two units are fully correlated (|rho| = 1)"


@dataclass(frozen=True)
class LogitMoments:
    """What an engine says of the logits at one image and noise level.

    Attributes:
        mean: of every logit, shape (d,).
        variance: of every logit, shape (d,); all NaN where the engine's formula has no value.
        covariance: shape (d, d), or None if the engine gives variances only.
        no_variance: why the formula has no value; None if it has one.
    """

    mean: Tensor
    variance: Tensor
    covariance: Tensor | None
    no_variance: str | None = None


Engine = Callable[[AffineReluAffine, GaussianInput, Tensor], LogitMoments]
"""From a model, its input's distribution and the Gram matrix A A' to the logits' moments."""


def _two_stage(network: AffineReluAffine, x: GaussianInput, gram: Tensor) -> LogitMoments:
    covariance = output_covariance(network, x, gram)
    return LogitMoments(output_mean(network, x, gram), covariance.diagonal(), covariance)


def _published_theorem2(network: AffineReluAffine, x: GaussianInput, gram: Tensor) -> LogitMoments:
    mean = output_mean(network, x, gram)
    if network.skip is not None:
        return _without_variance(mean, NO_SKIP_TERM)
    variance = theorem2_variance(network.outer, pre_activation(network.inner, x, gram))
    return LogitMoments(mean, variance, None)


def _published_lemma4(network: AffineReluAffine, x: GaussianInput, gram: Tensor) -> LogitMoments:
    mean = output_mean(network, x, gram)
    if network.skip is not None:
        return _without_variance(mean, NO_SKIP_TERM)
    variance = lemma4_variance(network.outer, pre_activation(network.inner, x, gram))
    if bool(variance.isnan().any()):
        return _without_variance(mean, FULL_CORRELATION)
    return LogitMoments(mean, variance, None)


def _without_variance(mean: Tensor, reason: str) -> LogitMoments:
    return LogitMoments(mean, torch.full_like(mean, math.nan), None, reason)


MOMENTS: Mapping[str, Engine] = {
    "two-stage": _two_stage,
    "published-theorem2": _published_theorem2,
    "published-lemma4": _published_lemma4,
}
"""Engines that take a model linearized around a ReLU, by name: ``plan.LINEARIZED``."""
