"""What becomes of hostile and unlucky inputs, area by area: a table of the attacks that the tests make.

    python benchmarks/hostile_inputs.py [--area banks ...]

Runs the tests that attack nmcheck and counts them: each case of a test is an attack; a test that makes many of them, as
the fuzzers do, counts as one. A test has failed if what it asserts of its attack does not hold. Beside that, all
commands that the tests run in their own process are watched (`tests/observed_runs.py`): their exit codes; inputs that
are changed or gone afterwards; control, escape and bidi characters in what they write to the standard streams and into
text files; files opened or changed that are none of the run's. Prints a line an area. Ends in 1 if anything failed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "plugins" / "netron")]
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

import pytest  # noqa: E402
from observed_runs import INTERNAL, Observer, Seen  # noqa: E402  # pyright: ignore[reportMissingImports]

AREAS = {
    "outputs over inputs": ("cli/test_run_files.py", "cli/test_gate_init.py"),
    "banks": (
        "linearize/bank/test_hostile_files.py",
        "linearize/bank/test_hostile_headers.py",
        "linearize/bank/test_store_damage.py",
        "linearize/bank/test_store_locks.py",
        "linearize/bank/test_header.py",
        "checks/test_hostile_banks.py",
    ),
    "pictures": (
        "data/test_hostile_pictures.py",
        "data/test_hostile_folders.py",
        "cli/test_folders_of_pictures.py",
    ),
    "text from outside": (
        "test_outside_text.py",
        "cli/test_hostile_names.py",
        "reports/test_hostile_names.py",
    ),
    "exit codes, streams": (
        "cli/test_streams.py",
        "cli/test_usage_errors.py",
        "cli/test_bad_input.py",
    ),
    "policies, reports": (
        "gate/test_hostile_policies.py",
        "gate/test_hostile_baselines.py",
        "gate/test_policy_file.py",
        "cli/test_hostile_reports.py",
    ),
    "leftovers, signals": (
        "test_temporary.py",
        "test_whole_file.py",
        "test_interruption.py",
        "cli/test_processes.py",
        "cli/test_folders_of_bounds.py",
        "linearize/bank/test_build.py",
        "linearize/bank/test_fresh_file.py",
        "fuzz/test_killed_runs.py",
    ),
    "data files": ("data/test_hostile_npz.py", "data/test_hostile_idx.py", "fuzz/test_mutated_inputs.py"),
    "viewer": ("plugins/netron/test_attacks.py", "plugins/netron/test_server.py", "cli/test_view.py"),
    "downloads": ("data/test_download.py",),
    "models": ("graph/test_bad_files.py", "graph/test_external.py", "fuzz/test_mutated_models.py"),
    "environment, paths": ("cli/test_environment.py", "cli/test_bad_paths.py", "cli/test_outside.py"),
}
"""Test files by area, in the folder ``tests``."""
CODES = (0, 1, 2, 3, 130)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--area", action="append", choices=AREAS, help="area; all are by default")
    return parser.parse_args()


def row(tests: list[Seen]) -> tuple[int, ...]:
    """The numbers of a line."""
    outcomes = Counter(seen.outcome for seen in tests)
    codes = Counter(code for seen in tests for code in seen.codes)
    return (
        len(tests) - outcomes["skipped"],
        outcomes["failed"],
        outcomes["skipped"],
        *(codes[code] for code in CODES),
        sum(count for code, count in codes.items() if code not in CODES),
        sum(len(seen.lost) for seen in tests),
        sum(len(seen.escapes) for seen in tests),
        sum(len(seen.outside) for seen in tests),
    )


def table(tests: dict[str, list[Seen]]) -> None:
    """A line an area."""
    heads = (
        "attacks",
        "failed",
        "skipped",
        *(f"exit {code}" for code in CODES),
        f"{INTERNAL}, else",
        "lost",
        "escapes",
    )
    print(f"{'':22s}" + "".join(f"{head:>9s}" for head in (*heads, "outside")))
    for area, seen in tests.items():
        print(f"{area:22s}" + "".join(f"{number:>9,}" for number in row(seen)))
    print(f"{'all':22s}" + "".join(f"{number:>9,}" for number in row([one for seen in tests.values() for one in seen])))


def main() -> None:
    areas = options().area or list(AREAS)
    start, observer = time.perf_counter(), Observer()
    files = [ROOT / "tests" / file for area in areas for file in AREAS[area]]
    ended = pytest.main(
        ["-q", "-p", "no:cacheprovider", "--no-header", "-o", "timeout=1800", *map(str, files)], plugins=[observer]
    )
    place = {f"tests/{file}": area for area in areas for file in AREAS[area]}
    tests: dict[str, list[Seen]] = {area: [] for area in areas}
    for name, seen in observer.tests.items():
        if seen.outcome:
            tests[place[name.partition("::")[0]]].append(seen)
    table(tests)
    wrong = 0
    for name, seen in observer.tests.items():
        kinds = {"exit code": [code for code in seen.codes if code not in CODES], "lost": seen.lost,
                 "escape": seen.escapes, "outside": seen.outside}  # fmt: skip
        for kind, found in kinds.items():
            wrong += len(found)
            for one in found[:3]:
                print(f"{name}: {kind}: {one!r}")
    print(f"{time.perf_counter() - start:.0f} s")
    sys.exit(1 if wrong or ended != pytest.ExitCode.OK else 0)


if __name__ == "__main__":
    main()
