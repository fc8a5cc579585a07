"""Analytic moments of every image and noise level, beside their sampled reference."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from nmcheck.affine import AffineReluAffine
from nmcheck.checks.case import Case
from nmcheck.checks.engines import MOMENTS, LogitMoments
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.checks.plan import LINEARIZED, MomentPlan
from nmcheck.checks.sampling import SINGLE, SampledNetwork
from nmcheck.checks.seeds import Purpose, noise_seed
from nmcheck.linearize.jacobian import jacobian
from nmcheck.linearize.steps import network_of
from nmcheck.linearize.two_stage import TwoStageLinearizer, two_stage_at
from nmcheck.moments.affine_relu_affine import gram_matrix
from nmcheck.moments.flips import gaussian_flip_probability
from nmcheck.moments.gaussian import GaussianInput
from nmcheck.moments.propagation.propagate import Propagated, propagate
from nmcheck.moments.reference import ReferenceMoments, control_variate, plain


@dataclass
class EngineRun:
    """One engine at one noise level, image by image.

    Attributes:
        moments: what it says of each image.
        flips: probability it gives a change of the predicted class; None where it gives no covariance.
        seconds: what it took in all, its share of the linearization included.
        propagated: what propagation says beside the moments; empty for other engines.
    """

    moments: list[LogitMoments] = field(default_factory=list)
    flips: list[float | None] = field(default_factory=list)
    seconds: float = 0.0
    propagated: list[Propagated] = field(default_factory=list)

    def add(self, found: LogitMoments, label: int, seconds: float) -> None:
        """One more image."""
        self.seconds += seconds
        self.moments.append(found)
        given = found.covariance is not None
        self.flips.append(gaussian_flip_probability(found.mean, found.covariance, label) if given else None)


@dataclass(frozen=True)
class MomentRuns:
    """All engines and the reference, image by image.

    Attributes:
        plan: which engines ran, and the ReLU linearized around.
        cut_kind: ``cut`` if every path crosses it, else ``skip``; None without one.
        engines: by noise level and engine.
        references: by noise level.
        seconds_per_forward: one image in a batch of 64, in the precision of the deployed model.
    """

    plan: MomentPlan
    cut_kind: Literal["cut", "skip"] | None
    engines: dict[tuple[float, str], EngineRun]
    references: dict[float, list[ReferenceMoments]]
    seconds_per_forward: float


Propagation = Callable[[GaussianInput], Propagated]


def run_moments(
    case: Case, options: AnalyzeOptions, plan: MomentPlan, network: SampledNetwork, advance: Callable[[int], None]
) -> MomentRuns:
    """Run every engine and the reference at every image and noise level.

    The reference's control variate takes the best derivative at hand: the one averaged over the noise if moments are
    propagated, else the one at the image.
    """
    linearizer = None if plan.cut is None else two_stage_at(case.double, plan.cut)
    propagation = _propagation(case, network) if "propagate" in plan.engines else None
    engines = {(sigma, name): EngineRun() for sigma in options.sigmas for name in plan.engines}
    references: dict[float, list[ReferenceMoments]] = {sigma: [] for sigma in options.sigmas}
    of_image = _ImageModel(case, linearizer)
    for row, image in enumerate(case.images):
        of_image.move_to(image)
        flat, label = image.flatten(), int(case.predicted[row])
        for level, sigma in enumerate(options.sigmas):
            x = GaussianInput(flat, sigma)
            slope = None
            for name in plan.engines:
                start = time.perf_counter()
                run = engines[sigma, name]
                if name in LINEARIZED:
                    found = MOMENTS[name](of_image.affine, x, of_image.gram)
                    run.add(found, label, time.perf_counter() - start + of_image.seconds)
                elif propagation is not None:
                    moved = propagation(x)
                    covariance = moved.covariance.to(flat)
                    found = LogitMoments(moved.mean.to(flat), covariance.diagonal(), covariance)
                    run.add(found, label, time.perf_counter() - start)
                    run.propagated.append(moved)
                    slope = moved.jacobian.to(flat)
            seed = noise_seed(options.seed, Purpose.REFERENCE, int(case.positions[row]), level)
            references[sigma].append(
                _reference(options, network, of_image.slope if slope is None else slope, x, label=label, seed=seed)
            )
        advance(1)
    kind = None if linearizer is None else "skip" if linearizer.is_skip else "cut"
    return MomentRuns(plan, kind, engines, references, seconds_per_forward(case))


class _ImageModel:
    """What is linearized at an image, for all engines and noise levels.

    Args:
        case: the network.
        linearizer: makes the model around a cut; None where no engine wants one.
    """

    def __init__(self, case: Case, linearizer: TwoStageLinearizer | None) -> None:
        self._case = case
        self._linearizer = linearizer
        self._affine: AffineReluAffine | None = None
        self._gram: Tensor | None = None
        self._image: Tensor | None = None
        self.seconds = 0.0

    def move_to(self, image: Tensor) -> None:
        """Linearize at an image."""
        self._image = image
        if self._linearizer is None:
            return
        start = time.perf_counter()
        self._affine = self._linearizer.at(image)
        if self._gram is None or not self._linearizer.inner_is_constant:
            self._gram = gram_matrix(self._affine.inner)
        self.seconds = time.perf_counter() - start

    @property
    def affine(self) -> AffineReluAffine:
        """The model around the cut."""
        assert self._affine is not None
        return self._affine

    @property
    def gram(self) -> Tensor:
        """Its Gram matrix."""
        assert self._gram is not None
        return self._gram

    @property
    def slope(self) -> Tensor:
        """The derivative of the logits at the image."""
        assert self._image is not None
        if self._affine is not None:
            return self._affine.jacobian(self._image.flatten())
        graph = self._case.graph
        function = self._case.double.function(graph.input, graph.logits)
        shape = self._image.shape
        return jacobian(lambda u: function(u.reshape(shape)), self._image.flatten())[1]


def _propagation(case: Case, network: SampledNetwork) -> Propagation:
    """Propagation in the precision the reference is sampled in, which is as fine as errors can be seen."""
    program = case.single if network.rounding == SINGLE else case.double
    steps = network_of(program)
    run = partial(propagate, steps)
    return lambda x: run(GaussianInput(x.mean.to(program.dtype), x.sigma, x.structure))


def _reference(
    options: AnalyzeOptions, network: SampledNetwork, slope: Tensor, x: GaussianInput, *, label: int, seed: int
) -> ReferenceMoments:
    samples, sigma = options.reference_samples, float(x.sigma)
    if options.reference == "plain":
        return plain(network.evaluate, x.mean, sigma, samples=samples, label=label, seed=seed)
    return control_variate(network.evaluate, x.mean, sigma, slope, pairs=samples // 2, label=label, seed=seed)


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
