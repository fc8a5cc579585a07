"""How moments were propagated, for the report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from nmcheck.checks.case import Case
from nmcheck.linearize.steps import linearized_reasons
from nmcheck.moments.propagation.propagated import Propagated, largest
from nmcheck.moments.tightness import SampledMoments
from nmcheck.results import LayerGain, LinearizedNode, PropagationEntry

NO_SPREAD = "no noise sample moved any logit"
NO_QUADRATURE = "no function of the network is integrated numerically"
PAIRED = "what is not linear in the noise was summed over pairs of elements"


def propagation_entry(case: Case, found: Sequence[Propagated], sampled: SampledMoments) -> PropagationEntry:
    """The way of all images at one noise level.

    Errors are root mean squares over images and logits: of random directions in units of each logit's own standard
    deviation by the reference, of residual samples in units of the engine's own variance. Logits that no sample of the
    reference moved have no such unit and are left out: what the engine sees of them may be rounding.
    """
    sampled_errors = [
        _mean_square(one.variance_error, one.covariance.diagonal(), moved)
        for one, moved in zip(found, sampled.moved, strict=True)
        if one.variance_error is not None
    ]
    errors = [one.direction_error for one in found if one.direction_error is not None]
    error, reason = None, None
    if errors:
        moved, given = sampled.moved, np.stack([one.double().cpu().numpy() for one in errors])
        ratios = given[moved] ** 2 / sampled.variance[moved]
        error = float(np.sqrt(ratios.mean())) if len(ratios) else None
        reason = None if error is not None else NO_SPREAD
    else:
        reason = "there is a tangent for every direction of the noise"
    quadrature_error = largest(one.quadrature_error for one in found)
    return PropagationEntry(
        directions=found[0].directions,
        random=bool(errors),
        samples=found[0].samples if sampled_errors else None,
        samples_reason=None if sampled_errors else PAIRED,
        variance_error=float(np.sqrt(np.mean(sampled_errors))) if sampled_errors else None,
        variance_error_reason=None if sampled_errors else PAIRED,
        mean_correction_sd=_over_images([one.correction for one in found], found, sampled),
        mean_correction_error_sd=_over_images([one.correction_error for one in found], found, sampled),
        direction_error_sd=error,
        direction_error_sd_reason=reason,
        quadrature_error_sd=quadrature_error,
        quadrature_error_sd_reason=None if quadrature_error is not None else NO_QUADRATURE,
        linearized=tuple(LinearizedNode(node=node, what=what) for node, what in linearized_reasons(case.graph).items()),
        gains=tuple(
            LayerGain(node=node, gain=float(np.sqrt(np.mean([one.gains[node] ** 2 for one in found]))))
            for node in found[0].gains
        ),
    )


def _over_images(means: Sequence[torch.Tensor], found: Sequence[Propagated], sampled: SampledMoments) -> float:
    """Root mean square over images and logits, in units of the logits' own standard deviations."""
    squares = [
        _mean_square(mean, one.covariance.diagonal().sqrt(), moved)
        for mean, one, moved in zip(means, found, sampled.moved, strict=True)
    ]
    return float(np.sqrt(np.mean(squares)))


def _mean_square(errors: torch.Tensor, sizes: torch.Tensor, moved: np.ndarray) -> float:
    """Of errors over sizes, of the logits that moved and have a size; 0 where there is none."""
    some = (sizes > 0) & torch.from_numpy(moved).to(sizes.device)
    return float((errors[some].double() / sizes[some].double()).square().mean()) if bool(some.any()) else 0.0
