"""The moment engines: from an (Affine, ReLU, Affine) model to the logits' mean and variance.

Analytic moments of a deeper network are estimates: the linearization around the cut has no error bound. The engines
named ``published-`` are the papers' formulas as they stand, kept as baselines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from nmcheck.affine import AffineReluAffine
from nmcheck.moments.affine_relu_affine import PreActivation, output_covariance, output_mean
from nmcheck.moments.lemma4 import lemma4_variance
from nmcheck.moments.theorem2 import theorem2_variance


@dataclass(frozen=True)
class LogitMoments:
    """What an engine says of the logits at one image and noise level.

    Attributes:
        mean: of every logit, shape (d,).
        variance: of every logit, shape (d,); NaN where the engine's formula has no value.
        covariance: shape (d, d), or None if the engine gives variances only.
    """

    mean: Tensor
    variance: Tensor
    covariance: Tensor | None


def _two_stage(network: AffineReluAffine, pre: PreActivation) -> LogitMoments:
    covariance = output_covariance(network.outer, pre)
    return LogitMoments(output_mean(network.outer, pre), covariance.diagonal(), covariance)


def _published_theorem2(network: AffineReluAffine, pre: PreActivation) -> LogitMoments:
    return LogitMoments(output_mean(network.outer, pre), theorem2_variance(network.outer, pre), None)


def _published_lemma4(network: AffineReluAffine, pre: PreActivation) -> LogitMoments:
    return LogitMoments(output_mean(network.outer, pre), lemma4_variance(network.outer, pre), None)


MOMENTS: Mapping[str, Callable[[AffineReluAffine, PreActivation], LogitMoments]] = {
    "two-stage": _two_stage,
    "published-theorem2": _published_theorem2,
    "published-lemma4": _published_lemma4,
}
"""Engines by name; ``options.ENGINES`` lists the same names without importing torch."""
