"""The report of ``nmcheck bounds`` as tables for a person."""

from __future__ import annotations

from rich.console import RenderableType

from nmcheck.reports.bounds_domain import domain
from nmcheck.reports.bounds_table import bounds_tables
from nmcheck.reports.layout import new_table, notes, paragraph, reasons, settle, warnings
from nmcheck.reports.numbers import significant
from nmcheck.reports.table import report_header
from nmcheck.results.bounds import BoundsEntry, stated
from nmcheck.results.report import Report


def bounds_parts(report: Report, width: int) -> list[RenderableType]:
    """What a report of ``nmcheck bounds`` shows; arguments as those of ``table.analysis_parts``."""
    del width
    parts: list[RenderableType] = [report_header(report), *warnings(report.warnings)]
    for entry in report.bounds or ():
        parts += ["", *_images(entry), "", *bounds_tables(entry), "", *_accuracy(entry)]
    return [*parts, *notes(report.notes)]


def _accuracy(entry: BoundsEntry) -> list[RenderableType]:
    if not entry.accuracy:
        return []
    attacks = ", ".join(entry.attack)
    table = new_table(f"Accuracy under any change of that norm ({domain(entry)})", "epsilon", "certified", "attacked")
    for point in entry.accuracy:
        table.add_row(f"{point.epsilon:g}", f"{100 * point.certified:.1f} %", f"{100 * point.attacked:.1f} %")
    return [
        settle(table, 0),
        "",
        paragraph(
            "Of all images. certified: correct, and no change of that norm can alter it; attacked: correct, and no "
            + (f"adversarial example was found by {attacks}. " if attacks else "attack was run. ")
            + "The accuracy under the worst change lies between the two."
        ),
    ]


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
            significant(stated(sample.lower, sample.lower_reason)),
            sample.lower_method or "",
            significant(sample.upper),
            sample.upper_method or "",
        )
    return [settle(table), *reasons(entry.per_sample)]
