"""Kills commands that write files, at any moment, and looks at what they leave.

    python -m fuzz.killed_runs NUMBER FIRST SEED FOLDER [COMMAND ...]

from the folder ``tests`` prints a JSON line for each kill of a fork of a warm process; for the table, and for kills of
whole processes, see ``benchmarks/kills.py``. Every kill depends on the seed, the command, the signal and its number,
and on how fast the machine is.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn, Protocol

import numpy as np
from models import small_lenet, write

from nmcheck.cli.app import run
from nmcheck.errors import BankError
from nmcheck.linearize.bank.store import BankFile

ROOT = Path(__file__).parents[2]
SIGNALS = ("SIGKILL", "SIGTERM")
INTERRUPTED = 130
_TEMPORARY = ".nmcheck-"
_BYSTANDER = "notes.txt"
_LONGEST = 300.0
"""Seconds that a run may take."""
_TRIES = 20
"""Of a kill: some runs end before the moment that was drawn."""
POLICY = """\
samples = 12
seed = 3

[[check]]
id = "accuracy"
kind = "accuracy"
min = 0.99

[[check]]
id = "certified"
kind = "certified-accuracy"
norm = "l2"
epsilon = 5.0
min = 0.99
"""


@dataclass(frozen=True)
class Command:
    """A command that writes files.

    Attributes:
        words: how it is called in a folder with ``inputs`` and ``outputs``.
        code: what it ends in.
        together: whether its files take their names together.
        resumable: whether a file of which a part is done is right, too.
    """

    words: tuple[str, ...]
    code: int = 0
    together: bool = False
    resumable: bool = False


_ON_DATA = ("inputs/model.onnx", "--data", "inputs/images.npz")
_BUILD = ("bank", "build", *_ON_DATA, "-k", "20", "--kernels", "native", "--chunk", "8", "-o", "outputs/bank.h5")
COMMANDS = {
    "analyze": Command(
        (
            "analyze", *_ON_DATA, "--samples", "2", "--reference-samples", "500", "--sigma", "0.1", "--engine",
            "two-stage", "--format", "json", "-o", "outputs/report.json",
        ),
    ),
    "bounds": Command(
        (
            "bounds", *_ON_DATA, "--samples", "12", "--norm", "inf", "--attack", "fgs", "--method", "crown-ibp",
            "--epsilon", "0.05", "--epsilon", "0.1", "--save-adversarial", "outputs/adversarial", "--vnnlib",
            "outputs/questions", "--format", "json", "-o", "outputs/report.json",
        ),
    ),
    "gate": Command(
        (
            "gate", *_ON_DATA, "--policy", "inputs/policy.toml", "--json", "outputs/gate.json", "--junit",
            "outputs/gate.xml", "--sarif", "outputs/gate.sarif", "--markdown", "outputs/gate.md", "--html",
            "outputs/gate.html", "--examples", "outputs/examples", "-o", "outputs/gate.txt",
        ),
        code=1,
        together=True,
    ),
    "bank build --force": Command((*_BUILD, "--force"), resumable=True),
    "bank build --resume": Command((*_BUILD, "--resume"), resumable=True),
}  # fmt: skip


@dataclass(frozen=True)
class Kill:
    """One kill and what it left.

    Attributes:
        command: key of ``COMMANDS``.
        signal: its name.
        number: of the kill.
        code: exit code of the run, negative for a signal that ended it.
        caught: whether the run had begun to listen to signals when it came.
        writing: whether a file of another name lay beside the outputs when it came.
        old: files that are as they were before the run.
        new: files that are as the whole run writes them.
        absent: files that are not there, and were not.
        partial: banks of which a part is done.
        damaged: files that are nothing of this.
        leftovers: other files that the killed run left.
        leftovers_next: those that the next run left.
        wrong: what else is not as it should be, in words; empty if nothing.
    """

    command: str
    signal: str
    number: int
    code: int
    caught: bool
    writing: bool
    old: int
    new: int
    absent: int
    partial: int
    damaged: int
    leftovers: int
    leftovers_next: int
    wrong: tuple[str, ...]

    @property
    def failed(self) -> bool:
        return bool(self.wrong or self.leftovers_next)


class Process(Protocol):
    """A run of nmcheck that goes on."""

    pid: int

    def poll(self) -> int | None: ...


Launch = Callable[[Sequence[str], Path], Process]
"""Starts nmcheck with these arguments in a folder, in which its standard error goes to the file ``stderr``."""


def as_process(words: Sequence[str], folder: Path) -> Process:
    """A process of its own, from the first import on."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (folder / "stderr").open("wb") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "nmcheck", *words], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=errors,
        )  # fmt: skip


class _Fork:
    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if found else None
        return self._code


def as_fork(words: Sequence[str], folder: Path) -> Process:
    """A fork of this process, which has loaded everything."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _child(words, folder)
    return _Fork(child)


def _child(words: Sequence[str], folder: Path) -> NoReturn:
    code = 99
    try:
        os.chdir(folder)
        for number, name in ((1, os.devnull), (2, "stderr")):
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, number)
            os.close(file)
        sys.argv = ["nmcheck", *words]
        from nmcheck.__main__ import main

        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 99
    finally:
        sys.stderr.flush()
        os._exit(code)


@dataclass(frozen=True)
class Plan:
    """How runs are killed.

    Attributes:
        seed: of the moments.
        launch: starts the runs that are killed.
        launch_next: starts those after them.
    """

    seed: int
    launch: Launch
    launch_next: Launch = as_fork


@dataclass
class Place:
    """A folder in which commands are killed.

    Attributes:
        folder: it.
        inputs: content of its inputs.
        whole: by command, the content of the files that the whole run writes.
        nanoseconds: by command, what the whole run takes on the processor.
        events: by command, how often something changes in the folders of its outputs.
    """

    folder: Path
    inputs: dict[str, bytes] = field(default_factory=dict)
    whole: dict[str, dict[str, Any]] = field(default_factory=dict)
    nanoseconds: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)

    @property
    def outputs(self) -> Path:
        return self.folder / "outputs"


def make_inputs(folder: Path) -> Place:
    """The inputs of all commands, in an empty folder."""
    inputs = folder / "inputs"
    inputs.mkdir()
    write(small_lenet(), inputs)
    pixels = np.random.default_rng(0).integers(0, 256, (24, 8, 8)).astype(np.uint8)
    np.savez(inputs / "images.npz", allow_pickle=False, x=pixels, y=np.arange(24) % 3)
    (inputs / "policy.toml").write_text(POLICY)
    return Place(folder, _content(inputs))


def run_whole(place: Place, name: str, launch: Launch) -> None:
    """Run a command to its end, and keep what it writes and how long that takes."""
    _empty(place.outputs)
    run = launch(COMMANDS[name].words, place.folder)
    seen, taken, deadline = _Changes(place.outputs), 0, time.monotonic() + _LONGEST
    while run.poll() is None and time.monotonic() < deadline:
        seen.look()
        taken = _nanoseconds(run.pid) or taken
        time.sleep(0.001)
    if run.poll() != COMMANDS[name].code:
        raise RuntimeError(f"{name} ended in {run.poll()}: {(place.folder / 'stderr').read_text()}")
    place.whole[name] = {path: _comparable(path, content) for path, content in _content(place.outputs).items()}
    place.nanoseconds[name], place.events[name] = taken, seen.count


def kill(place: Place, name: str, signal_name: str, number: int, plan: Plan) -> Kill:
    """Kill a run at a moment drawn at random, look at its files, and run the same command to its end.

    Even numbers kill after a share of the time that the run takes on the processor, odd ones at a change in the folders
    of the outputs. Even pairs find an old file of every name, odd ones of some of them only.
    """
    order = [plan.seed, list(COMMANDS).index(name), SIGNALS.index(signal_name), number]
    for attempt in range(_TRIES):
        random = np.random.default_rng([*order, attempt])
        before = _old_files(place, name, random, every=number // 2 % 2 == 0)
        wait = _until_time if number % 2 == 0 else _until_change
        run = plan.launch(COMMANDS[name].words, place.folder)
        # What is there for a moment only is not always seen, so that changes to come get fewer.
        wait(run, place, name, random, earlier=attempt)
        if run.poll() is None:
            caught, writing = _catches(run.pid), bool(_temporary(place.outputs))
            os.kill(run.pid, getattr(signal, signal_name))
            code = _end(run)
            if signal_name == "SIGKILL" and code >= 0:
                continue  # it had just ended
            found = _look(place, name, before)
            wrong = found.wrong + _ending(place, name, signal_name, code, caught=caught, found=found)
            again = plan.launch_next(COMMANDS[name].words, place.folder)
            end = _end(again)
            after = _look(place, name, before)
            if end != COMMANDS[name].code:
                said = (place.folder / "stderr").read_text(errors="replace")
                wrong.append(f"the next run ended in {end}: {said[-500:]}")
            elif after.new != len(place.whole[name]):
                wrong.append(f"the next run wrote {after.new} of {len(place.whole[name])} files")
            absent = len(place.whole[name]) - found.old - found.new - found.partial - found.damaged
            return Kill(
                name, signal_name, number, code, caught, writing, found.old, found.new, absent, found.partial,
                found.damaged, len(found.leftovers), len(after.leftovers), (*wrong, *after.wrong),
            )  # fmt: skip
    raise RuntimeError(f"{name}: none of {_TRIES} runs was there to be killed")


@dataclass
class _Found:
    """What lies in the outputs' folders."""

    old: int = 0
    new: int = 0
    partial: int = 0
    damaged: int = 0
    leftovers: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def _look(place: Place, name: str, before: Mapping[str, bytes]) -> _Found:
    found, there, whole = _Found(), _content(place.outputs), place.whole[name]
    for path in before.keys() | there.keys():
        content, old = there.get(path), before.get(path)
        if content is None:
            found.damaged += 1
            found.wrong.append(f"{path} is lost")
        elif content == old:
            found.old += path in whole
        elif path in whole and _is_whole(path, content, whole[path]):
            found.new += 1
        elif path in whole and COMMANDS[name].resumable and _is_bank(place.outputs / path):
            found.partial += 1
        elif path in whole or path in before:
            found.damaged += 1
            found.wrong.append(f"{path} is neither old nor new ({len(content)} bytes)")
        else:
            found.leftovers.append(path)
    if _content(place.folder / "inputs") != place.inputs:
        found.wrong.append("an input has changed")
    return found


def _ending(place: Place, name: str, signal_name: str, code: int, *, caught: bool, found: _Found) -> list[str]:
    """What is wrong with how a killed run ended."""
    if signal_name == "SIGKILL":
        return []
    said = (place.folder / "stderr").read_text(errors="replace").splitlines()
    wrong = []
    if code == -signal.SIGTERM and not caught and not found.new:
        # It came before nmcheck's first line.
        return []
    if code == COMMANDS[name].code:
        if found.new != len(place.whole[name]):
            wrong.append(f"a run that had done its work ended in {code}, with {found.new} new files")
        return wrong + [line for line in said if line.startswith(("Error", "Traceback", "Exception"))]
    if code != INTERRUPTED:
        wrong.append(f"SIGTERM ended in {code}: {said[-3:]}")
    elif sum(line.startswith("Error: Interrupted") for line in said) != 1 or not said[-1].startswith("Error: "):
        wrong.append(f"no sentence, or more than one: {said[-3:]}")
    if any(line.startswith(("Traceback", "Exception ignored")) for line in said):
        wrong.append(f"a traceback: {said[-3:]}")
    if found.leftovers:
        wrong.append(f"SIGTERM left {found.leftovers}")
    if COMMANDS[name].together and 0 < found.new < len(place.whole[name]):
        wrong.append(f"{found.new} new files of {len(place.whole[name])} that belong together")
    return wrong


def _old_files(place: Place, name: str, random: np.random.Generator, *, every: bool) -> dict[str, bytes]:
    """Fill the outputs' folder with old files, and one that is nobody's, and return their content."""
    _empty(place.outputs)
    there = [path for path in sorted(place.whole[name]) if every or random.random() < 0.5]
    if name.endswith("--resume"):
        there = []  # it would be resumed
    before = {path: f"old {path}\n".encode() * 50 for path in there} | {_BYSTANDER: b"mine\n"}
    for path, content in before.items():
        (place.outputs / path).parent.mkdir(parents=True, exist_ok=True)
        (place.outputs / path).write_bytes(content)
    return before


def _until_time(run: Process, place: Place, name: str, random: np.random.Generator, *, earlier: int) -> None:
    del earlier
    moment, deadline = random.uniform(0, place.nanoseconds[name]), time.monotonic() + _LONGEST
    while run.poll() is None and (_nanoseconds(run.pid) or 0) < moment and time.monotonic() < deadline:
        time.sleep(0.001)


def _until_change(run: Process, place: Place, name: str, random: np.random.Generator, *, earlier: int) -> None:
    seen, wanted = _Changes(place.outputs), int(random.integers(1, max(1, place.events[name] - earlier) + 1))
    deadline = time.monotonic() + _LONGEST
    while run.poll() is None and seen.count < wanted and time.monotonic() < deadline:
        seen.look()
        time.sleep(0.0003)
    time.sleep(10 ** random.uniform(-5, -2.5))


class _Changes:
    """Counts how often the names in a folder, or what they stand for, are others than at the last look."""

    def __init__(self, folder: Path) -> None:
        self.count = 0
        self._folder = folder
        self._last = self._names()

    def look(self) -> None:
        now = self._names()
        self.count += now != self._last
        self._last = now

    def _names(self) -> frozenset[tuple[str, int]]:
        found, waiting = set(), [str(self._folder)]
        while waiting:
            try:
                with os.scandir(waiting.pop()) as entries:
                    for entry in entries:
                        found.add((entry.path, entry.inode()))
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
            except OSError:
                continue
        return frozenset(found)


def _end(run: Process) -> int:
    deadline = time.monotonic() + _LONGEST
    while run.poll() is None:
        if time.monotonic() > deadline:
            os.kill(run.pid, signal.SIGKILL)
            raise RuntimeError("a run does not end")
        time.sleep(0.002)
    code = run.poll()
    assert code is not None
    return code


def _catches(pid: int) -> bool:
    """Whether a process listens to SIGTERM."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = next((line.split()[1] for line in text.splitlines() if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def _nanoseconds(pid: int) -> int | None:
    """What a process has had of the processor."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    except (OSError, IndexError):
        return None


def _content(folder: Path) -> dict[str, bytes]:
    """Of the files, and of folders with nothing in them, which end in a slash."""
    found = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_file():
            found[name] = path.read_bytes()
        elif not any(path.iterdir()):
            found[f"{name}/"] = b""
    return found


def _temporary(folder: Path) -> list[Path]:
    return list(folder.rglob(f"{_TEMPORARY}*"))


def _empty(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.mkdir(exist_ok=True)


def _comparable(path: str, content: bytes) -> Any:
    """A file's content without the times in it."""
    return _without_timings(json.loads(content)) if path.endswith(".json") else content


def _is_whole(path: str, content: bytes, whole: Any) -> bool:
    try:
        return _comparable(path, content) == whole
    except ValueError:
        return False


def _without_timings(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_timings(entry)
            for key, entry in value.items()
            if not key.startswith(("seconds", "forward_passes"))
        }
    return [_without_timings(entry) for entry in value] if isinstance(value, list) else value


def _is_bank(path: Path) -> bool:
    """Whether it is one that can be resumed."""
    try:
        with BankFile(path) as file:
            return len(file.damaged()) == 0
    except BankError:
        return False


def warm_up_commands(folder: Path, names: Sequence[str]) -> None:
    """Import what the commands need, by running each in a folder."""
    import nmcheck.__main__  # noqa: F401 - which the forks run

    make_inputs(folder)
    (folder / "outputs").mkdir()
    here = Path.cwd()
    os.chdir(folder)
    try:
        for name in names:
            said = StringIO()
            with redirect_stdout(StringIO()), redirect_stderr(said):
                code = run(COMMANDS[name].words)
            if code != COMMANDS[name].code:
                raise RuntimeError(f"{name} ended in {code}: {said.getvalue()}")
    finally:
        os.chdir(here)


def campaign(folder: Path, numbers: Sequence[int], names: Sequence[str], plan: Plan) -> Iterator[Kill]:
    """Kill each command by each signal, in an empty folder, and yield what became of it."""
    place = make_inputs(folder)
    for name in names:
        run_whole(place, name, plan.launch)
        for signal_name in SIGNALS:
            for number in numbers:
                yield kill(place, name, signal_name, number, plan)


def main(words: Sequence[str]) -> None:
    number, first, seed, folder = int(words[0]), int(words[1]), int(words[2]), Path(words[3])
    for name in ("warm", "run"):
        (folder / name).mkdir()
    names = words[4:] or list(COMMANDS)
    warm_up_commands(folder / "warm", names)
    for found in campaign(folder / "run", range(first, first + number), names, Plan(seed, as_fork)):
        print(json.dumps(asdict(found)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
