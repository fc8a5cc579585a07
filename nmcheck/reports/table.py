"""The report as tables for a person."""

from __future__ import annotations

from io import BytesIO, TextIOWrapper

from rich import box
from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from nmcheck.reports.bounds_table import bounds_tables
from nmcheck.reports.layout import narrowest, paragraph
from nmcheck.reports.moments_table import moments_tables
from nmcheck.reports.normalization_table import normalization_table
from nmcheck.reports.numbers import percent, significant
from nmcheck.results.report import Report

PIPE_WIDTH = 160
"""Columns of a report that no terminal shows: wide enough for two engines side by side."""

SCALE_SOURCES = {
    "option": "from --scale",
    "metadata": "stated in the model's metadata",
    "default": "assumed: neither --scale nor the model's metadata say",
}


def to_table(report: Report, width: int = PIPE_WIDTH, *, color: bool = False, encoding: str = "utf-8") -> str:
    """The report as text, ending in a newline.

    Args:
        report: what to show.
        width: columns to use; tables whose digits need more get more.
        color: whether to write terminal colours.
        encoding: what the text will be written in; outside of Unicode the frames are drawn in ASCII.
    """
    parts: list[RenderableType] = [_header(report), *_warnings(report), ""]
    parts += [*_moments(report, width), "", *_bounds(report), "", *normalization_table(report)]
    parts += ["", *(paragraph(f"Note: {note}") for note in report.notes)] if report.notes else []
    tables = [part for part in parts if isinstance(part, Table)]
    file = TextIOWrapper(BytesIO(), encoding=encoding, errors="replace", newline="")
    console = Console(
        file=file,
        width=max(width, *(narrowest(table) for table in tables)) if tables else width,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        highlight=False,
        emoji=False,
        legacy_windows=False,
        force_jupyter=False,
    )
    for part in parts:
        console.print(part)
    file.flush()
    text = file.buffer.getvalue().decode(encoding)
    return "\n".join(line.rstrip() for line in text.split("\n"))


def _header(report: Report) -> Panel:
    model, data, check = report.model, report.data, report.consistency
    rows = (
        ("model", f"{model.path}  (opset {model.opset}{', ' + model.producer if model.producer else ''})"),
        ("fingerprint", model.fingerprint[:16]),
        ("input", f"{' x '.join(map(str, model.input_shape))}, {model.classes} classes"),
        ("data", f"{data.name}: {data.selection}  (sha256 {data.sha256[:16]})"),
        ("scale", f"{data.scale}, {SCALE_SOURCES[data.scale_source]}"),
        ("accuracy", _accuracy(report)),
        (
            "execution",
            f"{check.device}; agrees with {check.runtime} to {significant(check.max_difference, 2)} "
            f"(relative) on {check.images:,} images",
        ),
        ("seed", str(report.seed)),
    )
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for key, value in rows:
        grid.add_row(key, Text(value))
    title = f"{report.tool.name} {report.tool.version}"
    return Panel(grid, title=title, title_align="left", box=box.ROUNDED, expand=False)


def _accuracy(report: Report) -> str:
    data = report.data
    if data.accuracy is None:
        return f"none: {data.accuracy_reason}"
    return f"{percent(data.accuracy, data.samples)} of the {data.samples:,} images used"


def _warnings(report: Report) -> list[RenderableType]:
    return [Text(f"Warning: {warning}", style="yellow") for warning in report.warnings]


def _moments(report: Report, width: int) -> list[RenderableType]:
    if not report.moments:
        return [paragraph(f"Tightness per class: no moments. {report.moments_reason or 'None were asked for.'}")]
    return moments_tables(report.moments, width)


def _bounds(report: Report) -> list[RenderableType]:
    if not report.bounds:
        return [paragraph(f"Layerwise robustness: no bounds. {report.bounds_reason or 'None were asked for.'}")]
    parts: list[RenderableType] = []
    for entry in report.bounds:
        parts += [*([""] if parts else []), *bounds_tables(entry)]
    return parts
