"""Folders for files beside the report: found unwritable before anything is computed."""

from pathlib import Path
from typing import Any

import made_up_report
import pytest
from models import mlp, write

from nmcheck.cli.app import run
from nmcheck.cli.output import check_folder
from nmcheck.cli.session import Session
from nmcheck.errors import DataError, OutputError

OPTIONS = ["--save-adversarial", "--vnnlib"]
SEALED = Path("/proc/self")
"""A folder that nobody can make a file in, root included."""
sealed = pytest.mark.skipif(not SEALED.is_dir(), reason="there is no /proc here")


def bounds(*arguments: str) -> tuple[int, list[Any]]:
    """Exit code, and the options of every run that was started."""
    ran: list[Any] = []

    def analysis(options: Any, progress: Any) -> Any:
        ran.append(options)
        return made_up_report.report()

    words = ["bounds", "m.onnx", "--data", "mnist", "--norm", "inf", *arguments]
    return run(words, Session(bounds=analysis)), ran


@pytest.mark.parametrize("option", OPTIONS)
def test_a_file_in_the_way_is_found_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        assert bounds(option, str(place)) == (3, [])
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert f"into the folder {place}" in said
        assert f"choose another {option}." in said
    assert (tmp_path / "file").read_text() == "mine"


@sealed
@pytest.mark.parametrize("option", OPTIONS)
def test_a_folder_without_leave_to_write_is_found_before_the_run(
    capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert bounds(option, str(SEALED)) == (3, [])
    assert f"into the folder {SEALED}" in capsys.readouterr().err


def test_both_folders_are_made_and_left_empty(tmp_path: Path) -> None:
    found, left = tmp_path / "new" / "found", tmp_path / "left"
    code, ran = bounds("--save-adversarial", str(found), "--vnnlib", str(left), "--quiet")
    assert (code, len(ran)) == (0, 1)
    assert list(found.iterdir()) == list(left.iterdir()) == []


@pytest.mark.parametrize(("failure", "code"), [(KeyboardInterrupt(), 130), (DataError("no."), 3), (ValueError(), 4)])
def test_a_run_that_fails_takes_its_empty_folders_away(tmp_path: Path, failure: BaseException, code: int) -> None:
    def analysis(options: Any, progress: Any) -> Any:
        assert (tmp_path / "new" / "left").is_dir()
        (tmp_path / "old" / "kept").mkdir()
        raise failure

    (tmp_path / "old").mkdir()
    (tmp_path / "empty").mkdir()
    for found, left in (("empty", "new/left"), ("old/found", "new/left")):
        words = ["--norm", "inf", "--save-adversarial", str(tmp_path / found), "--vnnlib", str(tmp_path / left), "-q"]
        assert run(["bounds", "m.onnx", "--data", "mnist", *words], Session(bounds=analysis)) == code
        # What was there stays, empty or not, and so does what something else put in the way.
        assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "kept", "old"]
        (tmp_path / "old" / "kept").rmdir()


def test_a_folder_with_something_in_it_is_left(tmp_path: Path) -> None:
    def analysis(options: Any, progress: Any) -> Any:
        (tmp_path / "new" / "found" / "one.npz").touch()
        raise KeyboardInterrupt

    words = ["--save-adversarial", str(tmp_path / "new" / "found"), "-q"]
    assert run(["bounds", "m.onnx", "--data", "mnist", *words], Session(bounds=analysis)) == 130
    assert (tmp_path / "new" / "found" / "one.npz").exists()


def test_a_second_folder_in_the_way_takes_the_first_away(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert bounds("--save-adversarial", str(tmp_path / "new"), "--vnnlib", str(tmp_path / "file")) == (3, [])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_wrong_options_make_no_folder(tmp_path: Path) -> None:
    assert bounds("--norm", "2", "--vnnlib", str(tmp_path / "new"))[0] == 2
    assert not (tmp_path / "new").exists()


@sealed
def test_the_gate_s_examples_are_checked_the_same_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(mlp((6, 8, 3)), tmp_path)
    policy = '[[check]]\nid = "right"\nkind = "accuracy"\nmin = 0.5\n'
    (tmp_path / "nmcheck.toml").write_text(policy)
    ran: list[Any] = []
    words = [
        "gate", str(tmp_path / "model.onnx"), "--data", "x.npz", "--policy", str(tmp_path / "nmcheck.toml"),
        "--examples", str(SEALED),
    ]  # fmt: skip

    def decide(options: Any, progress: Any) -> Any:
        ran.append(options)
        raise AssertionError

    assert (run(words, Session(gate=decide)), ran) == (3, [])
    assert "choose another --examples." in capsys.readouterr().err


def test_what_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    check_folder(tmp_path, "--vnnlib")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    with pytest.raises(OutputError, match="choose another --vnnlib"):
        check_folder(tmp_path / "old", "--vnnlib")
