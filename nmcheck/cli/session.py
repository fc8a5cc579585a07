"""What one run of the command line carries with it."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nmcheck.checks.options import AnalyzeOptions
    from nmcheck.checks.progress import Progress
    from nmcheck.results.report import Report

Analyze = Callable[["AnalyzeOptions", "Progress"], "Report"]


def _analyze(options: AnalyzeOptions, progress: Progress) -> Report:
    # torch is loaded here, by the command that needs it, and not by --help.
    from nmcheck.checks.analyze import analyze

    return analyze(options, progress)


@dataclass
class Session:
    """The state of one run.

    Attributes:
        debug: show the traceback of an error.
        analyze: the use case behind ``nmcheck analyze``.
    """

    debug: bool = False
    analyze: Analyze = _analyze


SESSION: ContextVar[Session] = ContextVar("nmcheck session")
"""The session of the run going on. (typer would hand its own context to the commands, but not of the declared type.)"""
