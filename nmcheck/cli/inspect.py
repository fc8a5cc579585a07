"""``nmcheck inspect``."""

from __future__ import annotations

from nmcheck.cli.parameters import Model, Output, OutputFormat, Quiet
from nmcheck.cli.rendering import Format, show
from nmcheck.cli.run_files import check_files
from nmcheck.cli.session import SESSION


def inspect(
    *,
    model: Model,
    output_format: OutputFormat = Format.TABLE,
    output: Output = None,
    quiet: Quiet = False,
) -> None:
    """Show what is in a model, without data and without running it.

    Lists its operators and which of them can be executed, passed by moments and passed by bounds (by Lipschitz
    constants or by linear relaxation; a note says where only one of them applies), its normalization layers, and the
    ReLUs at which it can be cut, with the memory each cut would take. A model of which only a part can be analysed is
    inspected all the same, and the report says why.
    """
    from nmcheck.cli.progress import open_progress

    check_files({"--output": output}, models=[model], stdout=output is None)
    with open_progress(quiet) as progress, progress.stage("Reading the model", None):
        found = SESSION.get().inspect(model)
    from nmcheck.reports.inspection_table import inspection_parts

    show(found, inspection_parts, output_format, output)
