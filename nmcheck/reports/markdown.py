"""A report's tables as Markdown (GitHub's, with tables), and the signs that must not be taken for markup."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import RenderableType

from nmcheck.reports.blocks import Block, Facts, Grid, blocks


def to_markdown(parts: Iterable[RenderableType]) -> str:
    """The report as Markdown ending in a newline; parts as those of ``layout.draw``."""
    return "\n\n".join(_block(block) for block in blocks(parts)) + "\n"


def plain_text(text: str) -> str:
    """Without signs that Markdown or HTML would take for markup, on one line."""
    joined = " ".join(text.split())
    for sign in "\\`*_{}[]<>#|":
        joined = joined.replace(sign, f"\\{sign}" if sign != "<" else "&lt;")
    return joined


def code(text: str) -> str:
    """A name, to the letter."""
    return "`" + " ".join(text.split()).replace("`", "'").replace("|", "\\|") + "`"


def _block(block: Block) -> str:
    if isinstance(block, Facts):
        return "\n".join([f"## {plain_text(block.title)}", "", *(f"- {key}: {plain_text(v)}" for key, v in block.rows)])
    if isinstance(block, Grid):
        return _grid(block)
    return f"### {plain_text(block.text)}" if block.kind == "heading" else plain_text(block.text)


def _grid(grid: Grid) -> str:
    lines = [f"**{plain_text(grid.title)}**", ""] if grid.title else []
    lines.append(_row(grid.header))
    lines.append("|" + "|".join("---:" if number else "---" for number in grid.numbers) + "|")
    return "\n".join([*lines, *(_row(row) for row in grid.rows)])


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(plain_text(cell) for cell in cells) + " |"
