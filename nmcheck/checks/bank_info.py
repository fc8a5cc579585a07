"""``nmcheck bank info`` and ``nmcheck bank verify``: what a bank holds, and whether it is sound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from nmcheck import __version__
from nmcheck.counting import counted
from nmcheck.data import input_scale
from nmcheck.errors import BankError
from nmcheck.graph.load import load_graph
from nmcheck.graph.scaling import with_input_scale
from nmcheck.linearize.bank.content import Content, captured_energy
from nmcheck.linearize.bank.fit import misfit
from nmcheck.linearize.bank.header import FORMAT_VERSION
from nmcheck.linearize.bank.make import PointMaker
from nmcheck.linearize.bank.store import BankFile
from nmcheck.results import ToolEntry
from nmcheck.results.bank import BankInfo, BankVerification

NO_SIGMA = "models of Taylor's first order serve any noise level"
NO_ENERGY = "the bank keeps no low-rank factors"
NONE_DONE = "no point is done yet"
RECOMPUTED = 3
"""Points that are computed again."""
TOLERANCE = 2e-3
"""Largest difference, relative to an array's largest entry, that other versions of torch or processors may make."""


def bank_info(path: Path) -> BankInfo:
    """What a bank says of itself.

    Raises:
        BankError: it cannot be read.
    """
    with BankFile(path) as file:
        header, points, done = file.header, file.points, file.done
        energy, reason = None, NO_ENERGY
        if header.storage.kind == "low-rank":
            rows = np.flatnonzero(done)[:: max(1, int(done.sum()) // 100)]
            constants = file.constants()
            kept = [{**constants, **file.read(int(row))} for row in rows]
            energy = float(np.mean([captured_energy(one) for one in kept])) if kept else None
            reason = NONE_DONE
        constant = {"inner": header.inner_is_constant, "outer": header.outer_is_constant}
        return BankInfo(
            tool=ToolEntry(version=__version__),
            path=str(path),
            format_version=FORMAT_VERSION,
            model_fingerprint=header.model_fingerprint,
            data=header.data_name,
            data_sha256=header.data_sha256,
            images=header.images,
            scale=header.scale,
            k=header.points,
            choice=header.choice,
            seed=header.seed,
            complete=bool(done.all()),
            points_done=int(done.sum()),
            cut=header.cut,
            cut_kind=header.cut_kind,
            linearizer=header.linearizer,
            sigma=header.sigma,
            sigma_reason=NO_SIGMA if header.sigma is None else None,
            n=header.n,
            p=header.p,
            d=header.d,
            storage=header.storage.name,
            dtype=header.storage.dtype,
            constant=tuple(name for name, is_constant in constant.items() if is_constant),
            bytes=file.bytes,
            bytes_per_point=file.bytes / header.points,
            members_mean=float(points.members.mean()),
            members_largest=int(points.members.max()),
            reach_largest=float(points.reach.max()),
            energy=energy,
            energy_reason=None if energy is not None else reason,
            kernels=header.arithmetic.kernels,
            sparse_head=header.arithmetic.sparse_head,
            chunk=header.arithmetic.chunk,
            torch=header.arithmetic.torch,
        )


def verify_bank(path: Path, model: Path) -> BankVerification:
    """Compare every checksum of a bank, and its constants and a few points with the model linearized anew.

    Of a bank that is not complete, what is there is verified, and that it is not complete is said.

    Raises:
        BankError: the bank cannot be read, is damaged, or is not of this model; names the points.
        ModelError: the model cannot be read.
    """
    with BankFile(path) as file:
        header, done, constants = file.header, file.done, file.constants()
        unknown = file.unknown_marks()
        if len(unknown):
            raise BankError(
                f"{path}: the marks of {len(unknown):,} of {counted(header.points, 'point')} are damaged, for "
                "they say neither "
                f"done nor missing: {_shown(unknown)}; go on with nmcheck bank build --resume, which makes these "
                "points again."
            )
        damaged = file.damaged()
        if len(damaged):
            raise BankError(
                f"{path}: the checksums of {len(damaged):,} of {counted(header.points, 'point')} disagree, so "
                "they are damaged: "
                f"{_shown(damaged)}; build the bank again."
            )
        graph = load_graph(model)
        if graph.model.fingerprint != header.model_fingerprint:
            raise BankError(
                f"{path}: the bank was made of another model (fingerprint {header.model_fingerprint[:16]}) than "
                f"{model} ({graph.model.fingerprint[:16]}); verify it with that one."
            )
        wrong = misfit(header, graph)
        if wrong is not None:
            raise BankError(f"{path}: the bank is damaged: {wrong}; delete the file and build it again.")
        scale = input_scale(header.scale, graph.model.metadata, graph.shapes[graph.input], graph.batch_axis)
        maker = PointMaker(with_input_scale(graph, scale.gain, scale.offset), header.cut)
        rows = np.flatnonzero(done)
        chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(RECOMPUTED, len(rows))).astype(int))]
        # The version may be another here; what is computed is compared and not continued.
        here = replace(header, arithmetic=replace(header.arithmetic, torch=torch.__version__))
        centers = file.points.centers
        differences, identical = [0.0], True
        pairs = [("what it keeps for all points", constants, maker.constants(here, centers[0]))]
        pairs += [
            (f"point {index}", file.read(int(index)), maker.make(here, int(index), centers[index])) for index in chosen
        ]
    for what, stored, anew in pairs:
        difference = _difference(stored, anew)
        if not difference <= TOLERANCE:
            raise BankError(
                f"{path}: {what}, computed again, differs by {difference:.2g} of the largest entry (allowed "
                f"{TOLERANCE:g}), so the bank is not what it says; build it again."
            )
        differences.append(difference)
        identical = identical and all(np.array_equal(stored[name], anew[name]) for name in anew)
    return BankVerification(
        tool=ToolEntry(version=__version__),
        path=str(path),
        model=str(model),
        k=header.points,
        complete=bool(done.all()),
        points_done=int(done.sum()),
        recomputed=tuple(int(index) for index in chosen),
        identical=identical,
        difference=max(differences),
    )


def _shown(positions: np.ndarray) -> str:
    return ", ".join(str(index) for index in positions[:10]) + (", ..." if len(positions) > 10 else "")


def _difference(stored: Content, anew: Content) -> float:
    """Of all arrays the largest, each relative to its largest entry; the sign of a factor's columns is arbitrary."""
    worst = 0.0
    for name, mine in anew.items():
        one, other = (array.astype(np.float64) for array in (stored[name], mine))
        if name == "factor":
            one, other = one @ one.T, other @ other.T
        largest = np.abs(other).max(initial=0.0)
        gap = np.abs(one - other).max(initial=0.0)
        worst = max(worst, float(gap / largest) if largest > 0 else float(gap))
    return worst
