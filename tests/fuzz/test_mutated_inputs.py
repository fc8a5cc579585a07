"""A changed byte of a bank, report, policy, archive or picture never ends in anything but a report or a sentence.

A short run of the fuzzer; ``benchmarks/mutations.py`` is the long one.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.mutated_inputs import CODES, KINDS

ROOT = Path(__file__).parents[2]
NUMBER, SEED = 32, 1


def test_no_changed_byte_makes_nmcheck_fail(tmp_path):
    pytest.importorskip("PIL.Image", reason="needs Pillow, an optional dependency")
    pytest.importorskip("netron", reason="needs Netron, an optional dependency")
    # A process of its own: this one has threads that a fork would lose.
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "plugins" / "netron"))),
    }
    words = [sys.executable, "-m", "fuzz.mutated_inputs", str(NUMBER), str(SEED), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(entry["kind"], entry["number"]) for entry in entries] == [(k, n) for k in KINDS for n in range(NUMBER)]
    # Both ends are reached: what is damaged is told, and what does not matter is passed over.
    for kind in KINDS:
        assert {"exit 0"} < {entry["run"]["outcome"] for entry in entries if entry["kind"] == kind}
    assert [entry for entry in entries if entry["run"]["outcome"] not in CODES[entry["kind"]]] == []
