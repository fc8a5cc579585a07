"""Real processes, where descriptors, signals and the environment matter; ``inspect`` stands for all commands."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import models
import numpy as np
import pytest

import nmcheck
from nmcheck.cli.app import run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX descriptors and signals")

ROOT = Path(nmcheck.__file__).parents[1]
COMMAND = (sys.executable, "-m", "nmcheck")
SLOW = """
import os, sys, time
def slow(descriptor):
    print("writing", file=sys.stderr, flush=True)
    time.sleep(60)
os.fsync = slow
from nmcheck.__main__ import main
main()
"""
MADE_OF_TEXT = """
import os
made = "import sys, time; print('writing', file=sys.stderr, flush=True); time.sleep(60)"
os.fsync = lambda descriptor: exec(made)
from nmcheck.__main__ import main
main()
"""
ENDING = """
import os, sys, time
class Slow:
    def __del__(self, write=os.write, sleep=time.sleep):
        write(2, b"ending\\n")
        sleep(1)
slow = Slow()
from nmcheck.__main__ import main
main()
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    return models.write(models.mlp(), folder)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an old report."""
    folder = tmp_path / "place"
    folder.mkdir()
    (folder / "report").write_text("old")
    return folder


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **changes}


def shell(command: str, *arguments: object, **changes: str) -> subprocess.CompletedProcess[str]:
    """The command in a shell, where nmcheck is ``"$@"``."""
    words = ["bash", "-c", command, "bash", *COMMAND, *map(str, arguments)]
    return subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=120, env=environment(**changes), errors="replace"
    )


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ('"$@" inspect "$MODEL" >/dev/full', 3),
        ('"$@" --help >&-', 3),
        ('"$@" inspect "$MODEL" 2>/dev/full', 0),
        ('"$@" inspect nowhere.onnx 2>&-', 3),
    ],
)
def test_descriptors(model: Path, command: str, code: int) -> None:
    done = shell(command, MODEL=str(model))
    assert done.returncode == code
    if command.endswith((">/dev/full", ">&-")) and "2>" not in command:
        assert done.stderr.splitlines()[-1].startswith("Error: Standard output cannot be written to: ")


def test_who_hangs_up_has_read_enough(model: Path) -> None:
    """On both streams, as ``2>&1 | true`` does."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, "inspect", str(model)], stdout=writer, stderr=writer, check=False, timeout=120, env=environment()
    )
    os.close(writer)
    assert done.returncode == 0


def test_no_file_of_the_run_gets_the_number_of_a_closed_descriptor(model: Path, place: Path) -> None:
    done = shell('exec "$@" <&- >&- 2>&-', "inspect", model, "-o", place / "report", "--format", "json")
    assert done.returncode == 0
    whole = (place / "report").read_text()
    assert run(["inspect", str(model), "-q", "--format", "json", "-o", str(place / "report")]) == 0
    assert (place / "report").read_text() == whole


def test_a_locale_without_letters(model: Path, place: Path) -> None:
    odd = model.rename(model.with_name("modèle σ.onnx"))
    done = shell(
        '"$@"', "inspect", odd, "-o", place / "σ", LC_ALL="POSIX", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0",
        PYTHONIOENCODING="ascii",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "Reading the model ...\n")
    # In such a locale the name is no text, but the file is found by it.
    assert ".onnx" in (place / "σ").read_text(encoding="utf-8")


def test_a_program_that_cannot_be_loaded_is_no_failed_gate() -> None:
    """Python's own exit code would be 1."""
    program = "import sys; sys.modules['typer'] = None; from nmcheck.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == 4
    assert done.stderr.startswith("Error: nmcheck cannot be loaded (ModuleNotFoundError: ")
    assert done.stderr.count("\n") == 1


@contextmanager
def at_work(words: list[str], folder: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), cwd=folder
    ) as process:
        watch = threading.Timer(100, process.kill)
        watch.start()
        yield process
        watch.cancel()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_in_one_sentence(tmp_path: Path, place: Path, name: str) -> None:
    """While the model is read, of which nothing comes."""
    model = tmp_path / "pipe.onnx"
    os.mkfifo(model)
    with at_work([*COMMAND, "inspect", str(model), "-o", str(place / "report")]) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "Reading the model ...\n"
        with model.open("wb"):  # opens when the other end is open
            process.send_signal(getattr(signal, name))
            out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert err.startswith("Error: Interrupted")
    assert err.count("\n") == 1
    assert [(path.name, path.read_text()) for path in place.iterdir()] == [("report", "old")]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_after_the_run_does_not_take_its_exit_code_away(model: Path, name: str) -> None:
    """While Python ends, which takes a while where large libraries are loaded."""
    with at_work([sys.executable, "-c", ENDING, "inspect", str(model), "-q"]) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "ending\n"
        process.send_signal(getattr(signal, name))
        process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_in_code_made_of_text_ends_in_the_same_exit_code(
    model: Path, place: Path, tmp_path: Path, name: str
) -> None:
    """As dataclasses are; Python called with -m would end by SIGINT then."""
    (tmp_path / "made_of_text.py").write_text(MADE_OF_TEXT)
    words = [sys.executable, "-m", "made_of_text", "inspect", str(model), "-q", "-o", str(place / "report")]
    with at_work(words, tmp_path) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "writing\n"
        process.send_signal(getattr(signal, name))
        _, err = process.communicate()
    assert process.returncode == 130
    assert err.startswith("Error: Interrupted")
    assert err.count("\n") == 1


def killed_while_writing(model: Path, place: Path, name: str) -> int:
    """The exit code of a run that gets a signal when its report lies beside the old one, and is to take its name."""
    words = [sys.executable, "-c", SLOW, "inspect", str(model), "-q", "-o", str(place / "report")]
    with at_work(words) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "writing\n"
        assert len(list(place.iterdir())) == 2
        process.send_signal(getattr(signal, name))
        process.communicate()
    assert (place / "report").read_text() == "old"
    return process.returncode


def test_a_run_that_is_terminated_while_it_writes_leaves_nothing(model: Path, place: Path) -> None:
    assert killed_while_writing(model, place, "SIGTERM") == 130
    assert [path.name for path in place.iterdir()] == ["report"]


def test_what_a_killed_run_leaves_the_next_one_deletes(model: Path, place: Path) -> None:
    assert killed_while_writing(model, place, "SIGKILL") == -signal.SIGKILL
    assert len(list(place.iterdir())) == 2
    assert run(["inspect", str(model), "-q", "-o", str(place / "another")]) == 0
    assert sorted(path.name for path in place.iterdir()) == ["another", "report"]


def test_nothing_is_written_but_the_outputs(model: Path, tmp_path: Path) -> None:
    """Neither at home nor among temporary files, nor is anything sent: onnxruntime and torch would, of themselves."""
    home, temporary, place = tmp_path / "home", tmp_path / "temporary", tmp_path / "place"
    for folder in (home, temporary, place):
        folder.mkdir()
    data = tmp_path / "data.npz"
    np.savez(data, allow_pickle=False, x=np.random.default_rng(0).random((4, 6)), y=np.arange(4) % 3)
    # What the tests set of themselves would hide it.
    unset = ("XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY", "TORCHINDUCTOR_CACHE_DIR")
    here = {name: value for name, value in environment().items() if name not in unset}
    done = subprocess.run(
        [*COMMAND, "analyze", str(model), "--data", str(data), "--samples", "2", "--reference-samples", "500", "-q",
         "-o", str(place / "report")],
        capture_output=True, text=True, check=False, timeout=200, cwd=place,
        env={**here, "HOME": str(home), "TMPDIR": str(temporary)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    found = [str(path.relative_to(tmp_path)) for folder in (home, temporary, place) for path in folder.rglob("*")]
    assert found == ["place/report"]
