"""A report's tables as Markdown (GitHub's, with tables)."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import RenderableType

from nmcheck.outside_text import markdown
from nmcheck.reports.blocks import Block, Facts, Grid, blocks


def to_markdown(parts: Iterable[RenderableType]) -> str:
    """The report as Markdown ending in a newline; parts as those of ``layout.draw``."""
    return "\n\n".join(_block(block) for block in blocks(parts)) + "\n"


def _block(block: Block) -> str:
    if isinstance(block, Facts):
        return "\n".join([f"## {markdown(block.title)}", "", *(f"- {key}: {markdown(v)}" for key, v in block.rows)])
    if isinstance(block, Grid):
        return _grid(block)
    return f"### {markdown(block.text)}" if block.kind == "heading" else markdown(block.text)


def _grid(grid: Grid) -> str:
    lines = [f"**{markdown(grid.title)}**", ""] if grid.title else []
    lines.append(_row(grid.header))
    lines.append("|" + "|".join("---:" if number else "---" for number in grid.numbers) + "|")
    return "\n".join([*lines, *(_row(row) for row in grid.rows)])


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(markdown(cell) for cell in cells) + " |"
