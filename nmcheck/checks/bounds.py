"""From the bounds of a network at the images to the ``bounds`` section of a report."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from nmcheck.bounds.network import THEOREM_LIPSCHITZ, THEOREM_PUBLISHED, LayerResult
from nmcheck.bounds.rounding import CERTIFICATE
from nmcheck.checks.attacks import AttackedImages
from nmcheck.checks.case import Case
from nmcheck.checks.sample_bounds import certified_end, over_images, sample_bounds
from nmcheck.results import BoundsEntry, LayerBounds, RadiusEntry

NO_CORRECT = "none of the images is classified correctly, and radii are summarised over those that are"


def bounds_entry(case: Case, attacked: AttackedImages | None = None) -> BoundsEntry:
    """The L2 entry: every pixel may take any value (no box).

    Args:
        case: the model and its images.
        attacked: what L2 attacks without a box found, if any were run.
    """
    found = case.layer_bounds.found
    per_image = case.layer_bounds.seconds / len(case.images)
    correct = case.correct.cpu().numpy()
    radii = [None] * len(case.images) if found.radius_certified is None else found.radius_certified.tolist()
    lower = [certified_end(radius, found.radius_certified_reason, "lipschitz") for radius in radii]
    samples = sample_bounds(case, lower)
    return BoundsEntry(
        norm="l2",
        box=None,
        samples=len(case.images),
        certificate=CERTIFICATE,
        layers=tuple(layer_entry(layer) for layer in found.layers if layer.index >= 0),
        radius={
            "published": radius_entry(
                found.radius_published,
                found.radius_published_reason,
                correct,
                theorem=THEOREM_PUBLISHED,
                certified=False,
                seconds=per_image,
            ),
            "lipschitz": radius_entry(
                found.radius_certified,
                found.radius_certified_reason,
                correct,
                theorem=THEOREM_LIPSCHITZ,
                certified=True,
                seconds=per_image,
            ),
        },
        attack={} if attacked is None else attacked.entries,
        per_sample=samples if attacked is None else attacked.with_uppers(samples),
    )


def mean_radius(radii: Tensor | None, reason: str | None, correct: np.ndarray) -> tuple[float | None, str | None]:
    """Mean over the correctly classified images, or None and why."""
    if radii is None:
        return None, reason
    chosen = radii.cpu().numpy()[correct]
    return over_images(float(chosen.mean()), chosen) if len(chosen) else (None, NO_CORRECT)


def mean_kappa(values: Tensor | None, reason: str | None) -> tuple[float | None, str | None]:
    """Mean over all images, or None and why."""
    return (None, reason) if values is None else over_images(float(values.mean()), values.cpu().numpy())


def low_radius(radii: np.ndarray) -> float:
    """The fifth percentile as one of the radii themselves: at most 5 % of them lie below, at least 5 % not above."""
    return float(np.percentile(radii, 5, method="lower"))


def radius_entry(
    radii: Tensor | None,
    reason: str | None,
    correct: np.ndarray,
    *,
    theorem: str,
    certified: bool,
    seconds: float | None,
    seconds_reason: str | None = None,
) -> RadiusEntry:
    """The radii of one method over the correctly classified images."""
    (mean, mean_reason) = (median, median_reason) = (p5, p5_reason) = mean_radius(radii, reason, correct)
    if radii is not None and correct.any():
        chosen = radii.cpu().numpy()[correct]
        median, median_reason = over_images(float(np.median(chosen)), chosen)
        p5, p5_reason = over_images(low_radius(chosen), chosen)
    return RadiusEntry(
        mean=mean,
        mean_reason=mean_reason,
        median=median,
        median_reason=median_reason,
        p5=p5,
        p5_reason=p5_reason,
        images=int(correct.sum()),
        certified=certified,
        theorem=theorem,
        seconds_per_sample=seconds,
        seconds_per_sample_reason=seconds_reason,
    )


def layer_entry(layer: LayerResult) -> LayerBounds:
    """One row of the layer table."""
    published, published_reason = mean_kappa(layer.kappa_published, layer.kappa_published_reason)
    certified, certified_reason = mean_kappa(layer.kappa_certified, layer.kappa_certified_reason)
    return LayerBounds(
        node=layer.node,
        index=layer.index,
        outputs=layer.outputs,
        op=layer.op,
        lipschitz=layer.lipschitz,
        lipschitz_reason=layer.lipschitz_reason,
        lipschitz_method=layer.lipschitz_method,
        lipschitz_to_logits=layer.lipschitz_to_logits,
        lipschitz_to_logits_reason=layer.lipschitz_to_logits_reason,
        kappa_published=published,
        kappa_published_reason=published_reason,
        kappa_certified=certified,
        kappa_certified_reason=certified_reason,
        published_sound=layer.published_sound,
        published_statement=layer.published_statement,
    )
