"""What stands in a drawn report, without its look: for formats that are no terminal's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from nmcheck.reports.layout import PlainTable, plain


@dataclass(frozen=True)
class Facts:
    """The frame on top.

    Attributes:
        title: program and version.
        rows: key and value.
    """

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        title: what stands above it.
        header: of its columns.
        numbers: for each column, whether it holds numbers.
        rows: its cells.
    """

    title: str
    header: tuple[str, ...]
    numbers: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Words:
    """A paragraph.

    Attributes:
        text: without line breaks.
        kind: ``heading`` of the tables below it, ``quiet`` for an explanation, else ``plain``.
    """

    text: str
    kind: str


Block = Facts | Grid | Words


def blocks(parts: Iterable[RenderableType]) -> Iterator[Block]:
    """The blocks of what ``layout.draw`` would draw, in order."""
    for part in map(plain, parts):
        if isinstance(part, Panel):
            assert isinstance(part.renderable, PlainTable)
            yield Facts(_plain(part.title), tuple((row[0], row[1]) for row in _rows(part.renderable)))
        elif isinstance(part, Table):
            yield Grid(
                title=_plain(part.title),
                header=tuple(_plain(column.header) for column in part.columns),
                numbers=tuple(column.justify == "right" for column in part.columns),
                rows=tuple(_rows(part)),
            )
        elif text := _plain(part):
            style = str(part.style) if isinstance(part, Text) else ""
            yield Words(text, "heading" if "bold" in style else "quiet" if style == "dim" else "plain")


def _rows(table: Table) -> Iterator[tuple[str, ...]]:
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        yield tuple(_plain(cell) for cell in cells)


def _plain(part: RenderableType | None) -> str:
    """Words on one line."""
    return " ".join(str(part or "").split())
