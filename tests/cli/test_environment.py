"""Unlucky surroundings: what the system does not give is one sentence and exit code 3, and old files stay."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import made_up_gate
import made_up_report
import numpy as np
import pytest
from privileges import modes_count
from run_case import COMMANDS, content

from nmcheck.checks.gate.propose import Proposal
from nmcheck.checks.gate.run import GateResult
from nmcheck.cli.app import run
from nmcheck.cli.session import Session

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and /dev/full")
PNG = made_up_gate.PIXEL
REPORT = made_up_report.report((0.1,), ("two-stage",))
GATE = GateResult(made_up_gate.report(), {"adversarial-l2-17.npy": np.zeros(4000)}, made_up_gate.pictures())


def session() -> Session:
    return Session(
        analyze=lambda options, progress: REPORT,
        bounds=lambda options, progress: REPORT,
        gate=lambda options, progress: GATE,
        propose=lambda options, progress: Proposal("# a policy\n" * 2000, 1, 2),
    )


WRITING = ("analyze", "bounds", "gate", "gate --init", "inspect", "bank info", "bank verify", "annotate")


def line_of(command: str, inputs: dict[str, Path], **outputs: Path) -> list[str]:
    entry = COMMANDS[command]
    return entry.line({**{name: inputs[name] for name in entry.reads}, **outputs})


def one_sentence(said: str) -> str:
    errors = [line for line in said.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    return errors[0]


@linux
@pytest.mark.parametrize(("command", "output"), [(name, key) for name in WRITING for key in COMMANDS[name].writes])
def test_a_device_that_is_full(inputs, capsys, command: str, output: str) -> None:
    assert run(line_of(command, inputs, **{output: Path("/dev/full")}), session()) == 3
    assert "No space left on device" in one_sentence(capsys.readouterr().err)


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """No file may be longer: what a full disk does, by a limit of the system's."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@posix
@pytest.mark.parametrize(("command", "output"), [(name, key) for name in WRITING for key in COMMANDS[name].writes])
def test_a_file_that_cannot_be_that_large(inputs, tmp_path: Path, capsys, command: str, output: str) -> None:
    path = tmp_path / "report"
    if command != "gate --init":
        path.write_text("old")
    before = content(tmp_path)
    with small_files(100):
        code = run(line_of(command, inputs, **{output: path}), session())
    assert code == 3
    assert "File too large" in one_sentence(capsys.readouterr().err)
    assert content(tmp_path) == before


@posix
def test_of_several_reports_none_is_written_if_one_cannot_be(inputs, tmp_path: Path, capsys) -> None:
    files = {name: tmp_path / name for name in COMMANDS["gate"].writes}
    for path in files.values():
        path.write_text("old")
    with small_files(4000):  # enough for some of them
        assert run(line_of("gate", inputs, **files, examples=tmp_path / "found"), session()) == 3
    assert {path.read_text() for path in files.values()} == {"old"}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*files, "found"])
    assert run(line_of("gate", inputs, **files, examples=tmp_path / "found"), session()) == 1
    assert (tmp_path / "found" / "adversarial-l2-17.npy").stat().st_size > 32_000


@posix
@pytest.mark.parametrize("option", ["save_adversarial", "vnnlib"])
def test_a_disk_that_gets_full_leaves_the_older_files_of_a_folder(inputs, tmp_path: Path, capsys, option: str) -> None:
    folder, odd = tmp_path / "found", tmp_path / "caf\udce9.npz"
    # Without labels: an image that is labelled wrongly leaves no question.
    np.savez(odd, allow_pickle=False, x=np.random.default_rng(0).random((20, 6)))
    line = line_of("bounds", {**inputs, "data": odd}, **{option: folder})
    line += ["-q", "--method", "lipschitz", "--epsilon", "0.1"]
    if option == "vnnlib":
        line += ["--attack", "none"]
    assert run(line) == 0
    before = content(folder)
    assert ("linf_0.1/instances.csv" if option == "vnnlib" else "adversarial_linf.npz") in before
    if option == "vnnlib":
        assert all(rb"caf\udce9.npz" in path.read_bytes() for path in folder.rglob("*.vnnlib"))
    with small_files(100):
        assert run([*line, "--seed", "1"]) == 3
    assert "cannot be written: File too large" in one_sentence(capsys.readouterr().err)
    assert content(folder) == before


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (OSError(errno.ENOSPC, "full"), "The disk is full"),
        (OSError(errno.EDQUOT, "quota"), "The disk is full"),
        (OSError(errno.EMFILE, "files"), "Too many open files"),
        (PermissionError(errno.EACCES, "denied", "/a/b"), "for /a/b: Permission denied"),
        (OSError(errno.EIO, "input"), "(EIO)"),
        (RuntimeError("can't start new thread"), "starts no more threads"),
    ],
)
def test_what_the_system_refuses_is_no_internal_error(inputs, capsys, failure: Exception, says: str) -> None:
    def fails(*_: Any) -> Any:
        raise failure

    assert run(line_of("analyze", inputs), Session(analyze=fails)) == 3
    assert says in one_sentence(capsys.readouterr().err)


@posix
@pytest.mark.parametrize(
    "closed",
    ["pictures", "pictures/0", "pictures/1", "pictures/0/a.png", "idx", "idx/t10k-images-idx3-ubyte", "weights"],
)
def test_a_part_of_the_input_that_cannot_be_read(inputs, tmp_path: Path, capsys, closed: str) -> None:
    for label in "01":
        (tmp_path / "pictures" / label).mkdir(parents=True)
        (tmp_path / "pictures" / label / "a.png").write_bytes(PNG)
    (tmp_path / "idx").mkdir()
    head = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (2, 2, 3))
    (tmp_path / "idx" / "t10k-images-idx3-ubyte").write_bytes(head + bytes(12))
    data = tmp_path / closed.partition("/")[0]
    path = tmp_path / closed
    if closed == "weights":
        data, path = inputs["data"], inputs["weights"]
    mode = path.stat().st_mode
    with modes_count():
        path.chmod(0)
        try:
            code = run(["analyze", str(inputs["model"]), "--data", str(data), "--samples", "2", "-q"])
        finally:
            path.chmod(mode)
    assert code == 3
    assert "could not be read" in (said := one_sentence(capsys.readouterr().err)) or "Permission denied" in said


@linux
@pytest.mark.parametrize("command", WRITING)
def test_a_folder_that_has_been_deleted(inputs, tmp_path: Path, monkeypatch, capsys, command: str) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    try:
        code = run(line_of(command, inputs, output=Path("report")), session())
    finally:
        monkeypatch.chdir(tmp_path)
    assert code == 3
    one_sentence(capsys.readouterr().err)


@linux
def test_a_home_that_cannot_be_written(inputs, monkeypatch, capsys) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nmcheck")
    assert run(["analyze", str(inputs["model"]), "--data", "mnist:train", "-q"]) == 3
    one_sentence(capsys.readouterr().err)


def test_no_home(inputs, monkeypatch, capsys) -> None:
    """A process without HOME whose user the system does not know, as in containers."""
    import pooch

    def homeless(project: str) -> str:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(pooch, "os_cache", homeless)
    assert run(["analyze", str(inputs["model"]), "--data", "mnist:train", "-q", "-o", os.devnull]) == 3
    assert "set XDG_CACHE_HOME" in one_sentence(capsys.readouterr().err)


@linux
def test_a_model_whose_name_is_no_text(inputs, tmp_path: Path, capsys) -> None:
    odd = tmp_path / "caf\udce9"
    odd.mkdir()
    for name in ("model", "weights"):
        (odd / inputs[name].name).write_bytes(inputs[name].read_bytes())
    for command in ("bounds", "inspect", "annotate"):
        line = line_of(command, {**inputs, "model": odd / "model.onnx"}, output=tmp_path / "out")
        assert run([*line, "--force"] if command == "annotate" else line) == 3
        one_sentence(capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == [odd]
