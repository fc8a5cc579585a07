"""``nmcheck analyze``."""

from __future__ import annotations

import math
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmcheck.cli.output import check_writable, write_file, write_stdout
from nmcheck.cli.rendering import Format, canvas
from nmcheck.cli.session import SESSION, Session
from nmcheck.errors import UsageError

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


class Linearizer(StrEnum):
    """``--linearizer``."""

    TAYLOR = "taylor"
    AVERAGED = "averaged"


class Reference(StrEnum):
    """``--reference``."""

    CONTROL_VARIATE = "control-variate"
    PLAIN = "plain"


class Device(StrEnum):
    """``--device``."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def analyze(
    *,
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The ONNX classifier.", show_default=False)],
    data: Annotated[
        str,
        typer.Option(
            metavar="SPEC",
            help="Images to analyse: mnist (its 10,000 test images, in the package), mnist:train, fashion-mnist, "
            "fashion-mnist:train (downloaded once), a .npz file (FILE.npz:train for its training part), a folder of "
            "idx files, or a folder with one sub-folder of images per class.",
            show_default=False,
        ),
    ],
    sigma: Annotated[
        list[float] | None,
        typer.Option(
            metavar="S",
            help="Standard deviation of the Gaussian noise in pixel units, the data range being 0 to 1; may be "
            "given several times. Default: 0.05 and 0.1.",
            show_default=False,
        ),
    ] = None,
    noise: Annotated[
        str,
        typer.Option(
            metavar="NOISE",
            help="What the noise is like; sigma multiplies it. isotropic: independent, as strong in every pixel. "
            "window:ROW0:ROW1:COL0:COL1: in these rows and columns only (first, and one past the last; all channels). "
            "diagonal:FILE.npz or .npy: independent, with the relative standard deviations of an array of the images' "
            "or the model input's shape (of a .npz its only array, or scale). factor:FILE.npy: correlated, with the "
            "covariance sigma^2 F'F, F having a row of that shape for every direction.",
        ),
    ] = "isotropic",
    cut: Annotated[
        str | None,
        typer.Option(
            metavar="NODE",
            help="The ReLU the network is linearized around: a node's name, or first or last of those that every path "
            "to the logits crosses; of all ReLUs if there is none; or best, the one of all ReLUs around which the "
            "linearized network comes closest to the network, measured on 8 images with 32 noise draws; of errors "
            "within 5 % of the smallest, the last. first, last and best pass over ReLUs whose matrices would take more "
            "than 2 GiB. Default: last, or the ReLU that the bank is linearized around.",
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
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="SCALE",
            help="What the model expects, given pixels of 0 to 1: unit (the same), byte (0 to 255), or "
            "mean=A[,B,C]:std=A[,B,C] for (pixel - mean) / std, one value or one per channel. "
            "Default: the model's metadata entry nmcheck.scale, else unit.",
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
    reference: Annotated[
        Reference,
        typer.Option(
            help="How the reference is sampled: antithetic pairs with a linear control variate, or plain Monte Carlo."
        ),
    ] = Reference.CONTROL_VARIATE,
    reference_samples: Annotated[
        int,
        typer.Option(metavar="N", help="Noise samples per image of the Monte Carlo reference; even, and at least 500."),
    ] = 1000,
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
            help="Noisy inputs per image by which propagate tells what is not linear in the noise. More narrow the "
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
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress and no warnings on standard error.")
    ] = False,
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
        scale=scale,
        value_range=None if value_range is None else parse_range(value_range),
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
    text = _render(report, output_format, to_file=output is not None)
    if output is None:
        write_stdout(text)
    else:
        write_file(output, text)
    # On a terminal the report has just shown them.
    if not quiet and (output is not None or output_format is Format.JSON or not sys.stdout.isatty()):
        for warning in report.warnings:
            print(f"Warning: {warning}", file=sys.stderr)


def _engines(asked: list[Engine] | None, bank: Path | None) -> tuple[str, ...]:
    """The engines to run; a bank is read whether its engine is named or not."""
    if bank is None:
        return tuple(str(name) for name in asked or (Engine.PROPAGATE, Engine.TWO_STAGE, Engine.THEOREM_2))
    return tuple(dict.fromkeys(str(name) for name in (*(asked or ()), Engine.BANK)))


def parse_range(text: str) -> tuple[float, float]:
    """``LOW:HIGH`` as two numbers.

    Raises:
        UsageError: if it is no range.
    """
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        raise UsageError(f"--range must be two numbers as LOW:HIGH, not '{text}'; try --range 0:255.") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"--range must go from a lower to a higher number, not '{text}'; try --range 0:255.")
    return low, high


def _report(session: Session, options: AnalyzeOptions, output: Path | None, *, quiet: bool) -> Report:
    """Check what is cheap to check, then run the analysis."""
    from nmcheck.cli.progress import open_progress

    if options.scale is not None:
        from nmcheck.data.scale import parse_scale

        parse_scale(options.scale)
    if options.noise != "isotropic":
        from nmcheck.data.noise import parse_noise

        parse_noise(options.noise)
    if output is not None:
        check_writable(output)
    with open_progress(quiet) as progress:
        return session.analyze(options, progress)


def _render(report: Report, output_format: Format, *, to_file: bool) -> str:
    if output_format is Format.JSON:
        from nmcheck.reports.json import to_json

        return to_json(report)
    from nmcheck.reports.table import to_table

    paper = canvas(to_file=to_file)
    return to_table(report, paper.width, color=paper.color, encoding=paper.encoding)
