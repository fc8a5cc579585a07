"""Does any damaged model file make nmcheck hang, take 2 GB, crash, or end in anything but a report or a sentence?

    python benchmarks/fuzz_models.py --files 5000 --seed 0 [--keep FOLDER]

Each file is damaged in a way that depends on the seed and its number alone, inspected, and, one in five, analysed, in a
fork of a warm process that may map 2 GB more and is killed after 20 s. Prints the outcomes by kind of damage, the
slowest files, the largest memory and the failures. Ends in 1 if there is one.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
# Threads do not survive a fork; these are read when the libraries are loaded.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

from fuzz.campaign import Entry, campaign  # noqa: E402  # pyright: ignore[reportMissingImports]
from fuzz.forked_run import warm_up  # noqa: E402  # pyright: ignore[reportMissingImports]
from fuzz.seed_models import corpus  # noqa: E402  # pyright: ignore[reportMissingImports]

FOLDERS = (ROOT / "sample_models", ROOT.parent / "shared" / "models")
SHOWN = 5
PROGRESS = 500


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=5000, help="how many files to damage (default 5000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first file (default 0)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the damage (default 0)")
    parser.add_argument("--every", type=int, default=5, help="analyse one file in so many (default 5)")
    parser.add_argument("--keep", type=Path, help="folder for the files that make nmcheck fail")
    return parser.parse_args()


def table(entries: list[Entry]) -> None:
    """Outcomes by kind of damage and command."""
    outcomes = sorted({entry.run.outcome for entry in entries})
    print(f"{'':24s}" + "".join(f"{outcome:>20s}" for outcome in outcomes))
    for command in ("inspect", "analyze"):
        chosen = [entry for entry in entries if entry.command == command]
        if not chosen:
            continue
        print(f"{command}")
        for kind in [*dict.fromkeys(entry.kind for entry in chosen), "all"]:
            counts = Counter(entry.run.outcome for entry in chosen if kind in (entry.kind, "all"))
            print(f"  {kind:22s}" + "".join(f"{counts[outcome] or '':>20}" for outcome in outcomes))


def extremes(entries: list[Entry]) -> None:
    """The slowest files and the largest."""
    for command in ("inspect", "analyze"):
        chosen = [entry for entry in entries if entry.command == command]
        if not chosen:
            continue
        mean = sum(entry.run.seconds for entry in chosen) / len(chosen)
        busy = sum(entry.run.busy for entry in chosen) / len(chosen)
        print(
            f"{command}: {len(chosen)} runs of {1e3 * mean:.0f} ms on average, {1e3 * busy:.0f} ms on the processor; "
            "the slowest and the largest:"
        )
        slowest = sorted(chosen, key=lambda entry: -entry.run.busy)[:SHOWN]
        for entry in [*slowest, *sorted(chosen, key=lambda entry: -entry.run.grown)[:SHOWN]]:
            run = entry.run
            print(f"  {run.seconds:7.2f} s ({run.busy:.2f} s) {run.grown / 1e6:7.0f} MB  {described(entry)}")


def described(entry: Entry) -> str:
    return (
        f"{entry.number}: {entry.command} {entry.origin}, {entry.kind}: {entry.run.outcome} {entry.run.message[:220]}"
    )


def main() -> None:
    asked = options()
    seeds = corpus(FOLDERS)
    warm_up()
    start, entries = time.perf_counter(), []
    numbers = range(asked.first, asked.first + asked.files)
    with tempfile.TemporaryDirectory() as folder:
        for entry in campaign(seeds, asked.seed, numbers, every=asked.every, folder=Path(folder), keep=asked.keep):
            entries.append(entry)
            if entry.command == "inspect" and (entry.number - asked.first) % PROGRESS == PROGRESS - 1:
                print(f"{entry.number + 1} files, {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
            if entry.run.failed:
                print(described(entry), file=sys.stderr, flush=True)
    seconds = time.perf_counter() - start
    failed = [entry for entry in entries if entry.run.failed]
    table(entries)
    extremes(entries)
    print(f"failures: {len(failed)}")
    for entry in failed:
        print(f"  {described(entry)}")
    print(
        f"seed {asked.seed}: {asked.files} files of {len({seed.name for seed in seeds})} models, {len(entries)} runs, "
        f"{seconds:.0f} s, {1e3 * seconds / max(1, asked.files):.0f} ms a file"
    )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
