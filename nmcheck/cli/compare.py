"""``nmcheck compare``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from nmcheck.cli.messages import warn
from nmcheck.cli.parameters import (
    ChangeNorm,
    Epsilons,
    Memory,
    Method,
    Noise,
    Norm,
    Output,
    OutputFormat,
    Quiet,
    Samples,
    ValueRange,
    attack_names,
    check_scale,
    noise_file,
    parse_range,
)
from nmcheck.cli.rendering import Format, show
from nmcheck.cli.run_files import check_files
from nmcheck.cli.session import SESSION


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
    norm: ChangeNorm = Norm.L2,
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
    epsilon: Epsilons = None,
    sigma: Annotated[
        list[float] | None,
        typer.Option(
            metavar="S",
            help="Standard deviation of the noise in pixel units; may be given several times. Default: 0.05 and 0.1.",
            show_default=False,
        ),
    ] = None,
    noise: Noise = "isotropic",
    draws: Annotated[int, typer.Option(metavar="N", help="Noise samples an image and noise level.")] = 200,
    memory: Memory = 512,
    scale: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCALE",
            help="What the models expect of their pixels, as for nmcheck bounds: given once for all of them, or once "
            "for each, in their order. Default: each model's metadata entry nmcheck.scale, else unit.",
            show_default=False,
        ),
    ] = None,
    value_range: ValueRange = None,
    output_format: OutputFormat = Format.TABLE,
    output: Output = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the choice of images and of the noise.")] = 0,
    samples: Samples = 100,
    quiet: Quiet = False,
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
        noise=noise,
        draws=draws,
        norm=str(norm),
        box=box,
        method=str(method),
        attacks=attack_names(attack),
        epsilons=None if epsilon is None else tuple(epsilon),
        memory=memory,
        scales=tuple(scale or ()),
        value_range=parse_range(value_range),
        seed=seed,
        samples=samples,
    )
    for one in scale or ():
        check_scale(one)
    others = {"the file of --noise": noise_file(noise)}
    check_files({"--output": output}, models=models, data=data, others=others, stdout=output is None)
    with open_progress(quiet) as progress:
        found = SESSION.get().compare(options, progress)
    from nmcheck.reports.comparison_table import comparison_parts

    show(found, comparison_parts, output_format, output)
    # On a terminal the report has just shown them.
    if not quiet and (output is not None or output_format is not Format.TABLE or not sys.stdout.isatty()):
        for one in found.models:
            for warning in one.warnings:
                warn(f"{one.model.path}: {warning}")
