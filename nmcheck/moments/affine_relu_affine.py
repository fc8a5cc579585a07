"""Exact mean and covariance of x -> B relu(A x + c1) + c2 under Gaussian x.

Theorem 1 of "Analytic expressions for probabilistic moments of PL-DNN" and its extension gives the mean; the covariance
is B Cov(relu z) B' with the exact kernel of ``kernel.py``, which replaces the series of the extension's Lemma 4.
Nothing is approximated: the result is exact for this network, and an estimate of a deeper one that it linearizes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.affine import AffineMap
from nmcheck.moments.kernel import relu_covariance
from nmcheck.moments.relu import relu_mean


@dataclass(frozen=True)
class PreActivation:
    """z = A x + c1, Gaussian: what the ReLU sees.

    Attributes:
        mean: A mu + c1.
        covariance: A Sigma A'.
    """

    mean: Float[Tensor, " p"]
    covariance: Float[Tensor, "p p"]

    @property
    def sd(self) -> Float[Tensor, " p"]:
        """Standard deviation of every unit."""
        return self.covariance.diagonal().sqrt()


def gram_matrix(inner: AffineMap) -> Float[Tensor, "p p"]:
    """A A', of which every isotropic covariance is a multiple: computed once for all images and noise levels."""
    return inner.weight @ inner.weight.mT


def pre_activation(
    inner: AffineMap, gram: Float[Tensor, "p p"], mean: Float[Tensor, " n"], sigma: float
) -> PreActivation:
    """Z = A x + c1 for x ~ N(mean, sigma^2 I).

    Args:
        inner: A and c1.
        gram: ``gram_matrix(inner)``.
        mean: of the input.
        sigma: standard deviation of the noise, in the input's units.
    """
    return PreActivation(mean=inner(mean), covariance=sigma**2 * gram)


def output_mean(outer: AffineMap, pre: PreActivation) -> Float[Tensor, " d"]:
    """E[B relu(z) + c2] (Theorem 1), in the units of the logits."""
    return outer(relu_mean(pre.mean, pre.sd))


def output_covariance(outer: AffineMap, pre: PreActivation) -> Float[Tensor, "d d"]:
    """Cov[B relu(z) + c2] = B Cov(relu z) B'; c2 does not enter."""
    covariance = outer.weight @ relu_covariance(pre.mean, pre.covariance) @ outer.weight.mT
    return 0.5 * (covariance + covariance.mT)


def output_variance(outer: AffineMap, pre: PreActivation) -> Float[Tensor, " d"]:
    """Var of every logit: the diagonal of ``output_covariance``."""
    return torch.einsum("dp,dp->d", outer.weight @ relu_covariance(pre.mean, pre.covariance), outer.weight)
