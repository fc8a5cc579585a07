"""``nmcheck bounds``: certified radii, image by image, and norms of adversarial examples."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from nmcheck import __version__
from nmcheck.bounds.network import THEOREM_PUBLISHED
from nmcheck.bounds.rounding import CERTIFICATE, RELAXATION_CERTIFICATE
from nmcheck.checks.accuracy import accuracy_points, settled
from nmcheck.checks.adversarial_files import check_saving, export_vnnlib, save_adversarial
from nmcheck.checks.attacks import AttackedImages, attack_uppers
from nmcheck.checks.bounds import layer_entry, radius_entry
from nmcheck.checks.bounds_options import BoundsOptions
from nmcheck.checks.case import Case, TimedBounds, open_case
from nmcheck.checks.certified import Certified, certified_radii
from nmcheck.checks.consistency import check_consistency
from nmcheck.checks.graph_nodes import graph_nodes
from nmcheck.checks.iterated import iterated_perturbation
from nmcheck.checks.layer_attacks import attackable, layer_attacks
from nmcheck.checks.noise import noise_entry
from nmcheck.checks.progress import Progress, SilentProgress
from nmcheck.checks.report_head import data_entry, model_entry
from nmcheck.checks.sample_bounds import End, certified_end, contradictions, sample_bounds
from nmcheck.checks.scales import scale_warnings
from nmcheck.checks.undecided import undecided_warnings
from nmcheck.errors import UsageError
from nmcheck.execute.session import ReferenceSession
from nmcheck.results import BoundsEntry, IteratedStep, LayerAttack, RadiusEntry, Report, SampleBounds, ToolEntry

NO_MOMENTS = "nmcheck bounds computes none; nmcheck analyze does"
NO_LAYERS = "The layer table and the published radii are L2 statements without a box."
NOT_OPTIMIZED = "No slopes were optimized, because crown did not run."
NO_METHOD = "no method that was run applies"


def bounds(options: BoundsOptions, progress: Progress | None = None) -> Report:
    """Certify radii, and attack the same images.

    Args:
        options: what to bound, and how.
        progress: told how far it is; silent by default.

    Raises:
        ModelError: the model cannot be read, or our execution of it disagrees with onnxruntime's.
        DataError: the data cannot be read or does not fit the model.
        UsageError: the options do not fit the model or the data.
        UnsupportedError: the method asked for does not apply to the model; the message names the node.
        OutputError: a folder asked for cannot be written, or Pillow, which draws pictures into it, is not installed.
    """
    start = time.perf_counter()
    progress = progress or SilentProgress()
    with progress.stage("Model and data", None):
        case = open_case(options.case_options())
    return replace(bounds_of(case, options, progress), seconds=time.perf_counter() - start)


def bounds_of(case: Case, options: BoundsOptions, progress: Progress) -> Report:
    """The same of a model and images that are open already.

    Args:
        case: the model and the images that the options name.
        options: what to bound, and how.
        progress: told how far it is.

    Raises:
        ModelError: our execution of the model disagrees with onnxruntime's.
        UsageError: the options do not fit the model or the data.
        UnsupportedError: the method asked for does not apply to the model; the message names the node.
        OutputError: as ``bounds``.
    """
    start = time.perf_counter()
    if options.box:
        _check_box(case)
    if options.save_adversarial is not None:
        check_saving(case, options.norm_name, options.pixel_box, options.save_adversarial)
    session = ReferenceSession(case.file_graph)
    with progress.stage("Comparison with onnxruntime", len(case.pixels)) as advance:
        consistency = check_consistency(case, session, advance)
    accuracy = None if case.labels is None else float(case.correct.double().mean())
    attacked, upper = None, None
    if options.attacks:
        with progress.stage("Attacks", len(options.attacks) * len(case.pixels)) as advance:
            attacked = attack_uppers(
                case,
                session,
                options.norm_name,
                options.pixel_box,
                attacks=options.attacks,
                seed=options.seed,
                advance=advance,
            )
        upper = torch.from_numpy(attacked.nearest.norms)
    with progress.stage("Certified radii", len(case.pixels)) as advance:
        certified = certified_radii(case, options, upper, advance, box=options.pixel_box)
    layers = None
    if _has_layers(options):
        with progress.stage("Layers", None):
            layers = case.layer_bounds
    attacks_on_layers: tuple[LayerAttack, ...] = ()
    if options.layerwise and layers is not None:
        with progress.stage("Attacks on layers", len(attackable(layers.found))) as advance:
            attacks_on_layers = layer_attacks(case, layers.found, advance)
    iterated: tuple[IteratedStep, ...] = ()
    if options.iterated:
        with progress.stage("Iterative perturbation", None):
            iterated = iterated_perturbation(case, session, options.norm_name, options.pixel_box, options.iterated)
    samples = sample_bounds(case, _lower(certified, len(case.images)))
    if attacked is not None:
        samples = attacked.with_uppers(samples)
    entry = BoundsEntry(
        norm=options.norm_name,
        box=options.pixel_box,
        samples=len(case.images),
        certificate=RELAXATION_CERTIFICATE if len(certified.methods) > 1 else CERTIFICATE,
        layers=() if layers is None else tuple(layer_entry(row) for row in layers.found.layers if row.index >= 0),
        radius=_radii(case, certified, layers),
        attack={} if attacked is None else attacked.entries,
        per_sample=samples,
        accuracy=accuracy_points(samples, options.levels),
        iterated=iterated,
        layer_attacks=attacks_on_layers,
    )
    written: list[str] = []
    if attacked is not None and options.save_adversarial is not None:
        written.append(_saved(attacked, save_adversarial(case, attacked, options.save_adversarial)))
    if options.vnnlib is not None:
        written += _export(case, samples, options, options.vnnlib)
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
        graph=graph_nodes(case.file_graph),
        warnings=(
            *case.dataset.notes,
            *scale_warnings(case, session, accuracy),
            *undecided_warnings(case, session),
            *contradictions(samples),
        ),
        notes=(
            *case.graph.notes,
            certified.choice.reason,
            *([] if layers else [NO_LAYERS]),
            *([] if options.method == "lipschitz" else [_budget(options)]),
            *([NOT_OPTIMIZED] if options.optimize and "crown-optimized" not in entry.radius else []),
            *written,
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


def _saved(attacked: AttackedImages, files: Sequence[Path]) -> str:
    """What ``--save-adversarial`` wrote."""
    found = sum(norm is not None for norm in attacked.uppers)
    names = " and ".join(map(str, files))
    return f"Adversarial examples of {found:,} of {len(attacked.uppers):,} images were written to {names}."


def _export(case: Case, samples: Sequence[SampleBounds], options: BoundsOptions, folder: Path) -> list[str]:
    """A question for external verifiers for every image and epsilon that neither a radius nor an example settles.

    Returns:
        A sentence an epsilon: what was written for it.
    """
    notes = []
    for epsilon in options.levels:
        rows = [row for row, one in enumerate(samples) if one.correct and not settled(one, epsilon)]
        place = folder / f"linf_{epsilon:g}"
        files = export_vnnlib(case, np.array(rows, dtype=int), epsilon, place, box=options.pixel_box)
        questions = "1 question was" if len(rows) == 1 else f"{len(rows):,} questions were"
        notes.append(
            f"VNN-LIB: {questions} written at epsilon {epsilon:g}, listed in {files[-1]}."
            if files
            else f"VNN-LIB: nothing is open at epsilon {epsilon:g}, and nothing was written for it."
        )
    return notes


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


def _lower(certified: Certified, images: int) -> list[End]:
    """The largest radius of each image; of equal ones that of the method that ran first."""
    ran = {found.method: found.radii for found in certified.methods if found.radii is not None}
    if not ran:
        return [End(None, certified.methods[0].reason or NO_METHOD, None)] * images
    radii, methods = torch.stack(list(ran.values())).numpy(), list(ran)
    return [
        certified_end(float(radii[best, row]), None, methods[best]) for row, best in enumerate(radii.argmax(axis=0))
    ]
