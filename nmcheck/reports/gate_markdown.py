"""The gate's decision as Markdown, for a CI system's summary of a run."""

from __future__ import annotations

from nmcheck.reports.gate_table import gate_of
from nmcheck.reports.gate_words import measured, state, threshold, waiver_sentence
from nmcheck.results.report import Report

_MARKS = {"pass": "✅ pass", "fail": "❌ fail", "inconclusive": "⚠️ inconclusive", "waived": "⏸️ waived"}


def gate_markdown(report: Report) -> str:
    """A heading, a table of the checks, and what did not pass in words; ends in a newline."""
    gate = gate_of(report)
    model, data = report.model, report.data
    lines = [
        f"## nmcheck gate: {_MARKS[gate.verdict]}",
        "",
        f"{_text(_capital(gate.reason))}. Exit code {gate.exit_code}.",
        "",
        f"Model {_code(model.path)} (`{model.fingerprint[:16]}`), data {_code(data.name)}: {_text(data.selection)} "
        f"(`{data.sha256[:16]}`), scale {_code(data.scale)}, seed {report.seed}.",
        "",
        "| check | verdict | measured | threshold | demand |",
        "|---|---|---:|---:|---|",
        *(
            f"| {_code(check.id)} | {_MARKS[state(check)]} | {measured(check)} | {threshold(check)} "
            f"| {_text(check.claim)} |"
            for check in gate.checks
        ),
        "",
    ]
    for check in gate.checks:
        if check.verdict != "pass" or check.waiver is not None:
            waiver = waiver_sentence(check)
            said = _text(_capital(check.reason)) + (" " + _text(waiver) if waiver else "")
            lines.append(f"- {_code(check.id)}, {state(check)}: {said}")
            lines += [
                f"  - image {one.index}, label {one.label}, becomes {one.predicted} at distance {one.distance:.4g} "
                f"({_code(one.file)})"
                for one in check.examples
            ]
    lines += [*[""], *(f"> {_text(note)}" for note in (*report.warnings, *report.notes)), ""]
    lines.append(
        f"<sub>{report.tool.name} {report.tool.version}; alpha {gate.alpha:g} for each check that rests on chance</sub>"
    )
    return "\n".join(lines) + "\n"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _text(text: str) -> str:
    """Without signs that Markdown or HTML would take for markup, on one line."""
    joined = " ".join(text.split())
    for sign in "\\`*_{}[]<>#|":
        joined = joined.replace(sign, f"\\{sign}" if sign != "<" else "&lt;")
    return joined


def _code(text: str) -> str:
    return "`" + " ".join(text.split()).replace("`", "'").replace("|", "\\|") + "`"
