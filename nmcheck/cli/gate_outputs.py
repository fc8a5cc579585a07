"""What a gate leaves behind: files, the console, and what a CI system reads of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nmcheck.cli.messages import annotate_log, say, warn
from nmcheck.cli.output import all_written, append_text, write_stdout
from nmcheck.cli.rendering import RENDERERS, Format, canvas, references

if TYPE_CHECKING:
    import numpy as np

    from nmcheck.checks.gate.run import GateResult
    from nmcheck.results.report import Report

STDOUT = Path("-")
"""A file name that means standard output."""
SUMMARY = "GITHUB_STEP_SUMMARY"


def write_reports(
    result: GateResult,
    wanted: Mapping[str, Path],
    output_format: str,
    output: Path | None,
    examples: Path | None,
    *,
    quiet: bool,
) -> None:
    """Write the files, all or none, append the summary, and show the rest.

    Args:
        result: the gate's.
        wanted: files by format; ``-`` is standard output.
        output_format: of what is shown.
        output: where that goes instead of standard output.
        examples: folder for adversarial examples.
        quiet: whether warnings are left out.

    Raises:
        OutputError: something cannot be written.
    """
    from nmcheck.reports.gate_table import gate_of, verdict_line

    report = result.report
    files: dict[Path, bytes] = {path: render(kind, result) for kind, path in wanted.items()}
    to_stdout = files.pop(STDOUT, None)
    if examples is not None:
        files |= {examples / name: _npy(array) for name, array in result.examples.items()}
    shown = render(output_format, result, to_file=output is not None)
    if output is not None and output != STDOUT:
        files[output] = shown
        shown = b""
    on_console = to_stdout is None and shown and output_format == "table"
    with all_written(files):
        # What fails here leaves the older files as they were.
        write_stdout((to_stdout if to_stdout is not None else shown).decode())
        summary = os.environ.get(SUMMARY)
        if summary:
            append_text(Path(summary), render("markdown", result).decode(), SUMMARY)
    # The verdict is on the console whatever else goes there.
    if not on_console:
        say(verdict_line(gate_of(report)))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        _annotate(report)
    if not quiet:
        for warning in report.warnings if not on_console else ():
            warn(warning)


def render(kind: str, result: GateResult, *, to_file: bool = True) -> bytes:
    """One format of a decision, in UTF-8, of letters that where it goes can show."""
    report, paper = result.report, canvas(to_file=to_file)
    if kind == "junit":
        from nmcheck.reports.gate_junit import gate_junit

        return gate_junit(report)
    if kind == "sarif":
        from nmcheck.reports.gate_sarif import gate_sarif

        return gate_sarif(report).encode()
    if kind == "markdown":
        from nmcheck.reports.gate_markdown import gate_markdown

        return references(gate_markdown(report), paper.encoding).encode()
    if kind == "html":
        from nmcheck.reports.html.page import to_html

        return references(to_html(report, result.pictures), paper.encoding).encode()
    from nmcheck.reports.gate_table import gate_parts

    return RENDERERS[Format(kind)](report, gate_parts, paper).encode()


def _npy(array: np.ndarray) -> bytes:
    from io import BytesIO

    import numpy as np

    file = BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _annotate(report: Report) -> None:
    """A line for GitHub about each check that does not pass, on standard error."""
    from nmcheck.reports.gate_table import gate_of
    from nmcheck.reports.gate_words import state, what_happened

    levels: dict[str, Literal["error", "warning"]] = {"fail": "error", "inconclusive": "warning"}
    for check in gate_of(report).checks:
        level = levels.get(state(check))
        if level is not None:
            annotate_log(level, what_happened(check), file=report.model.path, title=f"nmcheck {check.id}")
