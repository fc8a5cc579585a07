"""What one run of the command line carries with it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmcheck.cli.viewers import ViewerEntry, installed_viewers

if TYPE_CHECKING:
    from pathlib import Path

    from nmcheck.checks.bank_build import BankPlan
    from nmcheck.checks.bank_options import BankOptions
    from nmcheck.checks.bounds_options import BoundsOptions
    from nmcheck.checks.compare_options import CompareOptions
    from nmcheck.checks.gate.options import GateOptions
    from nmcheck.checks.gate.propose import Proposal
    from nmcheck.checks.gate.run import GateResult
    from nmcheck.checks.options import AnalyzeOptions
    from nmcheck.checks.progress import Progress
    from nmcheck.results.bank import BankInfo, BankVerification
    from nmcheck.results.comparison import Comparison
    from nmcheck.results.inspection import Inspection
    from nmcheck.results.report import Report

Analyze = Callable[["AnalyzeOptions", "Progress"], "Report"]
Bounds = Callable[["BoundsOptions", "Progress"], "Report"]
Compare = Callable[["CompareOptions", "Progress"], "Comparison"]
Inspect = Callable[["Path"], "Inspection"]
Viewers = Callable[[], tuple[ViewerEntry, ...]]
PlanBank = Callable[["BankOptions", "Progress"], "BankPlan"]
BuildBank = Callable[["BankPlan", "Progress"], None]
Gate = Callable[["GateOptions", "Progress"], "GateResult"]
Propose = Callable[["AnalyzeOptions", "Progress"], "Proposal"]


def _analyze(options: AnalyzeOptions, progress: Progress) -> Report:
    # torch is loaded here, by the command that needs it, and not by --help.
    import numpy as np

    from nmcheck.checks.analyze import analyze

    # Infinite and missing numbers are found where they matter; numpy's warnings about them are for nobody.
    with np.errstate(all="ignore"):
        return analyze(options, progress)


def _bounds(options: BoundsOptions, progress: Progress) -> Report:
    import numpy as np

    from nmcheck.checks.bounds_report import bounds

    with np.errstate(all="ignore"):
        return bounds(options, progress)


def _compare(options: CompareOptions, progress: Progress) -> Comparison:
    import numpy as np

    from nmcheck.checks.compare import compare

    with np.errstate(all="ignore"):
        return compare(options, progress)


def _inspect(model: Path) -> Inspection:
    import numpy as np

    from nmcheck.checks.inspect import inspect

    with np.errstate(all="ignore"):
        return inspect(model)


def _plan_bank(options: BankOptions, progress: Progress) -> BankPlan:
    import numpy as np

    from nmcheck.checks.bank_build import plan_bank

    with np.errstate(all="ignore"):
        return plan_bank(options, progress)


def _build_bank(plan: BankPlan, progress: Progress) -> None:
    import numpy as np

    from nmcheck.checks.bank_build import build_bank

    with np.errstate(all="ignore"):
        build_bank(plan, progress)


def _bank_info(file: Path) -> BankInfo:
    from nmcheck.checks.bank_info import bank_info

    return bank_info(file)


def _verify_bank(file: Path, model: Path) -> BankVerification:
    from nmcheck.checks.bank_info import verify_bank

    return verify_bank(file, model)


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
        bounds: the use case behind ``nmcheck bounds``.
        compare: the use case behind ``nmcheck compare``.
        inspect: the use case behind ``nmcheck inspect``.
        viewers: the viewers that ``nmcheck view`` can choose from.
        plan_bank: what ``nmcheck bank build`` does before it says what the bank costs.
        build_bank: what it does then.
        bank_info: the use case behind ``nmcheck bank info``.
        verify_bank: the use case behind ``nmcheck bank verify``.
        gate: the use case behind ``nmcheck gate``.
        propose: the use case behind ``nmcheck gate --init``.
        today: the day waivers are compared with, in UTC.
    """

    debug: bool = False
    analyze: Analyze = _analyze
    bounds: Bounds = _bounds
    compare: Compare = _compare
    inspect: Inspect = _inspect
    viewers: Viewers = installed_viewers
    plan_bank: PlanBank = _plan_bank
    build_bank: BuildBank = _build_bank
    bank_info: Callable[[Path], BankInfo] = _bank_info
    verify_bank: Callable[[Path, Path], BankVerification] = _verify_bank
    gate: Gate = _gate
    propose: Propose = _propose
    today: Callable[[], dt.date] = _today


SESSION: ContextVar[Session] = ContextVar("nmcheck session")
"""The session of the run going on. (typer would hand its own context to the commands, but not of the declared type.)"""
