"""Analytic moments of every image and noise level, beside their sampled reference."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from nmcheck.affine import AffineReluAffine
from nmcheck.checks.case import Case
from nmcheck.checks.engines import MOMENTS, LogitMoments
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.checks.sampling import SampledNetwork
from nmcheck.checks.seeds import Purpose, noise_seed
from nmcheck.graph.ir import Node
from nmcheck.linearize.two_stage import TwoStageLinearizer
from nmcheck.moments.affine_relu_affine import GaussianInput, gram_matrix
from nmcheck.moments.flips import gaussian_flip_probability
from nmcheck.moments.reference import ReferenceMoments, control_variate, plain


@dataclass
class EngineRun:
    """One engine at one noise level, image by image.

    Attributes:
        moments: what it says of each image.
        flips: probability it gives a change of the predicted class; None where it gives no covariance.
        seconds: what it took in all, its share of the linearization included.
    """

    moments: list[LogitMoments] = field(default_factory=list)
    flips: list[float | None] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class MomentRuns:
    """All engines and the reference, image by image.

    Attributes:
        cut: the ReLU linearized around.
        cut_kind: ``cut`` if every path crosses it, else ``skip``.
        engines: by noise level and engine.
        references: by noise level.
        seconds_per_forward: one image in a batch of 64, in the precision of the deployed model.
    """

    cut: Node
    cut_kind: Literal["cut", "skip"]
    engines: dict[tuple[float, str], EngineRun]
    references: dict[float, list[ReferenceMoments]]
    seconds_per_forward: float


def run_moments(
    case: Case, options: AnalyzeOptions, cut: Node, network: SampledNetwork, advance: Callable[[int], None]
) -> MomentRuns:
    """Linearize at every image, then run every engine and the reference at every noise level."""
    linearizer = TwoStageLinearizer(case.double, cut)
    engines = {(sigma, name): EngineRun() for sigma in options.sigmas for name in options.engines}
    references: dict[float, list[ReferenceMoments]] = {sigma: [] for sigma in options.sigmas}
    gram: Tensor | None = None
    for row, image in enumerate(case.images):
        start = time.perf_counter()
        affine = linearizer.at(image)
        if gram is None or not linearizer.inner_is_constant:
            gram = gram_matrix(affine.inner)
        linearized = time.perf_counter() - start
        flat, label = image.flatten(), int(case.predicted[row])
        for level, sigma in enumerate(options.sigmas):
            for name in options.engines:
                start = time.perf_counter()
                found = MOMENTS[name](affine, GaussianInput(flat, sigma), gram)
                run = engines[sigma, name]
                run.seconds += time.perf_counter() - start + linearized
                run.moments.append(found)
                run.flips.append(
                    None if found.covariance is None else gaussian_flip_probability(found.mean, found.covariance, label)
                )
            seed = noise_seed(options.seed, Purpose.REFERENCE, int(case.positions[row]), level)
            references[sigma].append(_reference(options, network, affine, flat, sigma, label=label, seed=seed))
        advance(1)
    kind = "skip" if linearizer.is_skip else "cut"
    return MomentRuns(cut, kind, engines, references, seconds_per_forward(case))


def _reference(
    options: AnalyzeOptions,
    network: SampledNetwork,
    affine: AffineReluAffine,
    image: Tensor,
    sigma: float,
    *,
    label: int,
    seed: int,
) -> ReferenceMoments:
    samples = options.reference_samples
    if options.reference == "plain":
        return plain(network.evaluate, image, sigma, samples=samples, label=label, seed=seed)
    jacobian = affine.jacobian(image)
    return control_variate(network.evaluate, image, sigma, jacobian, pairs=samples // 2, label=label, seed=seed)


def seconds_per_forward(case: Case, batch: int = 64, repeats: int = 5) -> float:
    """Median time of one image in a batch of 64, by which costs are stated in forward passes."""
    images = case.images[torch.arange(batch) % len(case.images)].float()
    times: list[float] = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        case.single(images)
        times.append((time.perf_counter() - start) / batch)
    return float(np.median(times[1:]))


def stacked(values: Sequence[Tensor]) -> np.ndarray:
    """One row an image."""
    return torch.stack(list(values)).cpu().numpy()
