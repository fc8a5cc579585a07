"""``nmcheck bounds``: certified radii, image by image, and norms of adversarial examples where an attack is at hand."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor

from nmcheck import __version__
from nmcheck.bounds.network import THEOREM_PUBLISHED
from nmcheck.bounds.rounding import CERTIFICATE, RELAXATION_CERTIFICATE
from nmcheck.checks.bounds import NO_ATTACK, TimedBounds, finite, layer_entry, radius_entry, timed_bounds
from nmcheck.checks.bounds_options import NORMS, BoundsOptions
from nmcheck.checks.case import Case, open_case
from nmcheck.checks.certified import Certified, certified_radii
from nmcheck.checks.consistency import check_consistency
from nmcheck.checks.noise import noise_entry
from nmcheck.checks.progress import Progress, SilentProgress
from nmcheck.checks.report_head import data_entry, model_entry
from nmcheck.checks.scales import scale_warnings
from nmcheck.checks.upper_bounds import UpperBounds
from nmcheck.errors import UsageError
from nmcheck.execute.session import ReferenceSession
from nmcheck.results import AttackEntry, BoundsEntry, RadiusEntry, Report, SampleBounds, ToolEntry

NO_MOMENTS = "nmcheck bounds computes none; nmcheck analyze does"
NO_LAYERS = "The layer table and the published radii are L2 statements without a box."
NOT_OPTIMIZED = "No slopes were optimized, because crown did not run."
NOT_FOUND = "no adversarial example was found"
NO_METHOD = "no method that was run applies"


def bounds(options: BoundsOptions, progress: Progress | None = None, attack: UpperBounds | None = None) -> Report:
    """Certify radii.

    Args:
        options: what to bound, and how.
        progress: told how far it is; silent by default.
        attack: finds adversarial examples; without one there are no upper bounds.

    Raises:
        ModelError: the model cannot be read, or our execution of it disagrees with onnxruntime's.
        DataError: the data cannot be read or does not fit the model.
        UsageError: the options do not fit the model or the data.
        UnsupportedError: the method asked for does not apply to the model; the message names the node.
    """
    progress = progress or SilentProgress()
    start = time.perf_counter()
    with progress.stage("Model and data", None):
        case = open_case(options.case_options())
        if options.box:
            _check_box(case)
        session = ReferenceSession(case.file_graph)
    with progress.stage("Comparison with onnxruntime", len(case.pixels)) as advance:
        consistency = check_consistency(case, session, advance)
    accuracy = None if case.labels is None else float(case.correct.double().mean())
    upper, attacks = None, {}
    if attack is not None:
        with progress.stage("Attacks", None):
            upper, attacks = _attacked(case, options, attack)
    with progress.stage("Certified radii", len(case.pixels)) as advance:
        certified = certified_radii(case, options, upper, advance)
    layers = None
    if _has_layers(options):
        with progress.stage("Layers", None):
            layers = timed_bounds(case)
    entry = BoundsEntry(
        norm="l2" if options.norm == "2" else "linf",
        box=(0.0, 1.0) if options.box else None,
        samples=len(case.images),
        certificate=RELAXATION_CERTIFICATE if len(certified.methods) > 1 else CERTIFICATE,
        layers=() if layers is None else tuple(layer_entry(row) for row in layers.found.layers if row.index >= 0),
        radius=_radii(case, certified, layers),
        attack=attacks,
        per_sample=_per_sample(case, certified, upper, attack),
    )
    return Report(
        tool=ToolEntry(version=__version__),
        seed=options.seed,
        model=model_entry(case),
        data=data_entry(case, options.samples, options.seed, accuracy),
        noise=noise_entry(case.noise),
        consistency=consistency,
        moments=None,
        moments_reason=NO_MOMENTS,
        bounds=(entry,),
        normalization=(),
        warnings=scale_warnings(case, session, accuracy),
        notes=(
            *case.graph.notes,
            certified.choice.reason,
            *([] if layers else [NO_LAYERS]),
            *([] if options.method == "lipschitz" else [_budget(options)]),
            *([NOT_OPTIMIZED] if options.optimize and "crown-optimized" not in entry.radius else []),
        ),
        seconds=time.perf_counter() - start,
    )


def _budget(options: BoundsOptions) -> str:
    return f"Coefficients of the relaxation take at most {options.memory:,} MiB at a time."


def _has_layers(options: BoundsOptions) -> bool:
    return options.norm == "2" and not options.box


def _check_box(case: Case) -> None:
    least, most = float(case.pixels.min()), float(case.pixels.max())
    if least < 0 or most > 1:
        raise UsageError(
            f"--box keeps pixels in 0 to 1, but the data goes from {least:g} to {most:g}; leave --box out, or give "
            "the --range of the data."
        )


def _attacked(case: Case, options: BoundsOptions, attack: UpperBounds) -> tuple[Tensor | None, dict[str, AttackEntry]]:
    start = time.perf_counter()
    box = (0.0, 1.0) if options.box else None
    found = attack(case.images.cpu(), case.predicted.cpu(), NORMS[options.norm], box)
    if found is None:
        return None, {}
    seconds = (time.perf_counter() - start) / len(case.images)
    norms = found.cpu().numpy()[case.correct.cpu().numpy()]
    hits = norms[np.isfinite(norms)]
    mean, median = (float(hits.mean()), float(np.median(hits))) if len(hits) else (None, None)
    reason = None if len(hits) else NOT_FOUND
    entry = AttackEntry(
        mean=mean,
        mean_reason=reason,
        median=median,
        median_reason=reason,
        success_rate=len(hits) / max(1, len(norms)),
        seconds_per_sample=seconds,
    )
    return found.cpu(), {attack.name: entry}


def _radii(case: Case, certified: Certified, layers: TimedBounds | None) -> dict[str, RadiusEntry]:
    correct = case.correct.cpu().numpy()
    count = len(case.images)
    radius: dict[str, RadiusEntry] = {}
    if layers is not None:
        radius["published"] = radius_entry(
            layers.found.radius_published,
            layers.found.radius_published_reason,
            correct,
            theorem=THEOREM_PUBLISHED,
            certified=False,
            seconds=layers.seconds / count,
        )
    for found in certified.methods:
        radius[found.method] = radius_entry(
            found.radii, found.reason, correct, theorem=found.theorem, certified=True, seconds=found.seconds / count
        )
    return radius


def _per_sample(
    case: Case, certified: Certified, upper: Tensor | None, attack: UpperBounds | None
) -> tuple[SampleBounds, ...]:
    entries: list[SampleBounds] = []
    ran = [found for found in certified.methods if found.radii is not None]
    for row, position in enumerate(case.positions):
        lower, method, reason = None, None, certified.methods[0].reason or NO_METHOD
        for found in ran:
            assert found.radii is not None
            value, why = finite(float(found.radii[row]))
            # A later method counts where it has proven more than the one it started from.
            if lower is None or (value is not None and value > lower):
                lower, reason, method = value, why, None if value is None else found.method
        norm = None if upper is None or not bool(torch.isfinite(upper[row])) else float(upper[row])
        entries.append(
            SampleBounds(
                index=int(position),
                label=int(case.classes_of_images[row]),
                predicted=int(case.predicted[row]),
                correct=bool(case.correct[row]),
                lower=lower,
                lower_reason=None if lower is not None else reason,
                lower_method=method,
                upper=norm,
                upper_reason=None if norm is not None else (NO_ATTACK if upper is None else NOT_FOUND),
                upper_method=None if norm is None or attack is None else attack.name,
            )
        )
    return tuple(entries)
