"""``nmcheck view``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmcheck.cli.analyze import parse_range
from nmcheck.cli.messages import warn
from nmcheck.cli.report_file import check_same_model, read_overlay
from nmcheck.cli.session import SESSION
from nmcheck.cli.viewers import load_viewer
from nmcheck.errors import UsageError

if TYPE_CHECKING:
    from nmcheck.checks.options import AnalyzeOptions
    from nmcheck.results.overlay import Overlay


def view(
    *,
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The ONNX classifier.", show_default=False)],
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A JSON report of this model, from nmcheck analyze, bounds or gate.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC", help="Images to analyse first instead, as nmcheck analyze takes them.", show_default=False
        ),
    ] = None,
    sigma: Annotated[
        list[float] | None,
        typer.Option(
            metavar="S",
            help="With --data: standard deviation of the noise in pixel units; may be given several times. "
            "Default: 0.05 and 0.1.",
            show_default=False,
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="SCALE", help="With --data: what the model expects, as for nmcheck analyze.", show_default=False
        ),
    ] = None,
    value_range: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="LOW:HIGH",
            help="With --data: the values of the data that mean black and white.",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[int, typer.Option(metavar="N", help="With --data: number of images to use.")] = 100,
    seed: Annotated[int, typer.Option(metavar="N", help="With --data: seed of the choice of images and noise.")] = 0,
    port: Annotated[
        int, typer.Option(metavar="N", help="Port of 127.0.0.1 to listen on; 0 takes a free one.", min=0, max=65535)
    ] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Show a report of another model, where the names of nodes agree.")
    ] = False,
    viewer: Annotated[
        str, typer.Option(metavar="NAME", help="The viewer to use: netron, or one that another package brings.")
    ] = "netron",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress and no warnings on standard error.")
    ] = False,
) -> None:
    """Show the results over a drawing of the model, in the browser.

    The drawing is Netron's, served to this machine only, from a copy of the model without its weights; the file is
    not changed and nothing is sent anywhere. Prints the page's address; Ctrl-C ends it. Without --report and --data
    it shows where the model can be cut.
    """
    if report is not None and data is not None:
        raise UsageError("--report and --data exclude each other; pass the report, or the data to analyse first.")
    session = SESSION.get()
    show = load_viewer(viewer, session.viewers())
    if report is not None:
        overlay = read_overlay(report)
        if not force:
            check_same_model(model, overlay, report)
    elif data is not None:
        from nmcheck.checks.options import AnalyzeOptions

        options = AnalyzeOptions(
            model=model,
            data=data,
            sigmas=tuple(sigma or (0.05, 0.1)),
            scale=scale,
            value_range=None if value_range is None else parse_range(value_range),
            samples=samples,
            seed=seed,
        )
        overlay = _analyzed(options, quiet=quiet)
    else:
        overlay = _inspected(model, quiet=quiet)
    show(model, overlay, port=port, open_browser=not no_browser)


def _analyzed(options: AnalyzeOptions, *, quiet: bool) -> Overlay:
    from nmcheck.cli.progress import open_progress
    from nmcheck.reports.overlay import overlay_of

    with open_progress(quiet) as progress:
        report = SESSION.get().analyze(options, progress)
    if not quiet:
        for warning in report.warnings:
            warn(warning)
    return overlay_of(report)


def _inspected(model: Path, *, quiet: bool) -> Overlay:
    from nmcheck.cli.progress import open_progress
    from nmcheck.reports.overlay import overlay_of

    with open_progress(quiet) as progress, progress.stage("Reading the model", None):
        found = SESSION.get().inspect(model)
    return overlay_of(found)
