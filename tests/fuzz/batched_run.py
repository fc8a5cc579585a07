"""Many commands of nmcheck in one fork of a warm process, under limits of time and memory.

A fork for each would cost more than what it runs. One that dies, of a crash or of the clock, takes only the command
with it that it was at: the next fork goes on behind that.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fuzz.forked_run import BYTES, SECONDS, Expected, Run, ended, judged, mapped

TOGETHER = 100
"""Commands a fork; each starts with memory that is not yet fragmented by others."""


@dataclass(frozen=True)
class Task:
    """One command.

    Attributes:
        words: the arguments.
        prepare: makes the files it reads; called in the fork.
        check: says what it did that it should not have; None for nothing.
        expected: how it may end.
    """

    words: Sequence[str]
    prepare: Callable[[], None]
    check: Callable[[], str | None]
    expected: Expected


def run_batched(tasks: Sequence[Task], run: Callable[[list[str]], int]) -> Iterator[Run]:
    """Run ``nmcheck`` with the arguments of each task, in their order.

    Args:
        tasks: what to run.
        run: the command line, from arguments to an exit code.
    """
    done = 0
    while done < len(tasks):
        batch = tasks[done : done + TOGETHER]
        for found in _in_one_fork(batch, run):
            yield found
            done += 1


def _in_one_fork(batch: Sequence[Task], run: Callable[[list[str]], int]) -> list[Run]:
    """Those that were run: all, or up to the one that the fork died of."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sys.stdout.flush()
        sys.stderr.flush()
        start, child = time.perf_counter(), os.fork()
        if child == 0:
            _child(batch, run, folder)
        _, status, usage = os.wait4(child, 0)
        lines = (folder / "runs").read_text().splitlines() if (folder / "runs").exists() else []
        found = [Run(**json.loads(line)) for line in lines]
        if len(found) == len(batch):
            return found
        # Of the command that it died of, less is known.
        seconds = time.perf_counter() - start - sum(one.seconds for one in found)
        err = (folder / "err").read_bytes().decode("utf-8", "replace")
        outcome = ended(status, (folder / "out").read_bytes(), err, batch[len(found)].expected)
        last = (err.strip().splitlines() or [""])[-1]
        return [*found, Run(outcome, seconds, seconds, 1024 * usage.ru_maxrss, last)]


def _child(batch: Sequence[Task], run: Callable[[list[str]], int], folder: Path) -> None:
    """The forked process: never returns."""
    code = 99
    try:
        out, err = (os.open(folder / name, os.O_RDWR | os.O_CREAT) for name in ("out", "err"))
        os.dup2(out, 1)
        os.dup2(err, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # Left at its default, the alarm ends the process even inside a library that never returns to Python.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        limit = mapped() + BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        with (folder / "runs").open("w") as runs:
            for task in batch:
                for descriptor in (out, err):
                    os.ftruncate(descriptor, 0)
                    os.lseek(descriptor, 0, os.SEEK_SET)
                runs.write(json.dumps(_run(task, run, folder)) + "\n")
                runs.flush()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _run(task: Task, run: Callable[[list[str]], int], folder: Path) -> dict[str, object]:
    """One command, as the entries of a ``Run``."""
    task.prepare()
    _forget_peak()
    before = _peak()
    start, busy = time.perf_counter(), time.process_time()
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    code = run(list(task.words))
    sys.stdout.flush()
    sys.stderr.flush()
    signal.setitimer(signal.ITIMER_REAL, 0)
    busy = time.process_time() - busy
    err = (folder / "err").read_bytes().decode("utf-8", "replace")
    outcome = judged(code, (folder / "out").read_bytes(), err, task.expected)
    did = task.check()
    return {
        "outcome": outcome if did is None else did,
        "seconds": time.perf_counter() - start,
        "busy": busy,
        "grown": max(0, _peak() - before),
        "message": (err.strip().splitlines() or [""])[-1],
    }


def _forget_peak() -> None:
    """Let the largest size of this process so far be its size now."""
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:  # noqa: PTH123
        file.write("5")


def _peak() -> int:
    """Bytes in memory at the most since then."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])
