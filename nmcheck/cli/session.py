"""What one run of the command line carries with it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from nmcheck.checks.gate.options import GateOptions
    from nmcheck.checks.gate.propose import Proposal
    from nmcheck.checks.gate.run import GateResult
    from nmcheck.checks.options import AnalyzeOptions
    from nmcheck.checks.progress import Progress
    from nmcheck.results.inspection import Inspection
    from nmcheck.results.report import Report

Analyze = Callable[["AnalyzeOptions", "Progress"], "Report"]
Inspect = Callable[["Path"], "Inspection"]
Gate = Callable[["GateOptions", "Progress"], "GateResult"]
Propose = Callable[["AnalyzeOptions", "Progress"], "Proposal"]


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


def _gate(options: GateOptions, progress: Progress) -> GateResult:
    import numpy as np

    from nmcheck.checks.gate.run import gate

    with np.errstate(all="ignore"):
        return gate(options, progress)


def _propose(options: AnalyzeOptions, progress: Progress) -> Proposal:
    import numpy as np

    from nmcheck.checks.gate.propose import propose

    with np.errstate(all="ignore"):
        return propose(options, progress)


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


@dataclass
class Session:
    """The state of one run.

    Attributes:
        debug: show the traceback of an error.
        analyze: the use case behind ``nmcheck analyze``.
        inspect: the use case behind ``nmcheck inspect``.
        gate: the use case behind ``nmcheck gate``.
        propose: the use case behind ``nmcheck gate --init``.
        today: the day waivers are compared with, in UTC.
    """

    debug: bool = False
    analyze: Analyze = _analyze
    inspect: Inspect = _inspect
    gate: Gate = _gate
    propose: Propose = _propose
    today: Callable[[], dt.date] = _today


SESSION: ContextVar[Session] = ContextVar("nmcheck session")
"""The session of the run going on. (typer would hand its own context to the commands, but not of the declared type.)"""
