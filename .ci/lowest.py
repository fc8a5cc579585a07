"""The lowest versions that pyproject.toml allows, as the constraints file ``.ci/lowest.txt``.

    python .ci/lowest.py                # write .ci/lowest.txt
    python .ci/lowest.py --check        # exit code 1 if it says something else than pyproject.toml
    python .ci/lowest.py --list         # print what this environment has of it
    python .ci/lowest.py --installed    # the same; exit code 1 if that is not the lowest

Constraints are for pip's ``-c``: they say which version is taken of what is installed anyway. What a dependency needs
in turn is left to pip, which takes the newest.
"""

import argparse
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
LOWEST = Path(__file__).with_suffix(".txt")
EXTRAS = ("images", "view", "dask", "test")
"""The extras whose lower bounds are kept: all but ``dev``, whose other tools run on the newest dependencies only."""
_HEADER = """\
# The lowest versions that pyproject.toml allows of what nmcheck and its short suite import directly, for Python 3.11.
# Written by .ci/lowest.py; change pyproject.toml and run it again.
"""


def requirements() -> list[Requirement]:
    """The direct dependencies: those of a plain install, then those of the extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in EXTRAS for line in project["optional-dependencies"][extra])]
    return [Requirement(line) for line in lines]


def lower_bound(requirement: Requirement) -> Version:
    """The lowest version that a requirement allows.

    Raises:
        SystemExit: it names none, or several.
    """
    bounds = [part.version for part in requirement.specifier if part.operator in (">=", "==")]
    if len(bounds) != 1:
        raise SystemExit(f"pyproject.toml: '{requirement}' has {len(bounds)} lower bounds; give it one, by >= or ==.")
    return Version(bounds[0])


def constraints() -> str:
    """The text of the constraints file.

    Raises:
        SystemExit: a requirement has no lower bound.
    """
    lines = sorted(
        f"{requirement.name}=={lower_bound(requirement)}" + (f" ; {requirement.marker}" if requirement.marker else "")
        for requirement in requirements()
    )
    return _HEADER + "".join(f"{line}\n" for line in lines)


def show_installed() -> bool:
    """Print the lowest and the installed version of every direct dependency; whether they are the same throughout.

    What a marker rules out on this machine is passed over.
    """
    wanted = [each for each in requirements() if each.marker is None or each.marker.evaluate()]
    same = True
    print(f"{'dependency':<16}  {'lowest':>9}  installed")
    for requirement in wanted:
        lowest = lower_bound(requirement)
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            installed = "none"
        # The part after a plus sign names a build of the same version: torch 2.13.0+cpu.
        differs = installed == "none" or Version(Version(installed).public) != lowest
        same = same and not differs
        print(f"{requirement.name:<16}  {lowest!s:>9}  {installed}{'   above the lowest' if differs else ''}")
    return same


def main() -> int:
    """Write, compare or show; the exit code."""
    parser = argparse.ArgumentParser(description="The lowest versions that pyproject.toml allows.")
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--check", action="store_true", help="compare .ci/lowest.txt with pyproject.toml")
    asked.add_argument("--list", action="store_true", help="print the lowest and the installed versions")
    asked.add_argument(
        "--installed", action="store_true", help="the same, and fail if the installed are not the lowest"
    )
    options = parser.parse_args()
    if options.list or options.installed:
        same = show_installed()
        return 1 if options.installed and not same else 0
    text = constraints()
    if not options.check:
        LOWEST.write_text(text)
        return 0
    if not LOWEST.exists() or LOWEST.read_text() != text:
        print(".ci/lowest.txt is not what pyproject.toml says; run: python .ci/lowest.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
