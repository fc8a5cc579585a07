"""Analytic moments of every image and noise level, beside their sampled reference."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import torch

from nmcheck.checks.bank_engine import BankEngine
from nmcheck.checks.case import Case
from nmcheck.checks.engines import MOMENTS, LogitMoments
from nmcheck.checks.image_model import ImageModel
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.checks.plan import LINEARIZED, MomentPlan
from nmcheck.checks.reference_run import sample_reference
from nmcheck.checks.sampling import SINGLE, SampledNetwork
from nmcheck.checks.seeds import Purpose, noise_seed
from nmcheck.errors import ModelError
from nmcheck.linearize.linearizer import LINEARIZERS
from nmcheck.linearize.steps import network_of
from nmcheck.moments.diagonal import propagate_diagonal
from nmcheck.moments.flips import DOUBLE_ROUNDING, gaussian_class_probabilities, gaussian_flip_probability
from nmcheck.moments.gaussian import GaussianInput
from nmcheck.moments.propagation.propagate import propagate
from nmcheck.moments.propagation.propagated import Propagated
from nmcheck.moments.reference_moments import ReferenceMoments
from nmcheck.steps import Network


@dataclass
class EngineRun:
    """One engine at one noise level, image by image.

    Args:
        first: of every class, the first class whose logit is the same function (``graph.equal_logits``).

    Attributes:
        moments: what it says of each image.
        flips: probability it gives a change of the predicted class; None where it gives no covariance.
        classes: probability it gives each class of being predicted; None where it gives none.
        seconds: what it took in all, its share of the linearization included.
        propagated: what propagation says beside the moments; empty for other engines.
        probed: nodes whose squared slopes diagonal propagation took from random probes; empty for other engines.
    """

    first: np.ndarray
    moments: list[LogitMoments] = field(default_factory=list)
    flips: list[float | None] = field(default_factory=list)
    classes: list[np.ndarray | None] = field(default_factory=list)
    seconds: float = 0.0
    propagated: list[Propagated] = field(default_factory=list)
    probed: tuple[str, ...] = ()

    def add(self, found: LogitMoments, label: int, seconds: float, rounding: float = DOUBLE_ROUNDING) -> None:
        """One more image.

        Args:
            found: its moments.
            label: the class predicted for it without noise.
            seconds: what they took.
            rounding: relative rounding of the arithmetic they come from.
        """
        self.seconds += seconds
        self.moments.append(found)
        if found.covariance is None:
            self.flips.append(None)
            self.classes.append(None)
            return
        # Equal logits have equal moments, not only up to rounding.
        mean = found.mean[self.first]
        covariance = found.covariance[self.first][:, self.first]
        self.flips.append(gaussian_flip_probability(mean, covariance, label, rounding))
        self.classes.append(gaussian_class_probabilities(mean, covariance, label, rounding))


@dataclass(frozen=True)
class MomentRuns:
    """All engines and the reference, image by image.

    Attributes:
        plan: which engines ran, and the ReLU linearized around.
        cut_kind: ``cut`` if every path crosses it, else ``skip``; None without one.
        engines: by noise level and engine.
        references: by noise level.
        seconds_per_forward: one image in a batch of 64, in the precision of the deployed model.
        bank: what engine ``bank`` was served by; None without it.
    """

    plan: MomentPlan
    cut_kind: Literal["cut", "skip"] | None
    engines: dict[tuple[float, str], EngineRun]
    references: dict[float, list[ReferenceMoments]]
    seconds_per_forward: float
    bank: BankEngine | None = None


Propagation = Callable[[GaussianInput, int], Propagated]


def run_moments(
    case: Case,
    options: AnalyzeOptions,
    plan: MomentPlan,
    networks: Mapping[float, SampledNetwork],
    *,
    counts: Mapping[float, int],
    advance: Callable[[int], None],
    bank: BankEngine | None = None,
) -> MomentRuns:
    """Run every engine and the reference at every image and noise level.

    The reference's control variate takes the best derivative at hand: the one averaged over the noise if moments are
    propagated; else that of the model around the cut, else the one at the image. Any would do: its expectation is known
    for every derivative, right or wrong, so that a fault of an engine cannot move what it is judged by.

    Args:
        case: the network, the images and what the noise is like.
        options: noise levels, engines and seeds.
        plan: which engines run.
        networks: what the reference samples, by noise level.
        counts: samples an image of the reference, by noise level.
        advance: told of each image done.
        bank: serves the engine ``bank``; None where it is not asked for.
    """
    linearizer = None if plan.cut is None else LINEARIZERS[options.linearizer](case.double, plan.cut)
    propagated = bool({"propagate", "diagonal"} & set(plan.engines))
    dtypes = {sigma: _dtype(case, network) for sigma, network in networks.items()}
    of_dtype = {dtype: _steps(case, dtype) for dtype in dict.fromkeys(dtypes.values()) if propagated}
    first = case.double.equal.first
    engines = {(sigma, name): EngineRun(first) for sigma in options.sigmas for name in plan.engines}
    references: dict[float, list[ReferenceMoments]] = {sigma: [] for sigma in options.sigmas}
    of_image = ImageModel(case, linearizer, options.averaging_points // 2)
    for row, image in enumerate(case.images):
        of_image.move_to(image)
        flat, label, position = image.flatten(), int(case.predicted[row]), int(case.positions[row])
        for level, sigma in enumerate(options.sigmas):
            x = GaussianInput(flat, sigma, case.structure)
            of_image.expect(x, noise_seed(options.seed, Purpose.AVERAGING, position, level))
            # No entry of a Gram matrix is larger than those of its diagonal.
            if linearizer is not None and not of_image.gram.diagonal().isfinite().all():
                raise infinite_outputs(case, sigma)
            slope = None
            steps = of_dtype.get(dtypes[sigma])
            propagation = None if steps is None else _propagation(steps, options, plan.tangents)
            for name in plan.engines:
                start = time.perf_counter()
                run = engines[sigma, name]
                if name in LINEARIZED:
                    found = MOMENTS[name](of_image.affine, x, of_image.gram)
                    _check_finite(case, sigma, found)
                    run.add(found, label, time.perf_counter() - start + of_image.seconds)
                elif name == "bank" and bank is not None:
                    found, seconds = bank.moments(row, x)
                    _check_finite(case, sigma, found)
                    run.add(found, label, seconds)
                elif name == "diagonal" and steps is not None:
                    seed = noise_seed(options.seed, Purpose.PROBES, position, level)
                    alone = propagate_diagonal(steps.network, steps.input_of(x), seed=seed)
                    found = LogitMoments(alone.mean.to(flat), alone.variance.to(flat), None)
                    _check_finite(case, sigma, found)
                    run.add(found, label, time.perf_counter() - start)
                    run.probed = alone.probed
                elif propagation is not None:
                    # Not the reference's noise: errors must not be shared with what they are measured by.
                    moved = propagation(x, noise_seed(options.seed, Purpose.PROPAGATION, position, level))
                    covariance = moved.covariance.to(flat)
                    found = LogitMoments(moved.mean.to(flat), covariance.diagonal(), covariance)
                    _check_finite(case, sigma, found)
                    run.add(found, label, time.perf_counter() - start, torch.finfo(moved.mean.dtype).eps)
                    slope = moved.jacobian.to(flat)
                    run.propagated.append(moved)
            seed = noise_seed(options.seed, Purpose.REFERENCE, position, level)
            references[sigma].append(
                sample_reference(
                    options,
                    networks[sigma],
                    of_image.slope if slope is None else slope,
                    x,
                    samples=counts[sigma],
                    label=label,
                    seed=seed,
                )
            )
        advance(1)
    kind = None if linearizer is None else "skip" if linearizer.is_skip else "cut"
    return MomentRuns(plan, kind, engines, references, seconds_per_forward(case), bank)


def _check_finite(case: Case, sigma: float, found: LogitMoments) -> None:
    """Refuse a network with infinite moments; a variance may be missing where the engine's formula has none."""
    if not found.mean.isfinite().all() or (found.no_variance is None and not found.variance.isfinite().all()):
        raise infinite_outputs(case, sigma)


def infinite_outputs(case: Case, sigma: float) -> ModelError:
    """What to say of a network that noise drives to infinity."""
    return ModelError(
        f"{case.graph.model.path}: under noise of standard deviation {sigma:g} the network's outputs are infinite or "
        "no numbers; look for weights that are, or that are very large."
    )


@dataclass(frozen=True)
class _Steps:
    """The network as steps, in the precision the reference is sampled in, which is as fine as errors can be seen."""

    network: Network
    dtype: torch.dtype

    def input_of(self, x: GaussianInput) -> GaussianInput:
        """The input in that precision."""
        return GaussianInput(x.mean.to(self.dtype), x.sigma, x.structure)


def _dtype(case: Case, network: SampledNetwork) -> torch.dtype:
    return case.single.dtype if network.rounding == SINGLE else case.double.dtype


def _steps(case: Case, dtype: torch.dtype) -> _Steps:
    program = case.single if dtype == case.single.dtype else case.double
    return _Steps(network_of(program), program.dtype)


def _propagation(steps: _Steps, options: AnalyzeOptions, budget: int) -> Propagation:
    run = partial(
        propagate, steps.network, samples=options.residual_samples, second_order=options.second_order, budget=budget
    )
    return lambda x, seed: run(steps.input_of(x), seed=seed)


def seconds_per_forward(case: Case, batch: int = 64, repeats: int = 5) -> float:
    """Median time of one image in a batch of 64, by which costs are stated in forward passes."""
    images = case.images[torch.arange(batch) % len(case.images)].float()
    times: list[float] = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        case.single(images)
        times.append((time.perf_counter() - start) / batch)
    return float(np.median(times[1:]))
