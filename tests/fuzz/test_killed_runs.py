"""Commands killed at any moment leave whole files, and the next run leaves nothing else.

A short run of the fuzzer; ``benchmarks/kills.py`` is the long one.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.killed_runs import COMMANDS, SIGNALS

ROOT = Path(__file__).parents[2]
NUMBER, FIRST, SEED = 1, 1, 0
"""Of the kills at a change in the outputs' folders, which meet a run that writes."""
NAMES = ("bounds", "gate")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_killed_at_any_moment_no_file_is_damaged_and_nothing_is_left_in_the_end(tmp_path: Path) -> None:
    pytest.importorskip("PIL.Image", reason="needs Pillow, an optional dependency")
    assert set(NAMES) < set(COMMANDS)
    # A process of its own: this one has threads that a fork would lose.
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests"))),
    }
    words = [sys.executable, "-m", "fuzz.killed_runs", *map(str, (NUMBER, FIRST, SEED, tmp_path)), *NAMES]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(kill["command"], kill["signal"]) for kill in kills] == [(name, one) for name in NAMES for one in SIGNALS]
    assert [kill for kill in kills if kill["wrong"] or kill["leftovers_next"]] == []
    assert {kill["code"] for kill in kills if kill["signal"] == "SIGKILL"} == {-signal.SIGKILL}
