"""``nmcheck bank``: build a bank of linearizations, look into it, check it."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nmcheck.cli.messages import say
from nmcheck.cli.output import tidy
from nmcheck.cli.parameters import (
    Bank,
    Linearizer,
    Model,
    Output,
    OutputFormat,
    Scale,
    ValueRange,
    parse_range,
)
from nmcheck.cli.rendering import Format, show
from nmcheck.cli.run_files import check_files
from nmcheck.cli.session import SESSION
from nmcheck.errors import UsageError


class Points(StrEnum):
    """``--points``."""

    CENTERS = "centers"
    MEDOID = "medoid"
    FARTHEST = "farthest"


class Dtype(StrEnum):
    """``--dtype``."""

    FLOAT16 = "float16"
    FLOAT32 = "float32"


class Kernels(StrEnum):
    """``--kernels``."""

    AUTO = "auto"
    ONEDNN = "onednn"
    NATIVE = "native"


bank = typer.Typer(
    name="bank",
    help="Linearizations around representative images, computed once and served to every new image.",
    rich_markup_mode="markdown",
)


@bank.command()
def build(
    *,
    model: Model,
    data: Annotated[
        str,
        typer.Option(
            metavar="SPEC", help="Images that the points represent; as for nmcheck analyze.", show_default=False
        ),
    ],
    k: Annotated[
        int,
        typer.Option(
            "-k",
            metavar="K",
            help="Points to linearize at. As many as there are images, or more, takes these themselves.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The bank, an HDF5 file.", show_default=False)
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the file if it is there: points that are done stay.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the file if it is there, as soon as the points are chosen.")
    ] = False,
    cut: Annotated[
        str,
        typer.Option(
            metavar="NODE", help="The ReLU to linearize around: first, last, best or a node, as for nmcheck analyze."
        ),
    ] = "last",
    points: Annotated[
        Points,
        typer.Option(
            metavar="centers|medoid|farthest",
            help="Which points: the centers of k-means clusters in pixel space, the members nearest to these, or the "
            "members farthest from them (the papers' weak baseline).",
        ),
    ] = Points.CENTERS,
    linearizer: Annotated[
        Linearizer,
        typer.Option(
            metavar="taylor|averaged",
            help="How the network is made affine around the ReLU, as for nmcheck analyze. averaged takes 16 times as "
            "long, and serves the noise level of --sigma only.",
        ),
    ] = Linearizer.TAYLOR,
    sigma: Annotated[
        float | None,
        typer.Option(metavar="S", help="Noise level that averaged averages over, in pixel units.", show_default=False),
    ] = None,
    store: Annotated[
        str,
        typer.Option(
            metavar="gram|full|low-rank:R",
            help="What is kept of the matrix A in front of the ReLU: its Gram matrix, A itself (which alone serves "
            "--noise other than isotropic), or a factor of the Gram matrix of rank R with an exact diagonal.",
        ),
    ] = "gram",
    dtype: Annotated[
        Dtype, typer.Option(metavar="float16|float32", help="Precision it is kept in; row norms are float32.")
    ] = Dtype.FLOAT16,
    scale: Scale = None,
    value_range: ValueRange = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the choice of the points and of all draws.")] = 0,
    samples: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Images to choose the points from, each class in proportion to its size. Default: all.",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", metavar="N", help="Processes on this machine, each with one thread.")
    ] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="A dask scheduler, such as tcp://host:8786, whose workers compute instead of this machine "
            "(pip install 'nmcheck[dask]'). dask asks for no password by default: see docs/cluster.md.",
            show_default=False,
        ),
    ] = None,
    memory: Annotated[
        float, typer.Option(metavar="GIB", help="Memory that a point may take while it is built, in GiB.")
    ] = 4.0,
    kernels: Annotated[
        Kernels,
        typer.Option(
            metavar="auto|onednn|native",
            help="Which convolutions compute; auto times both. Name them, and --chunk, to get the same bits again.",
        ),
    ] = Kernels.AUTO,
    chunk: Annotated[
        int | None,
        typer.Option(metavar="N", help="Rows of A computed at a time. Default: the fastest.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what the bank would cost, and build none.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no costs on standard error.")] = False,
) -> None:
    """Linearize a classifier around representative images and keep that.

    What it costs is said first. Killed at any moment, the bank keeps every point that was done, and the same command
    with --resume goes on.
    """
    from nmcheck.checks.bank_options import BankOptions
    from nmcheck.cli.progress import open_progress
    from nmcheck.reports.bank_table import bank_built, bank_preview

    options = BankOptions(
        model=model,
        data=data,
        output=output,
        k=k,
        resume=resume,
        force=force,
        cut=cut,
        linearizer=str(linearizer),
        sigma=sigma,
        store=store,
        dtype=str(dtype),
        points=str(points),
        samples=samples,
        seed=seed,
        scale=scale,
        value_range=parse_range(value_range),
        jobs=jobs,
        scheduler=scheduler,
        memory=_in_bytes(memory),
        kernels=str(kernels),
        chunk=chunk,
    )
    # Resuming the bank's own file is no harm.
    check_files({"--output": output}, models=[model], data=data, writable=False)
    session = SESSION.get()
    with open_progress(quiet) as progress:
        plan = session.plan_bank(options, progress)
    if not quiet:
        for sentence in bank_preview(plan.preview):
            say(sentence)
    if dry_run:
        return
    # A bank that is resumed makes no new file, which would do this.
    tidy(output.resolve().parent)
    with open_progress(quiet) as progress:
        session.build_bank(plan, progress)
    if not quiet:
        say(bank_built(session.bank_info(output)))


@bank.command()
def info(
    *,
    file: Bank,
    output_format: OutputFormat = Format.TABLE,
    output: Output = None,
) -> None:
    """Say what a bank holds and how far it is."""
    from nmcheck.reports.bank_table import bank_info_parts

    check_files({"--output": output}, others={"the bank": file}, stdout=output is None)
    show(SESSION.get().bank_info(file), bank_info_parts, output_format, output)


@bank.command()
def verify(
    *,
    file: Bank,
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The model it was made of.", show_default=False)],
    output_format: OutputFormat = Format.TABLE,
    output: Output = None,
) -> None:
    """Check that every byte of a bank is as it was written, and that it is of a model.

    Compares all checksums and computes three points again. Ends in exit code 3 if anything is wrong.
    """
    from nmcheck.reports.bank_table import bank_verification_parts

    check_files({"--output": output}, models=[model], others={"the bank": file}, stdout=output is None)
    show(SESSION.get().verify_bank(file, model), bank_verification_parts, output_format, output)


def _in_bytes(memory: float) -> int:
    """``--memory``, in GiB."""
    if not (memory > 0 and math.isfinite(memory * 2**30)):
        raise UsageError(f"--memory must be a positive, finite number of GiB, not {memory:g}; try --memory 4.")
    return int(memory * 2**30)
