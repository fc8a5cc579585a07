"""The report of ``nmcheck analyze`` as tables for a person."""

from __future__ import annotations

from rich.console import RenderableType
from rich.panel import Panel

from nmcheck.counting import counted
from nmcheck.reports.bounds_table import bounds_tables
from nmcheck.reports.cuts_table import cuts_table
from nmcheck.reports.flips_table import flips_tables
from nmcheck.reports.layout import header, notes, paragraph, warnings
from nmcheck.reports.moments_table import moments_tables
from nmcheck.reports.normalization_table import normalization_table
from nmcheck.reports.numbers import classes, percent, significant
from nmcheck.results.report import Report

SCALE_SOURCES = {
    "option": "from --scale",
    "metadata": "stated in the model's metadata",
    "default": "assumed: neither --scale nor the model's metadata say",
}


def analysis_parts(report: Report, width: int) -> list[RenderableType]:
    """What a report of ``nmcheck analyze`` shows.

    Args:
        report: what to show.
        width: columns there are: engines stand side by side if they fit.
    """
    parts: list[RenderableType] = [report_header(report), *warnings(report.warnings), ""]
    parts += [*_moments(report, width), "", *_bounds(report), "", *normalization_table(report)]
    return [*parts, *notes(report.notes)]


def report_header(report: Report) -> Panel:
    """What was analysed, in a frame."""
    model, data, check = report.model, report.data, report.consistency
    rows = (
        ("model", f"{model.path}  (opset {model.opset}{', ' + model.producer if model.producer else ''})"),
        ("fingerprint", model.fingerprint[:16]),
        ("input", f"{' x '.join(map(str, model.input_shape))}, {classes(model.classes, model.masked)}"),
        ("data", f"{data.name}: {data.selection}  (sha256 {data.sha256[:16]})"),
        ("scale", f"{data.scale}, {SCALE_SOURCES[data.scale_source]}"),
        *([("noise", report.noise.description)] if report.noise.kind != "isotropic" else []),
        ("accuracy", _accuracy(report)),
        (
            "execution",
            f"{check.device}; agrees with {check.runtime} to {significant(check.max_difference, 2)} "
            f"of each output's spread ({check.tolerance:g} allowed in {check.precision} precision) on "
            f"{counted(check.images, 'image')}",
        ),
        ("seed", str(report.seed)),
    )
    return header(report.tool, rows)


def _accuracy(report: Report) -> str:
    data = report.data
    if data.accuracy is None:
        return f"none: {data.accuracy_reason}"
    return f"{percent(data.accuracy, data.samples)} of the {counted(data.samples, 'image')} used"


def _moments(report: Report, width: int) -> list[RenderableType]:
    if not report.moments:
        reason = report.moments_reason or "none were asked for."
        none = paragraph(f"Tightness per class: no moments. {reason[0].upper() + reason[1:]}")
        return [none, *(["", *flips_tables(report.flips, ())] if report.flips else [])]
    left_out = [paragraph(f"Not run: {one.engine}: {one.reason.rstrip('.')}.") for one in report.moments_left_out]
    return [
        *cuts_table(report.cut_errors),
        *moments_tables(report.moments, width),
        *left_out,
        "",
        *flips_tables(report.flips, report.moments),
    ]


def _bounds(report: Report) -> list[RenderableType]:
    if not report.bounds:
        return [paragraph(f"Layerwise robustness: no bounds. {report.bounds_reason or 'None were asked for.'}")]
    parts: list[RenderableType] = []
    for entry in report.bounds:
        parts += [*([""] if parts else []), *bounds_tables(entry)]
    return parts
