"""In which format a report is wanted, and what its tables are drawn on."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from enum import StrEnum


class Format(StrEnum):
    """``--format``."""

    TABLE = "table"
    JSON = "json"


@dataclass(frozen=True)
class Canvas:
    """What tables are drawn on.

    Attributes:
        width: columns to use.
        color: whether it shows terminal colours.
        encoding: of the text.
    """

    width: int
    color: bool
    encoding: str


def canvas(*, to_file: bool) -> Canvas:
    """The canvas of a file, or of standard output: a terminal's own width and colours, a fixed width in a pipe."""
    from nmcheck.reports.layout import PIPE_WIDTH

    if to_file:
        return Canvas(PIPE_WIDTH, color=False, encoding="utf-8")
    terminal = sys.stdout.isatty()
    return Canvas(
        width=shutil.get_terminal_size().columns if terminal else PIPE_WIDTH,
        color=terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
        encoding=sys.stdout.encoding or "utf-8",
    )
