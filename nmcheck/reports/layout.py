"""What the tables have in common: their frame, the reasons below them, and the width they need.

What is drawn may hold names from outside (``nmcheck.outside_text``). No string of it is markup, and all of it passes
``plain`` or ``PlainTable`` on its way to a terminal or another format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from io import BytesIO, StringIO, TextIOWrapper
from typing import Any, TypeVar

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from nmcheck.outside_text import LONGEST_WORD, drawn, visible
from nmcheck.reports.numbers import significant
from nmcheck.results.bounds import stated
from nmcheck.results.model import ToolEntry
from nmcheck.results.record import REASON, Record

PIPE_WIDTH = 160
"""Columns of a report that no terminal shows: wide enough for two engines side by side."""


Shown = TypeVar("Shown", bound=Record)

Parts = Callable[[Shown, int], list[RenderableType]]
"""What a record shows: things to draw one below the other, in a given number of columns."""


class PlainTable(Table):
    """A table whose strings are words and never markup, and whose names cannot command a terminal.

    A column's header may have line breaks if it is a string of ours; names from outside are handed over as ``Text``.
    """

    def __init__(self, *, title: str | None = None, **style: Any) -> None:
        super().__init__(title=None if title is None else styled(title, "bold"), **style)

    def add_column(self, header: RenderableType = "", *args: Any, **style: Any) -> None:
        """Add a column; arguments as those of rich's table."""
        named = plain(header) if isinstance(header, Text) else Text("\n".join(map(visible, str(header).split("\n"))))
        super().add_column(named, *args, **style)

    def add_row(self, *cells: RenderableType | None, **style: Any) -> None:
        """Add a row; arguments as those of rich's table."""
        super().add_row(*(plain("" if cell is None else cell, LONGEST_WORD) for cell in cells), **style)


def plain(part: RenderableType, longest: int | None = None) -> RenderableType:
    """A part, or a cell, without anything that commands a terminal; a string is taken literally, not as markup.

    Args:
        part: words, a ``PlainTable``, or the frame of ``header``.
        longest: letters that are shown of it; by default many.
    """
    if isinstance(part, (PlainTable, Panel)):
        return part
    if isinstance(part, Text):
        words, style = part.plain, part.style
    else:
        assert isinstance(part, str), f"{type(part).__name__} is drawn past the filter of names"
        words, style = part, ""
    return Text(visible(words) if longest is None else visible(words, longest), style=style)


def styled(text: str, style: str = "") -> Text:
    """Words that may hold names from outside; rich's own ``Text`` would drop some of their letters in silence."""
    return Text(visible(text), style=style)


def text_of(
    parts: Parts[Shown], record: Shown, width: int = PIPE_WIDTH, *, color: bool = False, encoding: str = "utf-8"
) -> str:
    """A record as tables for a person; arguments as those of ``draw``."""
    return draw(parts(record, width), width, color=color, encoding=encoding)


def draw(parts: Sequence[RenderableType], width: int, *, color: bool, encoding: str) -> str:
    """Text of everything drawn, ending in a newline; no line ends in blanks.

    Args:
        parts: what to draw, one below the other.
        width: columns to use; tables whose digits need more get more.
        color: whether to write terminal colours.
        encoding: what the text will be written in; outside of Unicode the frames are drawn in ASCII.
    """
    tables = [part for part in parts if isinstance(part, Table)]
    file = TextIOWrapper(BytesIO(), encoding=encoding, errors="replace", newline="")
    console = _console(
        file=file,
        width=max(width, *(narrowest(table) for table in tables)) if tables else width,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        legacy_windows=False,
        force_jupyter=False,
    )
    for part in parts:
        console.print(plain(part))
    file.flush()
    text = file.buffer.getvalue().decode(encoding)
    return drawn("\n".join(line.rstrip() for line in text.split("\n")))


def header(tool: ToolEntry, rows: Iterable[tuple[str, str | Text]]) -> Panel:
    """The frame on top: what was looked at, a line a key."""
    grid = PlainTable.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for key, value in rows:
        grid.add_row(key, value)
    title = f"{tool.name} {tool.version}"
    return Panel(grid, title=styled(title), title_align="left", box=box.ROUNDED, expand=False)


def new_table(title: str, *columns: str | Text, names: int = 1) -> PlainTable:
    """An empty table.

    Args:
        title: what stands above it.
        columns: headers; all but the first ``names`` are numbers, right-aligned and never broken. Names from outside
            are handed over as ``Text``.
        names: how many columns hold names.
    """
    table = PlainTable(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        header_style="bold",
    )
    for position, column in enumerate(columns):
        if position < names:
            table.add_column(column, overflow="fold", min_width=min(12, len(column)))
        else:
            table.add_column(column, justify="right", no_wrap=True)
    return table


def settle(table: PlainTable, *names: int) -> PlainTable:
    """A finished table whose numbers are never cut, whatever the width.

    Args:
        table: all rows added.
        names: columns of names to keep whole up to 28 letters.
    """
    for position, column in enumerate(table.columns):
        lines = [line for cell in (column.header, *column.cells) for line in str(cell).split("\n")]
        longest = max(cell_len(line) for line in lines)
        if column.no_wrap:
            column.min_width = longest
        elif position in names:
            column.min_width = min(28, longest)
    return table


def paragraph(text: str) -> Text:
    """Explanations below a table."""
    return styled(text, "dim")


def warnings(texts: Iterable[str]) -> list[RenderableType]:
    """What the user should doubt."""
    return [styled(f"Warning: {text}", "yellow") for text in texts]


def notes(texts: Sequence[str]) -> list[RenderableType]:
    """What was assumed or changed on the way, below everything else; nothing without any."""
    return ["", *(paragraph(f"Note: {text}") for text in texts)] if texts else []


def reasons(records: Iterable[Record]) -> list[Text]:
    """Why numbers of these records are missing or infinite, each reason once."""
    found: dict[str, list[str]] = {}
    for record in records:
        for item in fields(record):
            reason = getattr(record, item.name) if item.name.endswith(REASON) else None
            if reason:
                keys = found.setdefault(reason, [])
                key = item.name.removesuffix(REASON)
                if key not in keys:
                    keys.append(key)
    return [
        paragraph(f"{significant(stated(None, reason))} {', '.join(keys)}: {reason.rstrip('.')}.")
        for reason, keys in found.items()
    ]


def narrowest(renderable: RenderableType) -> int:
    """The least width at which no digit of a table is lost."""
    return _measure(renderable).minimum


def widest(renderable: RenderableType) -> int:
    """The width at which nothing in it is broken into lines."""
    return _measure(renderable).maximum


def _measure(renderable: RenderableType) -> Measurement:
    console = _console(file=StringIO(), width=10_000)
    return Measurement.get(console, console.options, renderable)


def _console(**options: Any) -> Console:
    """A console that obeys nothing in the words it prints."""
    return Console(markup=False, highlight=False, emoji=False, **options)
