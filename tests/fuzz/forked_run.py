"""One command of nmcheck in a fork of a warm process, under limits of time and memory."""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SECONDS = 20.0
BYTES = 2 * 2**30
_TRIES = 3
_LONGEST = 1000
"""Characters of an error that is still a sentence."""
_ABOUT_DATA = ("Error: The data ", "Error: The model's metadata ", "Error: There is not enough memory ")
_OUT_OF_MEMORY = (
    "not enough memory",
    "bad_alloc",
    "bad allocation",
    "unable to allocate",
    "allocate memory",
    "memoryerror",
)


@dataclass(frozen=True)
class Expected:
    """How a command may end.

    Attributes:
        name: what the sentence of exit code 3 has to name; empty for nothing.
        codes: exit codes that are right.
        report: whether a JSON report is written to standard output.
        lines: how lines on standard error may begin, errors and warnings apart.
        memory: whether it may say that memory does not suffice, if it says how much.
    """

    name: str = ""
    codes: tuple[int, ...] = (0, 2, 3)
    report: bool = True
    lines: tuple[str, ...] = ()
    memory: bool = True


@dataclass(frozen=True)
class Run:
    """What became of one command.

    Attributes:
        outcome: ``exit`` and a code that is expected is as it should be; all others say what went wrong.
        seconds: of wall time.
        busy: seconds on the processor.
        grown: bytes the process grew by at its largest.
        message: the last line on standard error.
    """

    outcome: str
    seconds: float
    busy: float
    grown: int
    message: str

    @property
    def failed(self) -> bool:
        return self.outcome not in {f"exit {code}" for code in (0, 2, 3)}


def warm_up() -> None:
    """Import what the commands need, so that a fork has it already."""
    import onnx.reference
    import onnxruntime
    import sklearn
    import torch

    import nmcheck.checks.analyze
    import nmcheck.checks.inspect
    import nmcheck.checks.support
    import nmcheck.cli.app
    import nmcheck.cli.progress
    import nmcheck.reports.json
    import nmcheck.reports.table  # noqa: F401

    torch.set_num_threads(1)
    # torch settles its kernels at the first use, which every fork would do again.
    torch.func.vmap(torch.func.jacrev(torch.nn.functional.relu))(torch.ones(2, 3))
    assert onnxruntime.__version__
    assert sklearn.__version__
    assert onnx.reference.ReferenceEvaluator
    gc.collect()
    gc.freeze()


def run_forked(words: Sequence[str], folder: Path) -> Run:
    """Run ``nmcheck`` with these arguments.

    The child is killed by the kernel after ``SECONDS``, and may map ``BYTES`` more than it was born with. Where it did
    not get half of its seconds on the processor, because the machine was busy, it gets another try.

    Args:
        words: the arguments; the second is the model's file.
        folder: where standard output and error are kept until the next run.
    """
    out, err = folder / "stdout", folder / "stderr"
    sys.stdout.flush()
    sys.stderr.flush()
    own = resident()
    tries = 0
    while True:
        tries += 1
        start = time.perf_counter()
        child = os.fork()
        if child == 0:
            _child(words, out, err)
        _, status, usage = os.wait4(child, 0)
        seconds = time.perf_counter() - start
        busy = usage.ru_utime + usage.ru_stime
        starved = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM and busy < SECONDS / 2
        if not starved or tries == _TRIES:
            break
    stderr = err.read_bytes().decode("utf-8", "replace")
    lines = stderr.strip().splitlines()
    return Run(
        outcome=ended(status, out.read_bytes(), stderr, Expected(Path(words[1]).name, memory=words[0] != "inspect")),
        seconds=seconds,
        busy=busy,
        grown=max(0, 1024 * usage.ru_maxrss - own),
        message=lines[-1] if lines else "",
    )


def _child(words: Sequence[str], out: Path, err: Path) -> None:
    """The forked process: never returns."""
    code = 99
    try:
        for number, path in ((1, out), (2, err)):
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, number)
            os.close(file)
        # Left at its default, the alarm ends the process even inside a library that never returns to Python.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        limit = mapped() + BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        from nmcheck.cli.app import run

        code = run(list(words))
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def ended(status: int, stdout: bytes, stderr: str, expected: Expected) -> str:
    """How a process ended, and, if it ended by itself, what is wrong with what it wrote."""
    if os.WIFSIGNALED(status):
        killed = os.WTERMSIG(status)
        return "timeout" if killed == signal.SIGALRM else f"signal {signal.Signals(killed).name}"
    return judged(os.WEXITSTATUS(status), stdout, stderr, expected)


def judged(code: int, stdout: bytes, stderr: str, expected: Expected) -> str:
    """The exit code, or what is wrong with it or with what was written."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("Error: ")]
    others = sum(line.startswith(("Warning: ", *expected.lines)) for line in lines)
    # What is wrong with the data does not name the model.
    is_named = code == 3 and not any(line.startswith(_ABOUT_DATA) for line in errors)
    # An analysis may need more than the limit, if it says how much; looking into a file may not.
    out_of_memory = any(text in stderr.lower() for text in _OUT_OF_MEMORY)
    done = code in (0, 1)
    wrong = {
        f"exit {code}": code not in expected.codes,
        "traceback": "Traceback (most recent call last)" in stderr,
        "out of memory": out_of_memory and not (expected.memory and "iB)" in stderr),
        "unprintable error": any(not (letter.isprintable() or letter == "\n") for letter in stderr),
        "noise on stderr": len(lines) != len(errors) + others,
        "bad report": done and (bool(errors) or (expected.report and not _is_report(stdout))),
        "no clear sentence": not done
        and not (len(errors) == 1 and _is_sentence(errors[0], expected.name if is_named else "")),
        "report in spite of an error": not done and bool(stdout),
    }
    return next((outcome for outcome, found in wrong.items() if found), f"exit {code}")


def _is_sentence(line: str, name: str) -> bool:
    return len(line) <= _LONGEST and line.endswith(".") and name in line


def _is_report(stdout: bytes) -> bool:
    def refuse(constant: str) -> float:
        raise ValueError(f"{constant} is not JSON")

    try:
        return isinstance(json.loads(stdout, parse_constant=refuse), dict)
    except ValueError:
        return False


def mapped() -> int:
    """Bytes this process has mapped."""
    return _statm(0)


def _statm(field: int) -> int:
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
        return int(file.read().split()[field]) * resource.getpagesize()


def resident() -> int:
    """Bytes of its own that it has in memory."""
    # Pages of files are not copied into the fork's count; they come back as they are touched.
    return _statm(1) - _statm(2)
