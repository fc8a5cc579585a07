"""Arguments and options that several commands share, as annotations."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nmcheck.cli.rendering import Format
from nmcheck.errors import UsageError

SCALES = (
    "What the model expects, given pixels of 0 to 1: unit (the same), byte (0 to 255), or "
    "mean=A[,B,C]:std=A[,B,C] for (pixel - mean) / std, one value or one per channel."
)


class Linearizer(StrEnum):
    """``--linearizer``."""

    TAYLOR = "taylor"
    AVERAGED = "averaged"


class Device(StrEnum):
    """``--device``."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Norm(StrEnum):
    """``--norm``."""

    L2 = "2"
    LINF = "inf"


class Method(StrEnum):
    """``--method``."""

    AUTO = "auto"
    LIPSCHITZ = "lipschitz"
    CROWN_IBP = "crown-ibp"
    CROWN = "crown"


Model = Annotated[Path, typer.Argument(metavar="MODEL", help="The ONNX classifier.", show_default=False)]

Bank = Annotated[Path, typer.Argument(metavar="FILE", help="The bank.", show_default=False)]

Data = Annotated[
    str,
    typer.Option(
        metavar="SPEC",
        help="Images to use: mnist (its 10,000 test images, in the package), mnist:train, fashion-mnist, "
        "fashion-mnist:train (downloaded once), a .npz file (FILE.npz:train for its training part), a folder of "
        "idx files, or a folder with one sub-folder of images per class.",
        show_default=False,
    ),
]

Scale = Annotated[
    str | None,
    typer.Option(
        metavar="SCALE",
        help=f"{SCALES} Default: the model's metadata entry nmcheck.scale, else unit.",
        show_default=False,
    ),
]

ValueRange = Annotated[
    str | None,
    typer.Option(
        "--range",
        metavar="LOW:HIGH",
        help="The values of the data that mean black and white. Default: 0:255 for 8-bit images, else 0:1.",
        show_default=False,
    ),
]

Samples = Annotated[
    int, typer.Option(metavar="N", help="Number of images to use, each class in proportion to its size.")
]

ChangeNorm = Annotated[
    Norm, typer.Option(metavar="2|inf", help="The norm of a change: Euclidean, or the largest change of a pixel.")
]

Epsilons = Annotated[
    list[float] | None,
    typer.Option(
        metavar="E",
        help="Norm at which certified and attacked accuracy are stated; may be given several times. Default: 0.1, "
        "0.25, 0.5 and 1, or 0.01, 0.02, 0.05 and 0.1 for --norm inf.",
        show_default=False,
    ),
]

Memory = Annotated[
    int, typer.Option(metavar="MIB", help="Memory that the relaxation's coefficients may take at a time.")
]

OutputFormat = Annotated[
    Format,
    typer.Option(
        "--format",
        metavar="|".join(Format),
        help="Tables for a person, JSON, CSV with a line a number, Markdown, or one page that needs no network.",
    ),
]

Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the report to a file instead of standard output."),
]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no warnings on standard error.")]


def parse_range(text: str | None) -> tuple[float, float] | None:
    """``LOW:HIGH`` as two numbers; None stays None.

    Raises:
        UsageError: if it is no range.
    """
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        raise UsageError(f"--range must be two numbers as LOW:HIGH, not '{text}'; try --range 0:255.") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"--range must go from a lower to a higher number, not '{text}'; try --range 0:255.")
    return low, high


def attack_names(given: list[str] | None) -> tuple[str, ...] | None:
    """What ``--attack`` asks for: None for the usual ones, no names for ``none``.

    Raises:
        UsageError: ``none`` stands beside others.
    """
    if given is None:
        return None
    names = tuple(dict.fromkeys(given))
    if "none" in names and len(names) > 1:
        other = next(name for name in names if name != "none")
        raise UsageError(f"--attack none and --attack {other} contradict each other; leave one of them out.")
    return tuple(name for name in names if name != "none")


def check_scale(text: str | None) -> None:
    """Find a mistake in ``--scale`` before anything is read.

    Raises:
        UsageError: if it is no scale.
    """
    if text is not None:
        from nmcheck.data.scale import parse_scale

        parse_scale(text)


Noise = Annotated[
    str,
    typer.Option(
        metavar="NOISE",
        help="What the noise is like; sigma multiplies it. isotropic: Gaussian and independent, as strong in every "
        "pixel. uniform: independent and uniform; it is sampled, for analytic moments are of Gaussian noise. "
        "window:ROW0:ROW1:COL0:COL1: in these rows and columns only (first, and one past the last; all channels). "
        "diagonal:FILE.npz or .npy: independent, with the relative standard deviations of an array of the images' "
        "or the model input's shape (of a .npz its only array, or scale). factor:FILE.npy: correlated, with the "
        "covariance sigma^2 F'F, F having a row of that shape for every direction.",
    ),
]


def noise_file(noise: str) -> Path | None:
    """The file that ``--noise`` names, if any.

    Raises:
        UsageError: if it is none of the forms.
    """
    if ":" not in noise:
        return None
    from nmcheck.data.noise import parse_noise

    return parse_noise(noise).path
