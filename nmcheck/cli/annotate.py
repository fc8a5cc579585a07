"""``nmcheck annotate``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmcheck.cli.output import write_bytes
from nmcheck.cli.report_file import check_same_model, read_overlay
from nmcheck.cli.run_files import check_files
from nmcheck.errors import UsageError

if TYPE_CHECKING:
    from nmcheck.results.overlay import Metric, Overlay


class Target(StrEnum):
    """``--to``."""

    ONNX = "onnx"
    NETRON = "netron"
    MODEL_EXPLORER = "model-explorer"


def annotate(
    *,
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The ONNX classifier.", show_default=False)],
    report: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="A JSON report of this model, from nmcheck analyze, bounds or gate.",
            show_default=False,
        ),
    ],
    to: Annotated[
        Target,
        typer.Option(
            metavar="onnx|netron|model-explorer",
            help="What to write: a copy of the model with the results in its nodes' metadata, which any viewer of ONNX "
            "files shows; an attachment to drop on an open Netron; or node data of Model Explorer.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.", show_default=False)
    ],
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="With --to model-explorer: the number to color by, as kappa, L or gain 0.05. Default: the first that "
            "the report has.",
            show_default=False,
        ),
    ] = None,
    ir_version: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="With --to onnx: version of the file format to write. Metadata of nodes are part of it from 10 on; "
            "older readers pass over them. Default: the model's own.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Use a report of another model, where the names of nodes agree.")
    ] = False,
) -> None:
    """Write the results into a copy of the model, or into a file that another viewer lays over it.

    The copy computes the same, bit by bit; the model's own file is never changed.
    """
    from nmcheck.graph.notes import annotated_copy, notes_of
    from nmcheck.reports.attachments import model_explorer_data, netron_attachment

    check_files({"--output": output}, models=[model], others={"the report": report})
    overlay = read_overlay(report)
    if not force:
        check_same_model(model, overlay, report)
    chosen = _metric(overlay, metric) if to is Target.MODEL_EXPLORER else None
    copy = annotated_copy(model, notes_of(overlay), output.resolve().parent, ir_version=ir_version)
    if not copy.names:
        raise UsageError(f"{report}: none of its layers is in {model}; analyze this model and use that report.")
    if to is Target.ONNX:
        write_bytes(output, copy.data)
    elif chosen is None:
        write_bytes(output, netron_attachment(overlay, copy.names).encode())
    else:
        write_bytes(output, model_explorer_data(chosen, copy.names).encode())


def _metric(overlay: Overlay, key: str | None) -> Metric:
    found = next((entry for entry in overlay.metrics if key in (None, entry.key)), None)
    if found is None:
        keys = ", ".join(entry.key for entry in overlay.metrics) or "none"
        raise UsageError(f"The report has no metric '{key or ''}'; it has: {keys}.")
    return found
