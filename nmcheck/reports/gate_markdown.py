"""The gate's decision as Markdown, for a CI system's summary of a run."""

from __future__ import annotations

from nmcheck.reports.gate_table import gate_of
from nmcheck.reports.gate_words import capital, measured, state, threshold, waiver_sentence
from nmcheck.reports.markdown import code, plain_text
from nmcheck.results.report import Report

_MARKS = {"pass": "✅ pass", "fail": "❌ fail", "inconclusive": "⚠️ inconclusive", "waived": "⏸️ waived"}


def gate_markdown(report: Report) -> str:
    """A heading, a table of the checks, and what did not pass in words; ends in a newline."""
    gate = gate_of(report)
    model, data = report.model, report.data
    lines = [
        f"## nmcheck gate: {_MARKS[gate.verdict]}",
        "",
        f"{plain_text(capital(gate.reason))}. Exit code {gate.exit_code}.",
        "",
        f"Model {code(model.path)} (`{model.fingerprint[:16]}`), data {code(data.name)}: {plain_text(data.selection)} "
        f"(`{data.sha256[:16]}`), scale {code(data.scale)}, seed {report.seed}.",
        "",
        "| check | verdict | measured | threshold | demand |",
        "|---|---|---:|---:|---|",
        *(
            f"| {code(check.id)} | {_MARKS[state(check)]} | {measured(check)} | {threshold(check)} "
            f"| {plain_text(check.claim)} |"
            for check in gate.checks
        ),
        "",
    ]
    for check in gate.checks:
        if check.verdict != "pass" or check.waiver is not None:
            waiver = waiver_sentence(check)
            said = plain_text(capital(check.reason)) + (" " + plain_text(waiver) if waiver else "")
            lines.append(f"- {code(check.id)}, {state(check)}: {said}")
            lines += [
                f"  - image {one.index}, label {one.label}, becomes {one.predicted} at distance {one.distance:.4g} "
                f"({code(one.file)})"
                for one in check.examples
            ]
    lines += [*[""], *(f"> {plain_text(note)}" for note in (*report.warnings, *report.notes)), ""]
    lines.append(
        f"<sub>{report.tool.name} {report.tool.version}; alpha {gate.alpha:g} for each check that rests on chance</sub>"
    )
    return "\n".join(lines) + "\n"
