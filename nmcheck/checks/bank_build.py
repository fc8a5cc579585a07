"""``nmcheck bank build``: linearize a network around representatives of the images, and keep that."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from nmcheck.checks.bank_arithmetic import timed_arithmetic
from nmcheck.checks.bank_options import BankOptions
from nmcheck.checks.best_cut import cut_errors
from nmcheck.checks.case import Case, open_case
from nmcheck.checks.consistency import check_consistency
from nmcheck.checks.cut import choose_cut, no_cut_reason
from nmcheck.checks.progress import Progress, SilentProgress
from nmcheck.errors import BankError, ModelError, UsageError
from nmcheck.execute.session import ReferenceSession
from nmcheck.graph.ir import Node
from nmcheck.linearize.bank.build import complete, make_here
from nmcheck.linearize.bank.cluster import check_scheduler
from nmcheck.linearize.bank.cost import SMALLEST, alternative, memory, memory_refusal, sizes_at
from nmcheck.linearize.bank.failures import explained
from nmcheck.linearize.bank.header import Arithmetic, Header
from nmcheck.linearize.bank.make import PointMaker
from nmcheck.linearize.bank.points import choose_points
from nmcheck.linearize.bank.store import BankFile, create, exists
from nmcheck.linearize.bank.workers import make_by_workers
from nmcheck.linearize.differentiable import moments_refusal
from nmcheck.results.bank import BankPreview

_CHECKED = 100
"""Images our execution is compared with onnxruntime's on."""


@dataclass(frozen=True, eq=False)
class BankPlan:
    """A bank that can be built.

    Attributes:
        options: as asked for.
        case: the network and the images.
        maker: linearizes it.
        header: what the bank will say of itself; of a resumed bank, what it says.
        done: points that are there already.
        preview: what it costs.
    """

    options: BankOptions
    case: Case
    maker: PointMaker
    header: Header
    done: int
    preview: BankPreview


def plan_bank(options: BankOptions, progress: Progress | None = None) -> BankPlan:
    """Read the model and the data, choose the cut, time the linearization and see whether the bank fits.

    Raises:
        UsageError: the file exists and is not to be resumed, the options do not fit the model, or the bank does not
            fit in the memory allowed.
        ModelError: the model cannot be read or linearized.
        DataError: the data cannot be read or does not fit the model.
        BankError: the bank to go on with is of something else or of another torch, the cluster cannot be given work,
            or the disk has too little space.
    """
    progress = progress or SilentProgress()
    old = _begun(options)
    if options.scheduler is not None:
        with progress.stage("Cluster", None):
            check_scheduler(options.scheduler)
    with progress.stage("Model and data", None):
        case = open_case(options.case)
    with progress.stage("Comparison with onnxruntime", min(_CHECKED, len(case.pixels))) as advance:
        check_consistency(_first_images(case), ReferenceSession(case.file_graph), advance)
    cut = _cut(case, options, progress)
    limit = options.memory
    refusal = memory_refusal(case.graph, cut, options.storage, limit)
    if refusal is not None:
        raise UsageError(f"{refusal}; {alternative(case.graph, cut, options.storage, limit)}.")
    sizes = sizes_at(case.graph, cut)
    with progress.stage("Timing of a linearization", None):
        maker = PointMaker(case.graph, cut.name)
        how, seconds = timed_arithmetic(case, options, maker, sizes)
    header = bank_header(case, options, cut, maker, how)
    if old is not None:
        begun, done = old
        reason = begun.refusal_to_continue(header)
        if reason is not None:
            raise BankError(f"{options.output} cannot be resumed: {reason}; choose another --output.")
        header = begun
    else:
        done = 0
        _check_disk(options, header)
    preview = BankPreview(
        n=header.n,
        p=header.p,
        d=header.d,
        cut=header.cut,
        cut_kind=header.cut_kind,
        points=header.points,
        images=header.images,
        storage=header.storage.name,
        dtype=header.storage.dtype,
        bytes_per_point=header.bytes_per_point,
        bytes=header.bytes,
        memory=memory(sizes, header.storage, header.arithmetic.chunk, holds_matrix=header.arithmetic.holds_matrix),
        seconds_per_point=seconds,
        seconds=seconds * (header.points - done),
        kernels=header.arithmetic.kernels,
        sparse_head=header.arithmetic.sparse_head,
        chunk=header.arithmetic.chunk,
        warnings=case.dataset.notes,
    )
    return BankPlan(options, case, maker, header, done, preview)


def build_bank(plan: BankPlan, progress: Progress | None = None) -> None:
    """Choose the points, unless a bank is resumed, and linearize at those that are missing.

    Raises:
        InterruptedBuildError: the user stopped it.
        BankError: the bank cannot be written, or its workers failed.
    """
    progress = progress or SilentProgress()
    options, header = plan.options, plan.header
    if not (options.resume and options.output.exists()):
        header = _begin(plan, progress)
    if options.jobs == 1 and options.scheduler is None:
        making = make_here(plan.maker)
    else:
        making = make_by_workers(plan.case.graph, header.cut, options.jobs, options.scheduler)
    with BankFile(options.output, "r+") as file:
        missing = int((~file.done).sum())
        with progress.stage("Linearizations", missing) as advance:
            complete(file, making, advance)


def _begun(options: BankOptions) -> tuple[Header, int] | None:
    """The bank to go on with, if there is one, and how far it is."""
    mode = None
    with explained(options.output, "made"), suppress(FileNotFoundError):
        mode = options.output.stat().st_mode
    if mode is None:
        _check_folder(options)
        return None
    if stat.S_ISDIR(mode):
        raise UsageError(
            f"{options.output} is a folder; name a file by --output, such as {options.output / 'bank.h5'}."
        )
    if not stat.S_ISREG(mode):
        raise UsageError(f"{options.output} is no file but a device or a pipe; choose another --output.")
    if options.force:
        _check_folder(options)
        return None
    if not options.resume:
        raise UsageError(exists(options.output))
    with BankFile(options.output, "r+") as file:
        begun, done = file.header, int(file.done.sum())
    version = begun.arithmetic.torch
    if done < begun.points and version != torch.__version__:
        raise BankError(
            f"{options.output} was begun with torch {version}, and this is torch {torch.__version__}, so the numbers "
            f"could differ; install torch {version}, or choose another --output."
        )
    return begun, done


def _begin(plan: BankPlan, progress: Progress) -> Header:
    """The file, with its points chosen and none of them done."""
    case, options = plan.case, plan.options
    with progress.stage("Choice of the points", None):
        points = choose_points(
            case.pixels.reshape(len(case.pixels), -1),
            case.classes_of_images.numpy(),
            plan.header.classes,
            options.k,
            choice=options.choice,
            seed=options.seed,
        )
    header = replace(plan.header, points=len(points), choice=points.choice)
    with progress.stage("File", None):
        constants = plan.maker.constants(header, points.centers[0])
        create(options.output, header, points, constants, replace=options.force)
    return header


def _cut(case: Case, options: BankOptions, progress: Progress) -> Node:
    graph = case.graph
    constant = f"the logits '{graph.logits}' are constant" if graph.logits in graph.constants else None
    refusal = constant or moments_refusal(graph)
    if refusal is not None:
        raise ModelError(f"{graph.model.path}: {refusal.rstrip('.')}; such a network has no linearization to keep.")
    fits = partial(memory_refusal, storage=SMALLEST, limit=options.memory)
    if options.cut == "best":
        found = next((one.node for one in cut_errors(case, options.case, progress) if one.chosen), None)
        cut = None if found is None else graph.by_name[found]
    else:
        cut = choose_cut(graph, options.cut, fits)
    if cut is None:
        raise ModelError(f"{graph.model.path}: {no_cut_reason(graph)}; there is nothing to build a bank of.")
    return cut


def bank_header(case: Case, options: BankOptions, cut: Node, maker: PointMaker, how: Arithmetic) -> Header:
    """What a bank of a case says of itself, before its points are chosen."""
    graph, sizes = case.graph, sizes_at(case.graph, cut)
    averaged = options.linearizer == "averaged"
    images = len(case.pixels)
    return Header(
        model_fingerprint=graph.model.fingerprint,
        data_name=case.dataset.name,
        data_sha256=case.sha256,
        images=images,
        scale=case.scale.name,
        gain=tuple(float(value) for value in case.scale.gain.ravel()),
        offset=tuple(float(value) for value in case.scale.offset.ravel()),
        cut=cut.name,
        cut_kind="skip" if maker.taylor.is_skip else "cut",
        linearizer="averaged" if averaged else "taylor",
        sigma=options.sigma,
        pairs=options.averaging_points // 2 if averaged else 0,
        choice="images" if options.k >= images else options.choice,
        wanted=options.k,
        points=min(options.k, images),
        seed=options.seed,
        input_shape=graph.shapes[graph.input],
        n=sizes.n,
        p=sizes.p,
        d=sizes.d,
        classes=sizes.d,
        storage=options.storage,
        inner_is_constant=maker.taylor.inner_is_constant,
        outer_is_constant=maker.taylor.outer_is_constant,
        arithmetic=how,
    )


def _check_folder(options: BankOptions) -> None:
    """What can be known of the place before the long work."""
    if options.output.is_symlink() and not options.output.exists():
        raise UsageError(f"{options.output} is a link that leads nowhere; remove it, or choose another --output.")
    folder = options.output.resolve().parent
    if not folder.is_dir():
        raise BankError(f"{options.output}: the folder {folder} does not exist; make it first.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BankError(
            f"{options.output}: the folder {folder} cannot be written to; change its permissions or choose another "
            "--output."
        )


def _check_disk(options: BankOptions, header: Header) -> None:
    folder = options.output.resolve().parent
    free = shutil.disk_usage(folder).free
    if header.bytes <= free:
        return
    fewer = int(free * 0.95) // header.bytes_per_point
    advice = f"take -k {fewer:,} or fewer" if fewer else "take another disk"
    raise BankError(
        f"{options.output}: the bank takes {header.bytes / 1e9:.3g} GB ({header.bytes_per_point:,} bytes a point), and "
        f"the disk has {free / 1e9:.3g} GB left; {advice}, or a smaller --store such as {SMALLEST.name}."
    )


def _first_images(case: Case) -> Case:
    """The case with few images, evenly spaced."""
    rows = np.unique(np.linspace(0, len(case.pixels) - 1, min(_CHECKED, len(case.pixels))).astype(int))
    return replace(
        case,
        positions=case.positions[rows],
        pixels=case.pixels[rows],
        labels=None if case.labels is None else case.labels[rows],
    )
