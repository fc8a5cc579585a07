"""``nmcheck bounds``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nmcheck.cli.output import folders
from nmcheck.cli.parameters import (
    ChangeNorm,
    Data,
    Epsilons,
    Memory,
    Method,
    Model,
    Norm,
    Output,
    OutputFormat,
    Quiet,
    Samples,
    Scale,
    ValueRange,
    attack_names,
    check_scale,
    parse_range,
)
from nmcheck.cli.rendering import Format, show_report
from nmcheck.cli.run_files import OutputFolder, check_files
from nmcheck.cli.session import SESSION


def bounds(
    *,
    model: Model,
    data: Data,
    norm: ChangeNorm = Norm.L2,
    box: Annotated[
        bool,
        typer.Option("--box", help="Only changes that leave every pixel within 0 to 1 count. Radii grow by it."),
    ] = False,
    method: Annotated[
        Method,
        typer.Option(
            metavar="auto|lipschitz|crown-ibp|crown",
            help="How radii are certified: by Lipschitz constants (milliseconds), by linear relaxation with interval "
            "bounds of the layers (crown-ibp), or with layer bounds by relaxation, too (crown, the tightest). auto "
            "takes crown if it needs no more than 2e11 operations a test, else crown-ibp; and lipschitz where a layer "
            "has no linear bounds.",
        ),
    ] = Method.AUTO,
    attack: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="An attack that looks for adversarial examples, each confirmed by onnxruntime on the file; may be "
            "given several times. --norm 2: fgs, fgv, deepfool, ddn, pgd, lbfgs; --norm inf: fgs, deepfool, pgd; none "
            "for no attack. Default: all but pgd and lbfgs, or all of --norm inf.",
            show_default=False,
        ),
    ] = None,
    epsilon: Epsilons = None,
    save_adversarial: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write the nearest adversarial examples to a folder, as npz and as a picture: for each the original, "
            "the change (gray: none) and the adversarial image from left to right, four to a row.",
            show_default=False,
        ),
    ] = None,
    vnnlib: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write what is still open, for every --epsilon, as VNN-LIB questions for external verifiers "
            "(--norm inf).",
            show_default=False,
        ),
    ] = None,
    optimize: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="With crown: optimize the slopes of the linear bounds by N gradient steps a test (alpha-CROWN). Radii "
            "grow by some percent, and take some N times as long; 10 is enough for most.",
        ),
    ] = 0,
    iterated: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Apply FGS N times, each time to what it made of the images before (the thesis's iterative "
            "perturbation).",
        ),
    ] = 0,
    layerwise: Annotated[
        bool,
        typer.Option(
            "--layerwise",
            help="Attack the part of the network behind every layer, too, so that each layer's kappa is known from "
            "above (--norm 2 without --box). Takes as long as an attack for every layer.",
        ),
    ] = False,
    memory: Memory = 512,
    scale: Scale = None,
    value_range: ValueRange = None,
    output_format: OutputFormat = Format.TABLE,
    output: Output = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the choice of images.")] = 0,
    samples: Samples = 100,
    quiet: Quiet = False,
) -> None:
    """Certify how far each image can change before its label can, and attack it.

    For every image a radius: no change of the pixels up to that norm changes the predicted class. Computed in float64
    on the CPU. Beside it the norm of a real adversarial example, confirmed by onnxruntime: the truth lies between.
    """
    from nmcheck.checks.adversarial_files import ADVERSARIAL_FILES, VNNLIB_FILES
    from nmcheck.checks.bounds_options import BoundsOptions
    from nmcheck.cli.progress import open_progress

    options = BoundsOptions(
        model=model,
        data=data,
        norm=str(norm),
        box=box,
        method=str(method),
        attacks=attack_names(attack),
        epsilons=None if epsilon is None else tuple(epsilon),
        save_adversarial=save_adversarial,
        vnnlib=vnnlib,
        optimize=optimize,
        iterated=iterated,
        layerwise=layerwise,
        memory=memory,
        scale=scale,
        value_range=parse_range(value_range),
        seed=seed,
        samples=samples,
    )
    check_scale(scale)
    wanted = {"--save-adversarial": save_adversarial, "--vnnlib": vnnlib}
    names = {"--save-adversarial": ADVERSARIAL_FILES, "--vnnlib": VNNLIB_FILES}
    check_files(
        {"--output": output},
        folders={option: OutputFolder(path, names[option]) for option, path in wanted.items() if path is not None},
        models=[model],
        data=data,
        stdout=output is None,
    )
    with folders(wanted), open_progress(quiet) as progress:
        report = SESSION.get().bounds(options, progress)
    from nmcheck.reports.bounds_report import bounds_parts

    show_report(report, bounds_parts, output_format, output, quiet=quiet)
