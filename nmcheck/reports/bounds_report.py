"""The report of ``nmcheck bounds`` as tables for a person."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from nmcheck.reports.bounds_table import bounds_tables, domain
from nmcheck.reports.layout import PIPE_WIDTH, draw, new_table, paragraph, reasons, settle
from nmcheck.reports.numbers import significant
from nmcheck.reports.table import report_header
from nmcheck.results.bounds import BoundsEntry
from nmcheck.results.report import Report


def to_bounds_table(report: Report, width: int = PIPE_WIDTH, *, color: bool = False, encoding: str = "utf-8") -> str:
    """The report as text, ending in a newline; arguments as those of ``to_table``."""
    parts: list[RenderableType] = [report_header(report)]
    parts += [Text(f"Warning: {warning}", style="yellow") for warning in report.warnings]
    for entry in report.bounds or ():
        parts += ["", *_images(entry), "", *bounds_tables(entry)]
    parts += ["", *(paragraph(f"Note: {note}") for note in report.notes)]
    return draw(parts, width, color=color, encoding=encoding)


def _images(entry: BoundsEntry) -> list[RenderableType]:
    table = new_table(
        f"Radius of each image in pixel units ({domain(entry)})",
        "image",
        "label",
        "predicted",
        "certified radius",
        "method",
        "adversarial\nexample at",
        "attack",
        names=0,
    )
    for sample in entry.per_sample:
        table.add_row(
            str(sample.index),
            str(sample.label),
            str(sample.predicted) if sample.correct else f"{sample.predicted} (wrong)",
            significant(sample.lower),
            sample.lower_method or "",
            significant(sample.upper),
            sample.upper_method or "",
        )
    return [settle(table), *reasons(entry.per_sample)]
