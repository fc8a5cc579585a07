"""What the samples say of mean and slopes, where values in front of a nonlinear step are not Gaussian."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.moments.relu import deviation
from nmcheck.steps import (
    AffineStep,
    LinearizedStep,
    MaximumStep,
    Network,
    PiecewiseLinearStep,
    ProductStep,
    SmoothStep,
    Step,
)

MEAN_DOUBT, SLOPE_DOUBT = 2.0, 4.0
"""Standard deviations by which an estimate's square must exceed what chance makes of it before any of it is believed.

Slopes are doubted more: where the network is nearly linear, chance moves a variance by more than is wrong with it."""


def mean_is_exact(network: Network) -> bool:
    """Whether the propagated mean has no closure error: no nonlinear step sees the output of another.

    Affine steps keep a Gaussian Gaussian and the mean of anything exact. A nonlinear step's mean is exact for Gaussian
    inputs, a maximum's for two values; a step replaced by its tangent has no exact mean.
    """
    gaussian, exact = {network.input}, {network.input}
    for step in network.steps:
        linear = isinstance(step, AffineStep)
        if linear and gaussian.issuperset(step.inputs):
            gaussian.update(step.outputs)
        if exact.issuperset(step.inputs) if linear else _is_exact(step) and gaussian.issuperset(step.inputs):
            exact.update(step.outputs)
    return network.output in exact


def _is_exact(step: Step) -> bool:
    match step:
        case PiecewiseLinearStep() | SmoothStep() | ProductStep():
            return True
        case MaximumStep():
            return False
        case LinearizedStep():
            return False
        case _:
            raise TypeError(f"no rule for a {type(step).__name__}")


def mean_correction(shift: Float[Tensor, " d"], covariance: Float[Tensor, "d d"], samples: int) -> Float[Tensor, " d"]:
    """The part of the samples' mean shift that is worth believing.

    Each sample's output less its response (``value``), of mean zero, has the true mean as its expectation, so the shift
    from the propagated mean, averaged over n samples, estimates the closure's bias without bias, with the covariance C
    of what the response leaves, over n.
    Where the bias is small, that noise is larger than what it mends. As by James and Stein (1961) the shift is shrunk:
    by the factor 1 - q/|shift|^2, and to nothing below, where q = (tr C + MEAN_DOUBT sqrt(2 tr C^2))/n is what
    |shift|^2 hardly exceeds by chance (its mean under no bias, and ``MEAN_DOUBT`` of its standard deviations). With
    more samples the factor tends to 1 wherever there is a bias, and the mean to the true one.

    Args:
        shift: mean over samples of output less response, less the propagated mean.
        covariance: C, of one sample's output less response.
        samples: n.
    """
    return _shrunk(shift, covariance / samples, MEAN_DOUBT)


def slope_correction(
    linear: Float[Tensor, "n d"], residual: Float[Tensor, "n d"], covariance: Float[Tensor, "d d"]
) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
    """The factors by which the averaged slopes are too small, less one, as far as the samples are worth believing.

    Returned with their standard errors, which are 0 where nothing was corrected.

    A residual that is uncorrelated with the linear response g, as it is for slopes averaged over the noise itself, has
    b = E[g r] / Var g = 0 for every output. The samples' b has the covariance of their products g_i r_i, over
    Var g_i Var g_j n; not Cov(g)_ij Cov(r)_ij, which is five times too small for r = g^2 - Var g. What outputs have in
    common is estimated first, their differences from it after that, each shrunk as in ``mean_correction``. Outputs that
    do not move, such as dead or masked logits, have nothing in common with the others.

    Args:
        linear: g at each of n samples.
        residual: r, or what a part of it leaves that is uncorrelated with g; without its mean.
        covariance: of g, known exactly.
    """
    n, variance = len(linear), covariance.diagonal()
    moving = variance > 0
    if not moving.all():
        corrected, error = torch.zeros_like(variance), torch.zeros_like(variance)
        if moving.any():
            among = covariance[moving][:, moving]
            corrected[moving], error[moving] = slope_correction(linear[:, moving], residual[:, moving], among)
        return corrected, error
    products = linear * residual / variance
    found = products.mean(dim=0)
    spread = (products - found).mT @ (products - found) / ((n - 1) * n)
    common = _shrunk(found.mean()[None], spread.mean()[None, None], SLOPE_DOUBT)
    apart = torch.eye(len(found), dtype=found.dtype, device=found.device) - 1.0 / len(found)
    corrected = common + _shrunk(apart @ found, apart @ spread @ apart, SLOPE_DOUBT)
    return corrected, torch.where(corrected != 0, deviation(spread.diagonal()), 0.0)


def _shrunk(shift: Float[Tensor, " d"], covariance: Float[Tensor, "d d"], doubt: float) -> Float[Tensor, " d"]:
    """An estimate with that covariance, times 1 - q/|shift|^2 where that is positive."""
    chance = covariance.diagonal().sum() + doubt * (2.0 * covariance.square().sum()).sqrt()
    square = shift.square().sum()
    kept = 1.0 - chance / torch.where(square > 0, square, 1.0)
    return shift * torch.where(square > 0, kept, 0.0).clamp(min=0.0)
