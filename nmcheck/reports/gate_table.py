"""The gate's checks as a table for a person."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from nmcheck.reports.gate_words import STATE, measured, state, threshold, waiver_sentence
from nmcheck.reports.layout import header, new_table, notes, settle, styled, warnings
from nmcheck.results.gate import GateCheck, GateEntry
from nmcheck.results.report import Report

_STYLES = {"pass": "green", "fail": "red", "inconclusive": "yellow", "waived": "cyan"}


def gate_parts(report: Report, width: int) -> list[RenderableType]:
    """The verdict, its checks and their reasons; arguments as those of ``table.analysis_parts``.

    Raises:
        ValueError: the report is no gate's.
    """
    del width
    gate = gate_of(report)
    parts: list[RenderableType] = [_header(report), "", *warnings(report.warnings)]
    parts += [_table(gate), ""]
    parts += [_reason(check) for check in gate.checks]
    parts += notes(report.notes)
    style = _STYLES["pass" if gate.exit_code == 0 else "fail"]
    return [*parts, "", styled(verdict_line(gate), f"bold {style}")]


def verdict_line(gate: GateEntry) -> str:
    """The decision in one line."""
    return f"Gate: {gate.verdict} ({gate.reason}); exit code {gate.exit_code}"


def gate_of(report: Report) -> GateEntry:
    """The report's decision.

    Raises:
        ValueError: it has none.
    """
    if report.gate is None:
        raise ValueError("this report holds no gate's decision")
    return report.gate


def _header(report: Report) -> RenderableType:
    model, data = report.model, report.data
    rows = (
        ("model", f"{model.path}  ({model.fingerprint[:16]})"),
        ("data", f"{data.name}: {data.selection}  (sha256 {data.sha256[:16]})"),
        ("scale", data.scale),
        *((("noise", report.noise.description),) if report.noise.kind != "isotropic" else ()),
        ("seed", str(report.seed)),
    )
    return header(report.tool, rows)


def _table(gate: GateEntry) -> RenderableType:
    table = new_table("Checks", "check", "verdict", "measured", "threshold", names=1)
    for check in gate.checks:
        mark = state(check)
        table.add_row(check.id, Text(STATE[mark], style=_STYLES[mark]), measured(check), threshold(check))
    return settle(table, 0)


def _reason(check: GateCheck) -> RenderableType:
    waiver = waiver_sentence(check)
    style = _STYLES[state(check)] if state(check) != "pass" else "dim"
    return styled(f"{check.id}: {check.claim}: {check.reason}{' ' + waiver if waiver else ''}", style)
