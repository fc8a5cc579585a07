"""Exact mean and covariance of x -> B relu(A x + c1) + C x + c2 under Gaussian x.

Theorem 1 of "Analytic expressions for probabilistic moments of PL-DNN" and its extension gives the mean; the covariance
of the ReLU's part is B Cov(relu z) B' with the exact kernel of ``kernel.py``, which replaces the series of the
extension's Lemma 4. What the skip term C x adds is not in the papers: Cov(relu(z_i), x) = Phi(m_i) Cov(z_i, x) by
Price's theorem, m_i = E[z_i]/sd(z_i). Nothing is approximated: the result is exact for this network, and an estimate
of a deeper one that it linearizes.

The functions take the network, its input's distribution and the Gram matrix, which is worth keeping: it is the same for
all noise levels, and for all images whose A is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nmcheck.affine import AffineMap, AffineReluAffine
from nmcheck.moments.gaussian import GaussianInput, Isotropic, NoiseStructure
from nmcheck.moments.kernel import PAIRS_AT_ONCE, relu_covariance_seen_by, relu_residual_seen_by
from nmcheck.moments.relu import relu_gate, relu_mean


@dataclass(frozen=True)
class PreActivation:
    """z = A x + c1, Gaussian: what the ReLU sees.

    The covariance of a layer of ten thousand units takes a gigabyte; a copy for each noise level would not fit.

    Attributes:
        mean: A mu + c1.
        covariance: A Sigma A', over ``scale``.
        scale: what that is to be multiplied by.
    """

    mean: Float[Tensor, " p"]
    covariance: Float[Tensor, "p p"]
    scale: float | Tensor = 1.0

    @property
    def sd(self) -> Float[Tensor, " p"]:
        """Standard deviation of every unit."""
        return (self.scale * self.covariance.diagonal()).sqrt()

    def rows(self) -> Iterator[tuple[Int64[Tensor, " rows"], Float[Tensor, "rows p"]]]:
        """A Sigma A' a few rows at a time, with the units they are of."""
        count = len(self.mean)
        for units in torch.arange(count, device=self.mean.device).split(max(1, PAIRS_AT_ONCE // max(1, count))):
            yield units, self.scale * self.covariance[units]


def gram_matrix(inner: AffineMap, structure: NoiseStructure | None = None) -> Float[Tensor, "p p"]:
    """A S A', of which every covariance of that structure is a multiple: computed once for images and noise levels.

    Args:
        inner: A and c1.
        structure: S; the identity unless given.
    """
    response = (structure or Isotropic()).response(inner.weight)
    return response @ response.mT


def pre_activation(inner: AffineMap, x: GaussianInput, gram: Float[Tensor, "p p"]) -> PreActivation:
    """Z = A x + c1.

    Args:
        inner: A and c1.
        x: the input's distribution.
        gram: ``gram_matrix(inner, x.structure)``.
    """
    return PreActivation(mean=inner(x.mean), covariance=gram, scale=x.sigma**2)


def output_mean(network: AffineReluAffine, x: GaussianInput, gram: Float[Tensor, "p p"]) -> Float[Tensor, " d"]:
    """B E[relu(z)] + C mu + c2 (Theorem 1), in the units of the logits."""
    mean = network.outer(relu_mean(network.inner(x.mean), x.sigma * gram.diagonal().sqrt()))
    return mean if network.skip is None else mean + network.skip @ x.mean


def output_covariance(network: AffineReluAffine, x: GaussianInput, gram: Float[Tensor, "p p"]) -> Float[Tensor, "d d"]:
    """B K B' + C S C' + M + M' with K = Cov(relu z) and M = B diag(Phi(m)) A S C', S being the input's covariance.

    M is the covariance of the ReLU's part with the skip term, and not symmetric. Neither bias enters beyond m. With a
    skip term it is summed as J S J' + B (K - D A S A' D) B' with D = diag(Phi(m)) and J = B D A + C: where the two
    parts cancel each other, C S C' + M + M' would leave rounding, which may be below 0.
    """
    mean, sd = network.inner(x.mean), x.sigma * gram.diagonal().sqrt()
    if network.skip is None:
        covariance = relu_covariance_seen_by(network.outer.weight, mean, gram, x.sigma**2)
    else:
        slope = x.structure.response(_mean_slope(network, mean, sd) + network.skip)
        residual = relu_residual_seen_by(network.outer.weight, mean, gram, x.sigma**2)
        covariance = x.sigma**2 * (slope @ slope.mT) + residual
    return 0.5 * (covariance + covariance.mT)


def output_variance(network: AffineReluAffine, x: GaussianInput, gram: Float[Tensor, "p p"]) -> Float[Tensor, " d"]:
    """Var of every logit: the diagonal of ``output_covariance``."""
    return output_covariance(network, x, gram).diagonal()


def _mean_slope(network: AffineReluAffine, mean: Tensor, sd: Tensor) -> Float[Tensor, "d n"]:
    """B diag(Phi(m)) A, the mean derivative of the part that goes through the ReLU."""
    return (network.outer.weight * relu_gate(mean, sd)) @ network.inner.weight
