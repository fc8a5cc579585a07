"""Damaged model files never hang, take much memory, crash or end in anything but a report or a sentence.

A short run of the fuzzer; ``benchmarks/fuzz_models.py`` is the long one.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from fuzz.campaign import KINDS

ROOT = Path(__file__).parents[2]
FILES, SEED, EVERY = 100, 1, 20


def test_no_damaged_file_makes_nmcheck_fail(tmp_path):
    # A process of its own: this one has threads that a fork would lose.
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
    }
    words = [sys.executable, "-m", "fuzz.campaign", str(FILES), str(SEED), str(EVERY), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    assert {entry["kind"] for entry in entries if entry["command"] == "inspect"} == set(KINDS)
    assert {entry["number"] for entry in entries} == set(range(FILES))
    assert any(entry["command"] == "analyze" and entry["run"]["outcome"] == "exit 0" for entry in entries)
    allowed = ("exit 0", "exit 2", "exit 3")
    assert [entry for entry in entries if entry["run"]["outcome"] not in allowed] == []
