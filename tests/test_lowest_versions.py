"""The constraints file with the lowest versions says what pyproject.toml says."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / ".ci" / "lowest.py"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_file_agrees_with_the_project() -> None:
    checked = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_every_dependency_has_its_lowest_version_in_the_file() -> None:
    names = {re.split(r"[^\w-]", line, maxsplit=1)[0] for line in PROJECT["dependencies"]}
    kept = {line.partition("==")[0] for line in SCRIPT.with_suffix(".txt").read_text().splitlines()}
    assert names <= kept
    assert {"netron", "pillow", "distributed"} <= kept


def test_torch_is_one_release_wherever_it_is_named() -> None:
    pinned = next(line for line in PROJECT["dependencies"] if line.startswith("torch"))
    named = re.findall(
        r"torch==[\w.]+", "".join((ROOT / path).read_text() for path in ("README.md", ".ci/run", ".ci/lowest.txt"))
    )
    assert len(named) > 3
    assert set(named) == {pinned}


def test_the_range_of_python_is_the_one_the_readme_states() -> None:
    stated = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"])
    assert stated
    versions = range(int(stated[1]), int(stated[2]))
    assert f"Python 3.{versions[0]} to 3.{versions[-1]}" in (ROOT / "README.md").read_text()
    named = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line]
    assert named == [f"3.{version}" for version in versions]
