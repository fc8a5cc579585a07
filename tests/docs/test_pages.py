"""Pages that are made of the code are those of today's code."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_pages_are_those_that_docs_make_writes():
    words = [sys.executable, str(ROOT / "docs" / "make.py"), "--check"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), "run: python docs/make.py"
