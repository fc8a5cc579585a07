"""Builds that cannot be, refused before the work, and what a build will cost."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from checks.banks import IMAGES, build, write_images
from residual_network import SHAPE

from nmcheck.checks.bank_build import build_bank, plan_bank
from nmcheck.checks.bank_info import bank_info, verify_bank
from nmcheck.checks.bank_options import BankOptions
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.errors import BankError, UsageError
from nmcheck.reports.bank_table import bank_preview


def untouched(*_, **__):
    raise AssertionError("the long work has begun")


def test_a_folder_that_cannot_be_written_to_is_said_before_anything_is_read(
    tmp_path: Path, lenet: Path, monkeypatch
) -> None:
    """Of a folder, whoever asks: root may write anywhere."""
    asked = []

    def access(path, mode: int) -> bool:
        asked.append((Path(path), mode))
        return False

    monkeypatch.setattr("nmcheck.checks.bank_build.open_case", untouched)
    monkeypatch.setattr("nmcheck.checks.bank_build.os.access", access)
    with pytest.raises(BankError, match=r"b\.h5: the folder .* cannot be written to; change its permissions or choose"):
        plan_bank(BankOptions(lenet, "mnist", tmp_path / "b.h5", 5))
    assert asked == [(tmp_path.resolve(), os.W_OK | os.X_OK)]
    with pytest.raises(BankError, match="does not exist; make it first"):
        plan_bank(BankOptions(lenet, "mnist", tmp_path / "no" / "b.h5", 5))


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_is_no_bank_to_build(tmp_path: Path, lenet: Path, monkeypatch, *, resume: bool) -> None:
    monkeypatch.setattr("nmcheck.checks.bank_build.open_case", untouched)
    with pytest.raises(UsageError, match=r"is a folder; name a file by --output, such as .*bank\.h5"):
        plan_bank(BankOptions(lenet, "mnist", tmp_path, 5, resume=resume))


def test_a_scheduler_is_tried_before_the_work(tmp_path: Path, lenet: Path, monkeypatch) -> None:
    def refuse(address: str) -> None:
        raise BankError(f"--scheduler {address}: no dask scheduler answers there.")

    monkeypatch.setattr("nmcheck.checks.bank_build.check_scheduler", refuse)
    monkeypatch.setattr("nmcheck.checks.bank_build.open_case", lambda options: pytest.fail("work came first"))
    options = BankOptions(lenet, "mnist", tmp_path / "bank.h5", 5, scheduler="tcp://host:1")
    with pytest.raises(BankError, match="--scheduler tcp://host:1: no dask scheduler answers"):
        plan_bank(options)
    assert not options.output.exists()


def test_costs_are_known_before(tmp_path: Path, lenet: Path) -> None:
    data = write_images(tmp_path, 8)
    options = BankOptions(lenet, data, tmp_path / "bank.h5", 5, kernels="native", chunk=3)
    plan = plan_bank(options)
    assert not options.output.exists()
    preview = plan.preview
    assert (preview.n, preview.p, preview.d, preview.points, preview.images) == (64, 7, 3, 5, IMAGES)
    assert preview.seconds_per_point > 0
    build_bank(plan)
    assert 0 <= options.output.stat().st_size - preview.bytes < 16_384
    text = " ".join(bank_preview(preview))
    assert "p = 7, n = 64, d = 3" in text
    assert "for 5 points" in text


def test_what_does_not_fit_is_refused_with_what_does(tmp_path: Path, lenet: Path, residual: Path) -> None:
    data = write_images(tmp_path, SHAPE[1])
    small = BankOptions(residual, data, tmp_path / "b.h5", 5, cut="stem", store="gram", memory=820_000)
    with pytest.raises(UsageError, match=r"--cut stem: --store low-rank:64 at stem needs .* take a later one: .*head"):
        plan_bank(small)
    assert plan_bank(replace(small, memory=840_000)).preview.memory < 840_000
    huge = BankOptions(lenet, write_images(tmp_path, 8, name="eight"), tmp_path / "b.h5", 10**12)
    assert plan_bank(huge).preview.points == IMAGES


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "-k must be at least 1"),
        ({"jobs": 0}, "--jobs must be at least 1"),
        ({"chunk": 0}, "--chunk must be at least 1"),
        ({"seed": -1}, r"--seed must be at least 0 and below 2\^32 = 4294967296, but is -1"),
        ({"seed": 2**32}, r"--seed must be .* but is 4294967296"),
        ({"memory": 0}, "--memory must be positive"),
        ({"jobs": 2, "scheduler": "tcp://host:1"}, r"--jobs 2 starts processes here, .* leave one of them out"),
        ({"store": "dense"}, "--store must be"),
        ({"dtype": "float64"}, "--dtype must be"),
        ({"points": "random"}, "--points random is not known"),
        ({"linearizer": "averaged"}, "--linearizer averaged needs --sigma"),
        ({"sigma": 0.1}, "--sigma goes with --linearizer averaged only"),
        ({"linearizer": "averaged", "sigma": -1.0}, "--sigma must be a positive number"),
    ],
)
def test_options_that_cannot_be_are_refused(change, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(BankOptions(Path("m.onnx"), "mnist", Path("b.h5"), 5), **change)


def test_the_largest_seed_builds(tmp_path: Path, lenet: Path) -> None:
    bank = build(lenet, write_images(tmp_path, 8), seed=2**32 - 1, store="low-rank:3")
    assert bank_info(bank).seed == 2**32 - 1
    assert verify_bank(bank, lenet).identical


def test_the_engine_and_the_bank_go_together() -> None:
    with pytest.raises(UsageError, match="--engine bank needs a --bank FILE"):
        AnalyzeOptions(Path("m.onnx"), "mnist", engines=("bank",))
    with pytest.raises(UsageError, match="--bank is read by --engine bank only"):
        AnalyzeOptions(Path("m.onnx"), "mnist", bank=Path("b.h5"))
