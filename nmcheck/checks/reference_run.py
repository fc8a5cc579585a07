"""One run of the reference sampler, and how many samples it takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from nmcheck.checks.case import Case
from nmcheck.checks.image_model import ImageModel
from nmcheck.checks.options import LEAST_REFERENCE_SAMPLES, AnalyzeOptions
from nmcheck.checks.sampling import SampledNetwork
from nmcheck.checks.seeds import Purpose, noise_seed
from nmcheck.errors import UsageError
from nmcheck.moments.gaussian import GaussianInput
from nmcheck.moments.reference import control_variate, plain
from nmcheck.moments.reference_moments import ReferenceMoments
from nmcheck.moments.tightness import SampledMoments, floor

MOST_SAMPLES = 1_000_000
"""Samples an image and noise level beyond which ``--reference-error`` is refused."""


def sample_reference(
    options: AnalyzeOptions,
    network: SampledNetwork,
    slope: Tensor,
    x: GaussianInput,
    *,
    samples: int,
    label: int,
    seed: int,
) -> ReferenceMoments:
    """The logits' moments by the sampler asked for.

    Args:
        options: which sampler.
        network: what is sampled.
        slope: the derivative it takes for a control variate.
        x: the input's distribution.
        samples: how many.
        label: the class that flips are counted against.
        seed: of the noise.
    """
    if options.reference == "plain":
        return plain(network.evaluate, x, samples=samples, label=label, seed=seed, rounding=network.rounding)
    return control_variate(
        network.evaluate, x, slope, pairs=samples // 2, label=label, seed=seed, rounding=network.rounding
    )


def sampled_moments(references: Iterable[ReferenceMoments]) -> SampledMoments:
    """One row an image."""
    found = list(references)

    def stacked(values: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(values)).cpu()

    return SampledMoments(
        mean=stacked([one.mean for one in found]).numpy(),
        mean_se=stacked([one.mean_se for one in found]).numpy(),
        variance=stacked([one.variance for one in found]).numpy(),
        variance_se=stacked([one.variance_se for one in found]).numpy(),
        moved=stacked([one.moved & (one.variance > 0) for one in found]).numpy(),
    )


def reference_counts(
    case: Case, options: AnalyzeOptions, networks: Mapping[float, SampledNetwork], advance: Callable[[int], None]
) -> Mapping[float, int]:
    """Samples an image at each noise level.

    The number asked for; or, with ``--reference-error``, what takes the floor of E_r (``moments.tightness.floor``), of
    mean and variance alike, down to it: a floor falls as one over the square root of the samples, and a pilot run of
    500 an image tells where it starts. The pilot's slopes are those at the image, so where slopes averaged over the
    noise are used later the floor ends up lower than asked. Its noise is used for nothing else, because a count that
    depends on the samples it is taken from biases their intervals.

    Raises:
        UsageError: more than ``MOST_SAMPLES`` would be needed.
    """
    target = options.reference_error
    if target is None:
        return dict.fromkeys(options.sigmas, options.reference_samples)
    of_image = ImageModel(case, None, 0)
    pilots: dict[float, list[ReferenceMoments]] = {sigma: [] for sigma in options.sigmas}
    for row, image in enumerate(case.images):
        of_image.move_to(image)
        label, position, slope = int(case.predicted[row]), int(case.positions[row]), of_image.slope
        for level, sigma in enumerate(options.sigmas):
            pilots[sigma].append(
                sample_reference(
                    options,
                    networks[sigma],
                    slope,
                    GaussianInput(image.flatten(), sigma, case.structure),
                    samples=LEAST_REFERENCE_SAMPLES,
                    label=label,
                    seed=noise_seed(options.seed, Purpose.PILOT, position, level),
                )
            )
        advance(1)
    return {sigma: _needed(sigma, found, target) for sigma, found in pilots.items()}


def _needed(sigma: float, pilots: Sequence[ReferenceMoments], target: float) -> int:
    lowest = floor(sampled_moments(pilots))
    ratio = math.nan if lowest is None else max(lowest.mean_er, lowest.var_er) / target
    # Infinite outputs and those that noise does not move are for the run itself to report, in its own words.
    if not math.isfinite(ratio):
        return LEAST_REFERENCE_SAMPLES
    needed = max(LEAST_REFERENCE_SAMPLES, 2 * math.ceil(LEAST_REFERENCE_SAMPLES / 2 * ratio**2))
    if needed > MOST_SAMPLES:
        least = target * ratio * math.sqrt(LEAST_REFERENCE_SAMPLES / MOST_SAMPLES)
        raise UsageError(
            f"--reference-error {target:g} would take about {needed:,} samples an image at sigma {sigma:g}, more than "
            f"{MOST_SAMPLES:,}; ask for at least {math.ceil(least * 1e5) / 1e5:g}."
        )
    return needed
