"""How every format words a check: its state, its numbers and its waiver."""

from __future__ import annotations

from typing import Literal

from nmcheck.reports.numbers import MISSING
from nmcheck.results.bounds import stated
from nmcheck.results.gate import GateCheck

State = Literal["pass", "fail", "inconclusive", "waived"]
STATE = {"pass": "pass", "fail": "FAIL", "inconclusive": "inconclusive", "waived": "waived"}
"""By state, as tables show it."""


def state(check: GateCheck) -> State:
    """The verdict, or ``waived`` where it does not count."""
    return "waived" if check.waived else check.verdict


def value(check: GateCheck, number: float) -> str:
    """A number of the check: shares of images in percent."""
    return f"{100 * number:.4g} %" if check.kind.endswith("accuracy") else f"{number:.4g}"


def measured(check: GateCheck) -> str:
    """What was measured, with its ends where they differ."""
    found = stated(check.measured, check.measured_reason)
    number = MISSING if found is None else value(check, found)
    if check.low is not None and check.high is not None and check.low < check.high:
        return f"{number} ({value(check, check.low)} to {value(check, check.high)})"
    return number


def threshold(check: GateCheck) -> str:
    """The threshold with its sense."""
    return f"{'≥' if check.sense == 'min' else '≤'} {value(check, check.threshold)}"


def waiver_sentence(check: GateCheck) -> str:
    """What became of the check's waiver; empty without one."""
    if check.waiver is None:
        return ""
    if check.waiver.state == "expired":
        return f"Its waiver expired on {check.waiver.expires} ({check.waiver.reason})."
    if check.verdict == "pass":
        return f"Its waiver (until {check.waiver.expires}) is not needed."
    return f"Waived until {check.waiver.expires}: {check.waiver.reason}"


def what_happened(check: GateCheck) -> str:
    """Verdict, demand, numbers and reason in one sentence, for readers of one line."""
    waiver = waiver_sentence(check)
    numbers = f"measured {measured(check)}, wanted {threshold(check)}"
    return f"{check.claim}: {STATE[state(check)]}, {numbers}. {capital(check.reason)}{' ' + waiver if waiver else ''}"


def capital(text: str) -> str:
    """As a sentence begins."""
    return text[:1].upper() + text[1:]
