"""``nmcheck compare``: several models on the same images and the same noise."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from nmcheck import __version__
from nmcheck.checks.bounds import NO_CORRECT
from nmcheck.checks.bounds_options import BoundsOptions
from nmcheck.checks.bounds_report import bounds_of
from nmcheck.checks.case import Case, open_case
from nmcheck.checks.compare_options import CompareOptions
from nmcheck.checks.noise import array_of
from nmcheck.checks.normalization import normalization_entries, normalization_nodes
from nmcheck.checks.progress import Progress, SilentProgress
from nmcheck.checks.sampling import decides_alike
from nmcheck.checks.seeds import Purpose, noise_seed
from nmcheck.data import to_model_layout
from nmcheck.decision import predicted_class
from nmcheck.moments.flips import pooled_clopper_pearson
from nmcheck.results import UNREACHABLE, BoundsEntry, NormalizationEntry, RadiusEntry, Report, ToolEntry
from nmcheck.results.comparison import ComparedFlips, ComparedModel, Comparison

NO_EXAMPLE = "no adversarial example of a correctly classified image is known"
NO_COMMON = "no image is classified correctly, with a finite certified radius, by every model"
ONE_IMAGE = "a standard error needs two images that every model classifies correctly"
_TOGETHER = 64
"""Noisy images that are run at a time."""


@dataclass(frozen=True)
class _Examined:
    """One model, before it is set against the others."""

    report: Report
    entry: BoundsEntry
    flips: tuple[ComparedFlips, ...]
    normalization: tuple[NormalizationEntry, ...]
    seconds: float

    @property
    def radii(self) -> np.ndarray:
        """Certified radius of every image; NaN where it is infinite or there is none."""
        return np.array([np.nan if one.lower is None else one.lower for one in self.entry.per_sample])

    @property
    def correct(self) -> np.ndarray:
        return np.array([one.correct for one in self.entry.per_sample])


def compare(options: CompareOptions, progress: Progress | None = None) -> Comparison:
    """Examine every model, then set them side by side.

    Args:
        options: which models, on what.
        progress: told how far it is; silent by default.

    Raises:
        ModelError: a model cannot be read, or our execution of it disagrees with onnxruntime's.
        DataError: the data cannot be read or does not fit a model.
        UsageError: the options do not fit a model or the data.
        UnsupportedError: the method asked for does not apply to a model; the message names the node.
    """
    progress = progress or SilentProgress()
    # Options and data are checked for every model before the first takes its time.
    with progress.stage("Models and data", None):
        opened = [(one, open_case(replace(one.case_options(), noise=options.noise))) for one in options.each()]
    examined = []
    while opened:
        # What has been examined keeps no weights.
        asked, case = opened.pop(0)
        examined.append(_examine(case, asked, options, progress))
    common = np.logical_and.reduce([one.correct & np.isfinite(one.radii) for one in examined])
    first = examined[0]
    return Comparison(
        tool=ToolEntry(version=__version__),
        seed=options.seed,
        norm=first.entry.norm,
        box=first.entry.box,
        noise=first.report.noise,
        common=int(common.sum()),
        models=tuple(_column(one, first, common) for one in examined),
    )


def _examine(case: Case, asked: BoundsOptions, options: CompareOptions, progress: Progress) -> _Examined:
    start = time.perf_counter()
    report = bounds_of(case, asked, progress)
    assert report.bounds is not None
    with progress.stage("Noise", len(options.sigmas) * len(case.pixels)) as advance:
        flips = tuple(_flips(case, options, level, advance) for level in range(len(options.sigmas)))
    nodes = normalization_nodes(case.graph)
    normalization: tuple[NormalizationEntry, ...] = ()
    if nodes:
        with progress.stage("Normalization effects", len(nodes)) as advance:
            normalization = normalization_entries(case, options.sigmas, options.seed, advance)
    return _Examined(report, report.bounds[0], flips, normalization, time.perf_counter() - start)


def _flips(case: Case, options: CompareOptions, level: int, advance: Callable[[int], None]) -> ComparedFlips:
    """Plain sampling in float32, or in float64 where float32 gives an image without noise another class.

    The numbers it is made of are drawn in the layout of the data, so that every model sees the same.
    """
    alike = decides_alike(case, lambda x: case.single(x.reshape(-1, *case.images.shape[1:]).float()))
    program = case.single if alike else case.double
    sigma, graph = options.sigmas[level], case.graph
    size = case.images[0].numel()
    correlated = case.structure.deviation(size) is None
    of_one = (case.structure.directions(size),) if correlated else case.dataset.pixels(case.positions[:1]).shape[1:]
    predicted = case.predicted.cpu()
    counts: list[tuple[int, int]] = []
    for row, position in enumerate(case.positions):
        pick = np.random.default_rng(noise_seed(options.seed, Purpose.COMPARISON, int(position), level))
        drawn = array_of(case.noise.law, pick, (options.draws, *of_one))
        numbers = drawn if correlated else to_model_layout(drawn, graph.shapes[graph.input], graph.batch_axis)
        noise = case.structure.noise(torch.from_numpy(sigma * numbers.reshape(options.draws, -1)))
        noisy = (torch.from_numpy(case.pixels[row]) + noise.reshape(-1, *case.pixels[row].shape)).to(program.dtype)
        flips = sum(
            int((predicted_class(program(part.to(case.device))).cpu() != predicted[row]).sum())
            for part in noisy.split(_TOGETHER)
        )
        counts.append((flips, options.draws))
        advance(1)
    found = pooled_clopper_pearson(counts)
    return ComparedFlips(
        sigma_pixel=sigma,
        draws=options.draws,
        sampled=found.rate,
        low=found.low,
        high=found.high,
        confidence=found.confidence,
    )


def _column(one: _Examined, first: _Examined, common: np.ndarray) -> ComparedModel:
    radii, correct = one.radii, one.correct
    own = radii[correct]
    missing = [sample.lower_reason for sample in one.entry.per_sample if sample.correct and sample.lower is None]
    others = (reason for reason in missing if reason is not None and reason != UNREACHABLE)
    radius, radius_reason = _mean(own[np.isfinite(own)], next(others, UNREACHABLE) if len(own) else NO_CORRECT)
    examples = np.array(
        [sample.upper for sample in one.entry.per_sample if sample.correct and sample.upper is not None]
    )
    example, example_reason = _mean(examples, NO_EXAMPLE)
    mean, reason = _mean(radii[common], NO_COMMON)
    error, error_reason = _error(radii[common])
    apart, apart_reason = _mean((radii - first.radii)[common], NO_COMMON)
    apart_error, apart_error_reason = _error((radii - first.radii)[common])
    return ComparedModel(
        model=one.report.model,
        data=one.report.data,
        method=_certified(one.entry)[-1][0],
        radius=radius,
        radius_reason=radius_reason,
        example=example,
        example_reason=example_reason,
        common_radius=mean,
        common_radius_reason=reason,
        common_radius_se=error,
        common_radius_se_reason=error_reason,
        difference=apart,
        difference_reason=apart_reason,
        difference_se=apart_error,
        difference_se_reason=apart_error_reason,
        flips=one.flips,
        bounds=one.entry,
        normalization=one.normalization,
        notes=one.report.notes,
        warnings=one.report.warnings,
        seconds=one.seconds,
    )


def _certified(entry: BoundsEntry) -> list[tuple[str, RadiusEntry]]:
    return [(name, radius) for name, radius in entry.radius.items() if radius.certified]


def _mean(values: Sequence[float] | np.ndarray, reason: str) -> tuple[float | None, str | None]:
    return (float(np.mean(values)), None) if len(values) else (None, reason)


def _error(values: np.ndarray) -> tuple[float | None, str | None]:
    if len(values) < 2:
        return None, ONE_IMAGE
    return float(values.std(ddof=1) / np.sqrt(len(values))), None
