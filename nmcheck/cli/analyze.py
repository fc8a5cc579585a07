"""``nmcheck analyze``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmcheck.cli.parameters import (
    Data,
    Device,
    Linearizer,
    Model,
    Noise,
    Output,
    OutputFormat,
    Quiet,
    Samples,
    Scale,
    ValueRange,
    check_scale,
    noise_file,
    parse_range,
)
from nmcheck.cli.rendering import Format, show_report
from nmcheck.cli.run_files import check_files
from nmcheck.cli.session import SESSION, Session

if TYPE_CHECKING:
    from nmcheck.checks.options import AnalyzeOptions
    from nmcheck.results.report import Report


class Engine(StrEnum):
    """``--engine``."""

    PROPAGATE = "propagate"
    TWO_STAGE = "two-stage"
    BANK = "bank"
    DIAGONAL = "diagonal"
    THEOREM_2 = "published-theorem2"
    LEMMA_4 = "published-lemma4"


class BankAnchor(StrEnum):
    """``--bank-anchor``."""

    POINT = "point"
    IMAGE = "image"


class Reference(StrEnum):
    """``--reference``."""

    CONTROL_VARIATE = "control-variate"
    PLAIN = "plain"


def analyze(
    *,
    model: Model,
    data: Data,
    sigma: Annotated[
        list[float] | None,
        typer.Option(
            metavar="S",
            help="Standard deviation of the noise in pixel units, the data range being 0 to 1; may be "
            "given several times. Default: 0.05 and 0.1.",
            show_default=False,
        ),
    ] = None,
    noise: Noise = "isotropic",
    cut: Annotated[
        str | None,
        typer.Option(
            metavar="NODE",
            help="The ReLU the network is linearized around: a node's name, or first or last of those that every path "
            "to the logits crosses; of all ReLUs if there is none; or best, the one of all ReLUs around which the "
            "linearized network comes closest to the network, measured on 8 images with 32 noise draws; of errors "
            "within 5 % of the smallest, the last. first, last and best pass over ReLUs whose matrices would take more "
            "than 2 GiB, or more than the memory there is. Default: last, or the ReLU that the bank is linearized "
            "around.",
            show_default=False,
        ),
    ] = None,
    linearizer: Annotated[
        Linearizer,
        typer.Option(
            metavar="taylor|averaged",
            help="How the parts around that ReLU are made affine: by their derivatives at the image (the papers' way), "
            "or by derivatives averaged over 16 noisy inputs, which takes 16 times as long for every noise level, and "
            "gives far better means.",
        ),
    ] = Linearizer.TAYLOR,
    engine: Annotated[
        list[Engine] | None,
        typer.Option(
            metavar="ENGINE",
            help="How the moments are computed; may be given several times: propagate (Gaussian moments through every "
            "layer, the most accurate), two-stage (the papers' linearization around one ReLU; exact for "
            "affine-ReLU-affine networks), bank (the same, linearized at the nearest point of --bank instead of at the "
            "image), and as baselines diagonal (units taken as independent, which loses most of "
            "the variance), published-theorem2 and published-lemma4 (the papers' formulas; the latter is slow). "
            "Default: propagate, two-stage and published-theorem2; with --bank, bank alone.",
            show_default=False,
        ),
    ] = None,
    bank: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A bank of linearizations that nmcheck bank build has made of this model, for --engine bank.",
            show_default=False,
        ),
    ] = None,
    bank_anchor: Annotated[
        BankAnchor,
        typer.Option(
            metavar="point|image",
            help="Where the bank's models agree with the network: at the nearest point, as in the papers, or at the "
            "image itself, so that only slopes come from the bank. The mean is then far better.",
        ),
    ] = BankAnchor.POINT,
    scale: Scale = None,
    value_range: ValueRange = None,
    output_format: OutputFormat = Format.TABLE,
    output: Output = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the choice of images and of the noise.")] = 0,
    samples: Samples = 100,
    reference: Annotated[
        Reference,
        typer.Option(
            help="How the reference is sampled: antithetic pairs with control variates, or plain Monte Carlo."
        ),
    ] = Reference.CONTROL_VARIATE,
    reference_samples: Annotated[
        int,
        typer.Option(metavar="N", help="Noise samples per image of the Monte Carlo reference; even, and at least 500."),
    ] = 1500,
    reference_error: Annotated[
        float | None,
        typer.Option(
            metavar="E",
            help="Choose that number instead, for each noise level, so that the reference's own error, its floor, is "
            "about E: by a pilot run of 500 samples an image, which are thrown away.",
            show_default=False,
        ),
    ] = None,
    residual_samples: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Noisy inputs per image used to estimate the nonlinear part of the response. More narrow the "
            "error of its variances, which the report states, as one over the square root of N.",
        ),
    ] = 128,
    second_order: Annotated[
        bool,
        typer.Option(
            "--second-order",
            help="propagate sums what is not linear in the noise over pairs of units instead of sampling it: free of "
            "sampling error, and many times slower for wide convolutions.",
        ),
    ] = False,
    device: Annotated[
        Device, typer.Option(metavar="auto|cpu|cuda", help="Where to compute; auto takes a GPU if there is one.")
    ] = Device.AUTO,
    quiet: Quiet = False,
) -> None:
    """Analyse a classifier under Gaussian noise.

    Reports how tight the analytic mean and variance of each logit are against a sampled reference, how robust each
    layer and the whole network are, and what normalization layers do to both.
    """
    from nmcheck.checks.options import AnalyzeOptions

    options = AnalyzeOptions(
        model=model,
        data=data,
        sigmas=tuple(sigma or (0.05, 0.1)),
        noise=noise,
        cut=cut,
        linearizer=str(linearizer),
        engines=_engines(engine, bank),
        bank=bank,
        bank_anchor=str(bank_anchor),
        scale=scale,
        value_range=parse_range(value_range),
        seed=seed,
        samples=samples,
        reference=str(reference),
        reference_samples=reference_samples,
        reference_error=reference_error,
        residual_samples=residual_samples,
        second_order=second_order,
        device=str(device),
    )
    report = _report(SESSION.get(), options, output, quiet=quiet)
    from nmcheck.reports.table import analysis_parts

    show_report(report, analysis_parts, output_format, output, quiet=quiet)


def _engines(asked: list[Engine] | None, bank: Path | None) -> tuple[str, ...]:
    """The engines to run; a bank is read whether its engine is named or not."""
    if bank is None:
        return tuple(str(name) for name in asked or (Engine.PROPAGATE, Engine.TWO_STAGE, Engine.THEOREM_2))
    return tuple(dict.fromkeys(str(name) for name in (*(asked or ()), Engine.BANK)))


def _report(session: Session, options: AnalyzeOptions, output: Path | None, *, quiet: bool) -> Report:
    """Check what is cheap to check, then run the analysis."""
    from nmcheck.cli.progress import open_progress

    check_scale(options.scale)
    check_files(
        {"--output": output},
        models=[options.model],
        data=options.data,
        others={"the file of --noise": noise_file(options.noise), "the bank": options.bank},
        stdout=output is None,
    )
    with open_progress(quiet) as progress:
        return session.analyze(options, progress)
