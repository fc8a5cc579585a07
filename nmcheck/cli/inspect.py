"""``nmcheck inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmcheck.cli.output import check_writable, write_file, write_stdout
from nmcheck.cli.rendering import Format, canvas
from nmcheck.cli.session import SESSION

if TYPE_CHECKING:
    from nmcheck.results.inspection import Inspection


def inspect(
    *,
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The ONNX classifier.", show_default=False)],
    output_format: Annotated[
        Format, typer.Option("--format", metavar="table|json", help="Tables for a person, or JSON.")
    ] = Format.TABLE,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the report to a file instead of standard output."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on standard error.")] = False,
) -> None:
    """Show what is in a model, without data and without running it.

    Lists its operators and which of them can be executed, passed by moments and passed by bounds, its normalization
    layers, and the ReLUs at which it can be cut, with the memory each cut would take. A model of which only a part can
    be analysed is inspected all the same, and the report says why.
    """
    from nmcheck.cli.progress import open_progress

    if output is not None:
        check_writable(output)
    with open_progress(quiet) as progress, progress.stage("Reading the model", None):
        found = SESSION.get().inspect(model)
    text = _render(found, output_format, to_file=output is not None)
    if output is None:
        write_stdout(text)
    else:
        write_file(output, text)


def _render(found: Inspection, output_format: Format, *, to_file: bool) -> str:
    if output_format is Format.JSON:
        from nmcheck.reports.json import to_json

        return to_json(found)
    from nmcheck.reports.inspection_table import inspection_table

    paper = canvas(to_file=to_file)
    return inspection_table(found, paper.width, color=paper.color, encoding=paper.encoding)
