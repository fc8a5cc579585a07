"""Does a changed byte in anything nmcheck reads beside models make it hang, take 2 GB, crash, or write elsewhere?

    python benchmarks/mutations.py --number 2000 --seed 0 [--jobs N] [--kind bank ...] [--keep FOLDER]

A bank, a report (as a baseline, in annotate and in the viewer), a policy, an npz archive and a PNG file: one byte of
each is another one, and the commands that read it run in a fork of a warm process that may map 2 GB more and is killed
after 20 s. Prints the outcomes by kind of file and command, the slowest, the largest and the failures. Ends in 1 if
there is one. Exit code 1 is right where a changed policy or baseline asks for more than the model has.
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
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "plugins" / "netron")]
# Threads do not survive a fork; these are read when the libraries are loaded.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

from fuzz.mutated_inputs import CODES, KINDS, Entry, campaign, warm_up_readers  # noqa: E402  # pyright: ignore[reportMissingImports]

SHOWN = 5


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=2000, help="changes of each kind of file (default 2000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first change (default 0)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the changes (default 0)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--kind", action="append", choices=KINDS, help="kind of file; all are by default")
    parser.add_argument("--keep", type=Path, help="folder for the files that make nmcheck fail")
    return parser.parse_args()


def run(seed: int, numbers: Sequence[int], kinds: Sequence[str], keep: Path | None) -> list[Entry]:
    """The work of one process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("warm", "run"):
            (folder / part).mkdir()
        warm_up_readers(folder / "warm")
        return list(campaign(folder / "run", seed, numbers, kinds, keep))


def table(entries: Sequence[Entry]) -> None:
    """Outcomes by kind of file and command."""
    outcomes = sorted({entry.run.outcome for entry in entries})
    print(f"{'':24s}" + "".join(f"{outcome:>12s}" for outcome in outcomes))
    for kind, command in dict.fromkeys((entry.kind, entry.command) for entry in entries):
        counts = Counter(entry.run.outcome for entry in entries if (entry.kind, entry.command) == (kind, command))
        print(f"{kind:8s}{command:16s}" + "".join(f"{counts[outcome] or '':>12}" for outcome in outcomes))
    counts = Counter(entry.run.outcome for entry in entries)
    print(f"{'all':24s}" + "".join(f"{counts[outcome]:>12}" for outcome in outcomes))


def extremes(entries: Sequence[Entry]) -> None:
    """The slowest and the largest."""
    print("the slowest and the largest:")
    slowest = sorted(entries, key=lambda entry: -entry.run.busy)[:SHOWN]
    for entry in [*slowest, *sorted(entries, key=lambda entry: -entry.run.grown)[:SHOWN]]:
        found = entry.run
        print(f"  {found.seconds:7.2f} s ({found.busy:.2f} s) {found.grown / 1e6:7.0f} MB  {described(entry)}")


def described(entry: Entry) -> str:
    return f"{entry.kind} {entry.number}: {entry.command}: {entry.run.outcome} {entry.run.message[:200]}"


def main() -> None:
    asked = options()
    kinds = asked.kind or KINDS
    start, numbers = time.perf_counter(), range(asked.first, asked.first + asked.number)
    # Each a process of its own, for a fork of one that has threads would lose them.
    with ProcessPoolExecutor(asked.jobs, get_context("spawn")) as pool:
        parts = [
            pool.submit(run, asked.seed, numbers[job :: asked.jobs], kinds, asked.keep) for job in range(asked.jobs)
        ]
        entries = sorted(
            (entry for part in parts for entry in part.result()), key=lambda entry: kinds.index(entry.kind)
        )
    failed = [entry for entry in entries if entry.run.outcome not in CODES[entry.kind]]
    table(entries)
    extremes(entries)
    print(f"failures: {len(failed)}")
    for entry in failed:
        print(f"  {described(entry)}")
    print(f"seed {asked.seed}: {len(entries)} changes, {time.perf_counter() - start:.0f} s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
