"""Do old files survive, and do leftovers go, when commands are killed at any moment?

    python benchmarks/kills.py --number 20 --seed 0 [--jobs N] [--command gate ...] [--forks]

`analyze`, `bounds`, `gate` and `bank build` (with --force over an old file, and with --resume) write all
their outputs over old ones, some of which are missing in every second pair of kills. Half of the kills come after a
random share of the time that the run takes on the processor, half just behind a change in the folders of the outputs,
as temporary files and new names are. Each killed run is a process (`python -m nmcheck`), or with --forks a fork of a
warm one, which spends all its time in the command itself; the run after it is always a fork. Prints what the kills
left, by command and signal, and the failures. Ends in 1 if there is one.

Right is: every file is the old one or the complete new one, banks also a part that --resume goes on with; SIGTERM ends
in 130 with one sentence, leaves no other file, and of a gate's files all are old or all are new; the next run ends as
ever and leaves nothing but the outputs. SIGTERM in the first moments, before Python has read nmcheck, ends in -15.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
# Threads do not survive a fork; these are read when the libraries are loaded.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

from fuzz.killed_runs import COMMANDS, SIGNALS, Kill, Plan, as_fork, as_process, campaign, warm_up_commands  # noqa: E402  # pyright: ignore[reportMissingImports]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=20, help="kills of each command by each signal (default 20)")
    parser.add_argument("--first", type=int, default=0, help="number of the first kill (default 0)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default 0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--command", action="append", choices=COMMANDS, help="command; all are by default")
    parser.add_argument("--forks", action="store_true", help="kill forks of a warm process, not whole processes")
    return parser.parse_args()


def run(seed: int, numbers: Sequence[int], names: Sequence[str], *, forks: bool) -> list[Kill]:
    """The work of one process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("warm", "run"):
            (folder / part).mkdir()
        warm_up_commands(folder / "warm", names)
        kills = []
        for found in campaign(folder / "run", numbers, names, Plan(seed, as_fork if forks else as_process)):
            kills.append(found)
            print(
                described(found) if found.failed else ".", end="\n" if found.failed else "", file=sys.stderr, flush=True
            )
        return kills


def table(kills: Sequence[Kill]) -> None:
    """What the kills left, by command and signal; files are summed over the kills."""
    heads = ("kills", "writing", "old", "new", "no file", "part", "damaged", "left", "left next")
    print(f"{'':30s}" + "".join(f"{head:>10s}" for head in heads) + "  exit codes")
    for name, signal in dict.fromkeys((kill.command, kill.signal) for kill in kills):
        these = [kill for kill in kills if (kill.command, kill.signal) == (name, signal)]
        codes = Counter(kill.code for kill in these)
        row = (
            len(these),
            sum(kill.writing for kill in these),
            sum(kill.old for kill in these),
            sum(kill.new for kill in these),
            sum(kill.absent for kill in these),
            sum(kill.partial for kill in these),
            sum(kill.damaged for kill in these),
            sum(kill.leftovers for kill in these),
            sum(kill.leftovers_next for kill in these),
        )
        ended = ", ".join(f"{code}: {count}" for code, count in sorted(codes.items()))
        print(f"{name:22s}{signal:8s}" + "".join(f"{value:10d}" for value in row) + f"  {ended}")
    print("writing: kills that met a temporary file. old to damaged, left: files.")


def described(kill: Kill) -> str:
    return f"{kill.command} {kill.signal} {kill.number}: {'; '.join(kill.wrong)} {kill.leftovers_next or ''}"


def main() -> None:
    asked = options()
    names = asked.command or list(COMMANDS)
    start, numbers = time.perf_counter(), range(asked.first, asked.first + asked.number)
    # Each a process of its own, for a fork of one that has threads would lose them.
    with ProcessPoolExecutor(asked.jobs, get_context("spawn")) as pool:
        parts = [
            pool.submit(run, asked.seed, numbers[job :: asked.jobs], names, forks=asked.forks)
            for job in range(asked.jobs)
        ]
        kills = [kill for part in parts for kill in part.result()]
    kills.sort(key=lambda kill: (names.index(kill.command), SIGNALS.index(kill.signal)))
    failed = [kill for kill in kills if kill.failed]
    table(kills)
    print(f"failures: {len(failed)}")
    for kill in failed:
        print(f"  {described(kill)}")
    print(f"seed {asked.seed}: {len(kills)} kills, {time.perf_counter() - start:.0f} s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
