"""``nmcheck compare``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmcheck.cli.analyze import parse_range
from nmcheck.cli.bounds import Method, Norm
from nmcheck.cli.output import check_writable, write_file, write_stdout
from nmcheck.cli.rendering import Format, canvas
from nmcheck.cli.session import SESSION

if TYPE_CHECKING:
    from nmcheck.results.comparison import Comparison


def compare(
    *,
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", help="Two ONNX classifiers or more.", show_default=False)
    ],
    data: Annotated[
        str,
        typer.Option(
            metavar="SPEC",
            help="Images that all models are shown, as for nmcheck bounds.",
            show_default=False,
        ),
    ],
    norm: Annotated[
        Norm, typer.Option(metavar="2|inf", help="The norm of a change: Euclidean, or the largest change of a pixel.")
    ] = Norm.L2,
    box: Annotated[
        bool, typer.Option("--box", help="Only changes that leave every pixel within 0 to 1 count.")
    ] = False,
    method: Annotated[
        Method,
        typer.Option(
            metavar="auto|lipschitz|crown-ibp|crown",
            help="How radii are certified, as for nmcheck bounds. auto chooses for each model; radii of different "
            "methods say as much about the methods as about the models.",
        ),
    ] = Method.AUTO,
    attack: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="An attack, as for nmcheck bounds; may be given several times; none for no attack.",
            show_default=False,
        ),
    ] = None,
    epsilon: Annotated[
        list[float] | None,
        typer.Option(
            metavar="E",
            help="Norm at which certified and attacked accuracy are stated; may be given several times. Default: 0.1, "
            "0.25, 0.5 and 1, or 0.01, 0.02, 0.05 and 0.1 for --norm inf.",
            show_default=False,
        ),
    ] = None,
    sigma: Annotated[
        list[float] | None,
        typer.Option(
            metavar="S",
            help="Standard deviation of the noise in pixel units; may be given several times. Default: 0.05 and 0.1.",
            show_default=False,
        ),
    ] = None,
    draws: Annotated[int, typer.Option(metavar="N", help="Noise samples an image and noise level.")] = 200,
    memory: Annotated[
        int, typer.Option(metavar="MIB", help="Memory that the relaxation's coefficients may take at a time.")
    ] = 512,
    scale: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCALE",
            help="What the models expect of their pixels, as for nmcheck bounds: given once for all of them, or once "
            "for each, in their order. Default: each model's metadata entry nmcheck.scale, else unit.",
            show_default=False,
        ),
    ] = None,
    value_range: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="LOW:HIGH",
            help="The values of the data that mean black and white. Default: 0:255 for 8-bit images, else 0:1.",
            show_default=False,
        ),
    ] = None,
    output_format: Annotated[
        Format, typer.Option("--format", metavar="table|json", help="Tables for a person, or JSON.")
    ] = Format.TABLE,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the report to a file instead of standard output."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the choice of images and of the noise.")] = 0,
    samples: Annotated[
        int, typer.Option(metavar="N", help="Number of images to use, each class in proportion to its size.")
    ] = 100,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress and no warnings on standard error.")
    ] = False,
) -> None:
    """Compare models on the same images and the same noise.

    Accuracy, certified and attacked accuracy, certified radii (also over the images that all models classify correctly,
    with the paired difference to the first model), how often noise changes the predicted class, and what normalization
    layers do. It says how the models differ; which of them to take is for the user to weigh.
    """
    from nmcheck.checks.compare_options import CompareOptions
    from nmcheck.cli.progress import open_progress

    options = CompareOptions(
        models=tuple(models),
        data=data,
        sigmas=CompareOptions.sigmas if sigma is None else tuple(sigma),
        draws=draws,
        norm=str(norm),
        box=box,
        method=str(method),
        attacks=None if attack is None else tuple(name for name in attack if name != "none"),
        epsilons=None if epsilon is None else tuple(epsilon),
        memory=memory,
        scales=tuple(scale or ()),
        value_range=None if value_range is None else parse_range(value_range),
        seed=seed,
        samples=samples,
    )
    if scale:
        from nmcheck.data.scale import parse_scale

        for one in scale:
            parse_scale(one)
    if output is not None:
        check_writable(output)
    with open_progress(quiet) as progress:
        found = SESSION.get().compare(options, progress)
    text = _render(found, output_format, to_file=output is not None)
    if output is None:
        write_stdout(text)
    else:
        write_file(output, text)
    # On a terminal the report has just shown them.
    if not quiet and (output is not None or output_format is Format.JSON or not sys.stdout.isatty()):
        for one in found.models:
            for warning in one.warnings:
                print(f"Warning: {one.model.path}: {warning}", file=sys.stderr)


def _render(found: Comparison, output_format: Format, *, to_file: bool) -> str:
    if output_format is Format.JSON:
        from nmcheck.reports.json import to_json

        return to_json(found)
    from nmcheck.reports.comparison_table import comparison_table

    paper = canvas(to_file=to_file)
    return comparison_table(found, paper.width, color=paper.color, encoding=paper.encoding)
