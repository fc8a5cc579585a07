"""In which format a report is wanted, what its tables are drawn on, and where it goes."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nmcheck.cli.messages import warn
from nmcheck.cli.output import write_file, write_stdout
from nmcheck.results.record import Record

if TYPE_CHECKING:
    from nmcheck.reports.layout import Parts
    from nmcheck.results.report import Report

Shown = TypeVar("Shown", bound=Record)


class Format(StrEnum):
    """``--format``."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"
    HTML = "html"


@dataclass(frozen=True)
class Canvas:
    """What tables are drawn on.

    Attributes:
        width: columns to use.
        color: whether it shows terminal colours.
        encoding: of the text.
    """

    width: int
    color: bool
    encoding: str


def canvas(*, to_file: bool) -> Canvas:
    """The canvas of a file, or of standard output: a terminal's own width and colours, a fixed width in a pipe."""
    from nmcheck.reports.layout import PIPE_WIDTH

    if to_file:
        return Canvas(PIPE_WIDTH, color=False, encoding="utf-8")
    terminal = sys.stdout.isatty()
    return Canvas(
        width=shutil.get_terminal_size().columns if terminal else PIPE_WIDTH,
        color=terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
        encoding=sys.stdout.encoding or "utf-8",
    )


def render(record: Shown, parts: Parts[Shown], output_format: Format, *, to_file: bool) -> str:
    """A record in one format.

    Args:
        record: the record.
        parts: what its tables show.
        output_format: the format.
        to_file: whether a file will hold it.
    """
    return RENDERERS[output_format](record, parts, canvas(to_file=to_file))


def _table(record: Shown, parts: Parts[Shown], paper: Canvas) -> str:
    from nmcheck.reports.layout import text_of

    return text_of(parts, record, paper.width, color=paper.color, encoding=paper.encoding)


def _json(record: Record, _parts: object, _paper: Canvas) -> str:
    from nmcheck.reports.json import to_json

    return to_json(record)


def _csv(record: Record, _parts: object, paper: Canvas) -> str:
    from nmcheck.reports.csv import to_csv

    return to_csv(record).encode(paper.encoding, "backslashreplace").decode(paper.encoding)


def _markdown(record: Shown, parts: Parts[Shown], paper: Canvas) -> str:
    from nmcheck.reports.markdown import to_markdown

    # No columns at all: tables stand below each other, each with all its headers.
    return references(to_markdown(parts(record, 0)), paper.encoding)


def _html(record: Shown, parts: Parts[Shown], paper: Canvas) -> str:
    from nmcheck.reports.html.page import to_html
    from nmcheck.reports.html.template import tables_page
    from nmcheck.results.report import Report

    drawn = parts(record, 0)
    page = to_html(record, parts=drawn) if isinstance(record, Report) else tables_page(drawn)
    return references(page, paper.encoding)


RENDERERS: Mapping[Format, Callable[[Any, Any, Canvas], str]] = {
    Format.TABLE: _table,
    Format.JSON: _json,
    Format.CSV: _csv,
    Format.MARKDOWN: _markdown,
    Format.HTML: _html,
}
"""Every format that any record can be written in; each loads what it needs when it is asked for."""


def references(text: str, encoding: str = "utf-8") -> str:
    """Markdown or HTML in which letters that an encoding lacks are character references.

    Names of files may hold letters that even UTF-8 lacks.
    """
    return text.encode(encoding, "xmlcharrefreplace").decode(encoding)


def show(record: Shown, parts: Parts[Shown], output_format: Format, output: Path | None) -> None:
    """Write a record to a file, or to standard output; arguments as those of ``render``.

    Raises:
        OutputError: the file cannot be written.
    """
    text = render(record, parts, output_format, to_file=output is not None)
    if output is None:
        write_stdout(text)
    else:
        write_file(output, text)


def show_report(
    report: Report, parts: Parts[Report], output_format: Format, output: Path | None, *, quiet: bool
) -> None:
    """``show``, and the warnings on standard error unless a terminal has just shown them.

    Raises:
        OutputError: the file cannot be written.
    """
    show(report, parts, output_format, output)
    if not quiet and (output is not None or output_format is not Format.TABLE or not sys.stdout.isatty()):
        for warning in report.warnings:
            warn(warning)
