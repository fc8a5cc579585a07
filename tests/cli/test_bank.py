"""``nmcheck bank`` at the command line: what reaches the use cases, what is shown, and how it ends."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forked import forked
from models import small_lenet, write

from nmcheck.cli.app import run
from nmcheck.cli.session import Session
from nmcheck.errors import BankError, InterruptedBuildError
from nmcheck.linearize.bank.store import BankFile
from nmcheck.results import ToolEntry
from nmcheck.results.bank import BankInfo, BankPreview, BankVerification
from nmcheck.temporary import open_temporary

PREVIEW = BankPreview(
    n=784, p=500, d=10, cut="node_relu", cut_kind="cut", points=250, images=10_000, storage="gram", dtype="float16",
    bytes_per_point=254_737, bytes=63_704_330, memory=51_362_720, seconds_per_point=0.0349, seconds=8.72,
    kernels="onednn", sparse_head=True, chunk=500,
)  # fmt: skip


INFO = BankInfo(
    tool=ToolEntry(version="1"), path="b.h5", format_version=1, model_fingerprint="0" * 64, data="mnist",
    data_sha256="1" * 64, images=10_000, scale="unit", k=250, complete=True, points_done=250, cut="node_relu",
    cut_kind="cut", linearizer="taylor", sigma=None, sigma_reason="-", n=784, p=500, d=10, storage="low-rank:64",
    dtype="float16", constant=(), bytes=63_704_330, bytes_per_point=254_817.3, members_mean=40.0, members_largest=90,
    reach_largest=9.5, choice="centers", seed=0, kernels="onednn", sparse_head=True, chunk=500,
    torch="2.13.0", energy=0.987,
)  # fmt: skip


class Plan:
    preview = PREVIEW


class FakeBank:
    """Stands in for the use cases."""

    def __init__(self, failure: BaseException | None = None) -> None:
        self.failure = failure
        self.options = self.built = None

    @property
    def session(self) -> Session:
        plan: Any = self.plan
        return Session(plan_bank=plan, build_bank=self.build, verify_bank=self.verify, bank_info=lambda file: INFO)

    def plan(self, options, progress):
        self.options = options
        return Plan

    def build(self, plan, progress):
        if self.failure is not None:
            raise self.failure
        self.built = plan

    def verify(self, file, model):
        if self.failure is not None:
            raise self.failure
        return BankVerification(
            tool=ToolEntry(version="1"), path=str(file), model=str(model), k=3, complete=True, points_done=3,
            recomputed=(0, 2), identical=True, difference=0.0,
        )  # fmt: skip


def build(*arguments: str, failure: BaseException | None = None) -> tuple[int, FakeBank]:
    fake = FakeBank(failure)
    code = run(["bank", "build", "m.onnx", "--data", "mnist", "-k", "250", "-o", "b.h5", *arguments], fake.session)
    return code, fake


def test_defaults_and_costs(capsys) -> None:
    code, fake = build()
    assert code == 0
    options = fake.options
    assert options is not None
    assert (options.k, options.output, options.resume, options.samples) == (250, Path("b.h5"), False, None)
    assert (options.cut, options.linearizer, options.sigma, options.points) == ("last", "taylor", None, "centers")
    assert (options.store, options.dtype, options.jobs, options.scheduler) == ("gram", "float16", 1, None)
    assert (options.seed, options.memory, options.kernels, options.chunk) == (0, 4 * 2**30, "auto", None)
    assert fake.built is Plan
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "p = 500, n = 784, d = 10; gram in float16: 255 kB a point, 63.7 MB for 250 points" in shown.err
    assert "34.9 ms a point, 8.72 s in all" in shown.err
    assert shown.err.endswith("b.h5: 250 points, 63.7 MB; the factors have 98.7 % of A's squared norm.\n")


def test_a_quiet_build_says_nothing(capsys) -> None:
    code, _ = build("--quiet")
    assert (code, *capsys.readouterr()) == (0, "", "")


def test_every_option_reaches_the_build() -> None:
    code, fake = build(
        "--resume", "--cut", "relu1", "--points", "medoid", "--linearizer", "averaged", "--sigma", "0.1", "--store",
        "low-rank:64", "--dtype", "float32", "--scale", "byte", "--range", "-1:1", "--seed", "7", "--samples", "20",
        "--scheduler", "tcp://host:1", "--memory", "0.5", "--kernels", "native", "--chunk", "9",
        "--quiet",
    )  # fmt: skip
    assert code == 0
    options = fake.options
    assert options is not None
    assert (options.resume, options.cut, options.points, options.linearizer) == (True, "relu1", "medoid", "averaged")
    assert (options.sigma, options.store, options.dtype, options.scale) == (0.1, "low-rank:64", "float32", "byte")
    assert (options.value_range, options.seed, options.samples) == ((-1.0, 1.0), 7, 20)
    assert (options.scheduler, options.memory, options.kernels, options.chunk) == ("tcp://host:1", 2**29, "native", 9)


def test_processes_here_are_asked_for() -> None:
    code, fake = build("--jobs", "3", "--quiet")
    assert code == 0
    assert fake.options is not None
    assert (fake.options.jobs, fake.options.scheduler) == (3, None)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--seed", "5000000000"), "--seed must be at least 0 and below 2^32"),
        (("--memory", "nan"), "--memory must be a positive, finite number of GiB, not nan"),
        (("--memory", "inf"), "--memory must be a positive, finite number of GiB, not inf"),
        (("--memory", "1e305"), "--memory must be a positive, finite number"),
        (("--memory", "-1"), "--memory must be a positive, finite number of GiB, not -1"),
        (("--memory", "1e-12"), "--memory must be positive"),
        (("--jobs", "2", "--scheduler", "tcp://host:1"), "leave one of them out"),
    ],
)
def test_numbers_out_of_range_are_refused(capsys, arguments: tuple[str, ...], text: str) -> None:
    code, fake = build(*arguments)
    assert (code, fake.options) == (2, None)
    shown = " ".join(capsys.readouterr().err.split())
    assert shown.startswith("Error: ")
    assert text in shown


def test_a_dry_run_builds_nothing(capsys) -> None:
    code, fake = build("--dry-run")
    assert (code, fake.built) == (0, None)
    assert "34.9 ms a point" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("failure", "code", "text"),
    [
        (InterruptedBuildError("Interrupted with 7 of 250 points done; use --resume."), 130, "7 of 250 points done"),
        (BankError("b.h5: the bank cannot be written: the disk is full."), 3, "the disk is full"),
        (KeyboardInterrupt(), 130, "Interrupted"),
    ],
)
def test_how_a_build_ends(capsys, failure: BaseException, code: int, text: str) -> None:
    assert build(failure=failure)[0] == code
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("Error: ")
    assert text in error


def test_verification_is_shown_or_written(capsys, tmp_path: Path) -> None:
    fake = FakeBank()
    assert run(["bank", "verify", "b.h5", "m.onnx"], fake.session) == 0
    assert "all agree" in capsys.readouterr().out
    path = tmp_path / "v.json"
    assert run(["bank", "verify", "b.h5", "m.onnx", "--format", "json", "-o", str(path)], fake.session) == 0
    assert json.loads(path.read_text())["identical"] is True
    failing = FakeBank(BankError("b.h5: the checksums of 1 of 5 points disagree."))
    assert run(["bank", "verify", "b.h5", "m.onnx"], failing.session) == 3


def test_a_bank_names_its_engine() -> None:
    seen = []

    def analyze(options, progress):
        seen.append(options)
        raise BankError("enough")

    arguments = ["analyze", "m.onnx", "--data", "mnist"]
    run([*arguments, "--bank", "b.h5"], Session(analyze=analyze))
    run([*arguments, "--bank", "b.h5", "--engine", "two-stage"], Session(analyze=analyze))
    assert [options.engines for options in seen] == [("bank",), ("two-stage", "bank")]
    assert run([*arguments, "--engine", "bank"], Session(analyze=analyze)) == 2


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str, Path]:
    model = write(small_lenet(), tmp_path)
    data = tmp_path / "images.npz"
    np.savez(data, allow_pickle=False, x=np.random.default_rng(0).random((40, 8, 8)), y=np.arange(40) % 3)
    return str(model), str(data), tmp_path / "bank.h5"


def test_from_build_to_report(files, capsys) -> None:
    model, data, bank = files
    command = ["bank", "build", model, "--data", data, "-k", "5", "-o", str(bank)]
    assert run(command) == 0
    whole = bank.read_bytes()
    assert run(command) == 2
    assert "exists; go on with it by --resume" in capsys.readouterr().err
    assert run([*command, "--resume"]) == 0
    assert bank.read_bytes() == whole
    capsys.readouterr()
    assert run([*command, "--resume", "--force"]) == 2
    assert "leave one of them out" in capsys.readouterr().err
    assert run([*command, "--seed", "1", "--force", "-q"]) == 0
    other = bank.read_bytes()
    assert other != whole
    assert sorted(path.name for path in bank.parent.iterdir()) == ["bank.h5", "images.npz", "model.onnx"]
    (bank.parent / "link.h5").symlink_to(bank)
    assert run([*command[:-1], str(bank.parent / "link.h5"), "--force", "-q"]) == 0
    assert (bank.parent / "link.h5").is_symlink()
    with BankFile(bank) as file:
        assert file.done.all()
    capsys.readouterr()
    assert run(["bank", "info", str(bank), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["k"] == 5
    for name, start in (("markdown", "## nmcheck"), ("html", "<!DOCTYPE html>")):
        assert run(["bank", "info", str(bank), "--format", name]) == 0
        assert capsys.readouterr().out.startswith(start)
    assert run(["bank", "verify", str(bank), model]) == 0
    assert run(["analyze", model, "--data", data, "--bank", str(bank), "--samples", "4", "--sigma", "0.05", "-q",
                "--reference-samples", "500"]) == 0  # fmt: skip
    assert "bank, cut at relu" in capsys.readouterr().out
    assert run([*command[:-1], str(bank.parent / "no" / "b.h5")]) == 3
    assert "does not exist; make it first" in capsys.readouterr().err


SLOW = """
import time
from nmcheck.linearize.bank.store import BankFile
write = BankFile.write
def slow(self, index, content):
    write(self, index, content)
    print("point", flush=True)
    time.sleep(0.2)
BankFile.write = slow
from nmcheck.__main__ import main
main()
"""


def stopped_build(command: list[str], points: int, by: signal.Signals) -> tuple[int, str]:
    """The exit code and errors of a real process that gets a signal when it has written some points."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    slow = [sys.executable, "-c", SLOW, *command]
    with subprocess.Popen(slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as build:
        assert build.stdout is not None
        for _ in range(points):
            assert build.stdout.readline() == "point\n"
        build.send_signal(by)
        _, errors = build.communicate(timeout=60)
    return build.returncode, errors


def test_interrupted_by_the_user_a_build_says_how_to_go_on(files) -> None:
    """A real signal, as a supervisor's, while the points are made; Ctrl-C is no other."""
    model, data, bank = files
    command = ["bank", "build", model, "--data", data, "-k", "20", "-o", str(bank), "--kernels", "native"]
    code, errors = stopped_build(command, 1, signal.SIGTERM)
    assert code == 130
    assert "of 20 points done; what is done is safe in" in errors
    assert "--resume" in errors.strip().splitlines()[-1]
    with BankFile(bank) as file:
        assert 1 <= int(file.done.sum()) < 20
        assert len(file.damaged()) == 0


LIMITED = """
import resource, sys
from nmcheck.cli.app import run
resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, 6_000))
sys.exit(run(sys.argv[1:]))
"""


def test_a_file_that_cannot_be_that_large_is_one_sentence_and_no_crash(files) -> None:
    """A real limit of the system: what it does not allow, HDF5 takes badly, to the end of the process."""
    model, data, bank = files
    before = sorted(bank.parent.iterdir())
    arguments = ["bank", "build", model, "--data", data, "-k", "20", "-o", str(bank), "--kernels", "native", "-q"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    command = [sys.executable, "-c", LIMITED, *arguments]
    made = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert made.returncode == 3
    assert len(made.stderr.splitlines()) == 1
    assert made.stderr.startswith(f"Error: {bank}: the bank cannot be made: the system allows no file that large here")
    assert sorted(bank.parent.iterdir()) == before


def test_killed_a_build_is_completed_by_the_same_command_and_resume(files) -> None:
    model, data, bank = files
    options = ["--data", data, "-k", "20", "--kernels", "native", "--chunk", "4", "-q"]
    whole = bank.with_name("whole.h5")
    assert run(["bank", "build", model, *options, "-o", str(whole)]) == 0
    command = ["bank", "build", model, *options, "-o", str(bank)]
    code, _ = stopped_build(command, 3, signal.SIGKILL)
    assert code == -signal.SIGKILL
    with BankFile(bank) as file:
        assert 3 <= int(file.done.sum()) < 20
    assert bank.read_bytes() != whole.read_bytes()
    assert run([*command, "--resume"]) == 0
    assert bank.read_bytes() == whole.read_bytes()


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX processes")
def test_a_bank_that_is_gone_on_with_has_what_dead_runs_left_beside_it_deleted(tmp_path: Path) -> None:
    def killed() -> None:
        open_temporary(tmp_path)
        os.kill(os.getpid(), signal.SIGKILL)

    assert forked(killed) == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    words = ["bank", "build", "m.onnx", "--data", "mnist", "-k", "2", "-o", str(tmp_path / "b.h5"), "-q", "--resume"]
    assert run([*words, "--dry-run"], FakeBank().session) == 0
    assert len(list(tmp_path.iterdir())) == 1
    assert run(words, FakeBank().session) == 0
    assert list(tmp_path.iterdir()) == []
