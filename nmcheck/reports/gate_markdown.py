"""The gate's decision as Markdown, for a CI system's summary of a run.

All texts of the report are made Markdown before anything is written; names that stand as code are taken from the report
as it was.
"""

from __future__ import annotations

from nmcheck.outside_text import code, markdown
from nmcheck.reports.gate_table import gate_of
from nmcheck.reports.gate_words import capital, measured, state, threshold, waiver_sentence
from nmcheck.results.record import with_texts
from nmcheck.results.report import Report

_MARKS = {"pass": "✅ pass", "fail": "❌ fail", "inconclusive": "⚠️ inconclusive", "waived": "⏸️ waived"}


def gate_markdown(report: Report) -> str:
    """A heading, a table of the checks, and what did not pass in words; ends in a newline."""
    raw, report = report, with_texts(report, markdown)
    gate, data = gate_of(report), report.data
    ids = [code(check.id) for check in gate_of(raw).checks]
    lines = [
        f"## nmcheck gate: {_MARKS[gate.verdict]}",
        "",
        f"{capital(gate.reason)}. Exit code {gate.exit_code}.",
        "",
        f"Model {code(raw.model.path)} (`{report.model.fingerprint[:16]}`), data {code(raw.data.name)}: "
        f"{data.selection} (`{data.sha256[:16]}`), scale {code(raw.data.scale)}, seed {report.seed}.",
        "",
        "| check | verdict | measured | threshold | demand |",
        "|---|---|---:|---:|---|",
        *(
            f"| {name} | {_MARKS[state(check)]} | {measured(check)} | {threshold(check)} | {check.claim} |"
            for name, check in zip(ids, gate.checks, strict=True)
        ),
        "",
    ]
    for name, check in zip(ids, gate.checks, strict=True):
        if check.verdict != "pass" or check.waiver is not None:
            waiver = waiver_sentence(check)
            said = capital(check.reason) + (" " + waiver if waiver else "")
            lines.append(f"- {name}, {state(check)}: {said}")
            lines += [
                f"  - image {one.index}, label {one.label}, becomes {one.predicted} at distance {one.distance:.4g} "
                f"({code(one.file)})"
                for one in check.examples
            ]
    lines += [*[""], *(f"> {note}" for note in (*report.warnings, *report.notes)), ""]
    lines.append(
        f"<sub>{report.tool.name} {report.tool.version}; alpha {gate.alpha:g} for each check that rests on chance</sub>"
    )
    return "\n".join(lines) + "\n"
