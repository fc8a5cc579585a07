"""From checks to the gate's decision: waivers first, then the verdict and the exit code."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from nmcheck.checks.gate.policy import Policy, Waiver
from nmcheck.counting import counted
from nmcheck.results import GateBaseline, GateCheck, GateEntry, GateWaiver
from nmcheck.results.gate import Verdict

PASSED, FAILED = 0, 1


def with_waivers(checks: Sequence[GateCheck], waivers: Sequence[Waiver], today: dt.date) -> tuple[GateCheck, ...]:
    """The checks with their waivers: one for a check of every class covers all its classes."""
    by_id = {waiver.id: waiver for waiver in waivers}
    found: list[GateCheck] = []
    for check in checks:
        waiver = by_id.get(check.id) or by_id.get(check.id.rpartition("/class-")[0])
        if waiver is None:
            found.append(check)
            continue
        state: Literal["valid", "expired"] = "valid" if today <= waiver.expires else "expired"
        entry = GateWaiver(reason=waiver.reason, expires=waiver.expires.isoformat(), state=state)
        found.append(replace(check, waiver=entry))
    return tuple(found)


def decide(
    checks: tuple[GateCheck, ...],
    policy: Policy,
    *,
    on_inconclusive: Literal["pass", "fail"],
    baseline: GateBaseline | None,
) -> GateEntry:
    """The verdict, and what the process ends in."""
    failing = [check for check in checks if check.verdict == "fail" and not check.waived]
    unclear = [check for check in checks if check.verdict == "inconclusive" and not check.waived]
    waived = sum(check.waived for check in checks)
    verdict: Verdict = "fail" if failing else "inconclusive" if unclear else "pass"
    code = FAILED if failing or (unclear and on_inconclusive == "fail") else PASSED
    parts = [
        *([f"{counted(len(failing), 'check')} of {len(checks)} failed: {_names(failing)}"] if failing else []),
        *([f"{counted(len(unclear), 'check')} inconclusive: {_names(unclear)}"] if unclear else []),
        *([_all_passed(len(checks)) if not waived else "no check counts against it"] if verdict == "pass" else []),
        *([f"{waived} waived"] if waived else []),
    ]
    if verdict == "inconclusive":
        parts.append(f"which counts as a {on_inconclusive} (--on-inconclusive)")
    return GateEntry(
        verdict=verdict,
        exit_code=code,
        on_inconclusive=on_inconclusive,
        reason="; ".join(parts),
        policy_sha256=policy.sha256,
        alpha=policy.alpha,
        baseline=baseline,
        checks=checks,
    )


def waiver_notes(checks: Sequence[GateCheck]) -> tuple[str, ...]:
    """What a reader of waivers should know, a sentence each."""
    notes: list[str] = []
    for check in checks:
        if check.waiver is None:
            continue
        if check.waiver.state == "expired":
            what = "which passes all the same" if check.verdict == "pass" else "so the check counts again"
            notes.append(f"The waiver of {check.id} expired on {check.waiver.expires}, {what}; remove or renew it.")
        elif check.verdict == "pass":
            notes.append(f"The waiver of {check.id} is not needed: the check passes; remove it.")
    return tuple(notes)


def _all_passed(number: int) -> str:
    return "the check passed" if number == 1 else f"all {number} checks passed"


def _names(checks: Sequence[GateCheck], most: int = 5) -> str:
    names = [check.id for check in checks]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
