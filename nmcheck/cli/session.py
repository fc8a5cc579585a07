"""What one run of the command line carries with it."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

from nmcheck.cli.viewers import installed_viewers

if TYPE_CHECKING:
    from pathlib import Path

    from nmcheck.checks.options import AnalyzeOptions
    from nmcheck.checks.progress import Progress
    from nmcheck.results.inspection import Inspection
    from nmcheck.results.report import Report

Analyze = Callable[["AnalyzeOptions", "Progress"], "Report"]
Inspect = Callable[["Path"], "Inspection"]
Viewers = Callable[[], tuple[EntryPoint, ...]]


def _analyze(options: AnalyzeOptions, progress: Progress) -> Report:
    # torch is loaded here, by the command that needs it, and not by --help.
    import numpy as np

    from nmcheck.checks.analyze import analyze

    # Infinite and missing numbers are found where they matter; numpy's warnings about them are for nobody.
    with np.errstate(all="ignore"):
        return analyze(options, progress)


def _inspect(model: Path) -> Inspection:
    import numpy as np

    from nmcheck.checks.inspect import inspect

    with np.errstate(all="ignore"):
        return inspect(model)


@dataclass
class Session:
    """The state of one run.

    Attributes:
        debug: show the traceback of an error.
        analyze: the use case behind ``nmcheck analyze``.
        inspect: the use case behind ``nmcheck inspect``.
        viewers: the viewers that ``nmcheck view`` can choose from.
    """

    debug: bool = False
    analyze: Analyze = _analyze
    inspect: Inspect = _inspect
    viewers: Viewers = installed_viewers


SESSION: ContextVar[Session] = ContextVar("nmcheck session")
"""The session of the run going on. (typer would hand its own context to the commands, but not of the declared type.)"""
