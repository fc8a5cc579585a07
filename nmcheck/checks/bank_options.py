"""What a bank is asked to be."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path

from nmcheck.checks.options import LINEARIZERS, AnalyzeOptions
from nmcheck.errors import UsageError
from nmcheck.linearize.bank.points import Choice
from nmcheck.linearize.bank.storage import Storage, parse_storage

CHOICES: dict[str, Choice] = {"centers": "centers", "medoid": "medoid", "farthest": "farthest"}
KERNELS = ("auto", "onednn", "native")
SEEDS = 2**32
"""Seeds that the generator behind k-means takes."""


@dataclass(frozen=True)
class BankOptions:
    """Options of ``nmcheck bank build``, checked when made.

    Attributes:
        model: the ONNX file.
        data: a data spec: ``mnist``, ``FILE.npz``, a folder, ...
        output: the bank's file.
        k: points to linearize at.
        resume: go on with the file if it is there.
        cut: ``first``, ``last``, ``best`` or the name of a ReLU node.
        linearizer: ``taylor`` or ``averaged``.
        sigma: noise level that ``averaged`` averages over; None for ``taylor``.
        averaging_points: noisy inputs it averages over; even.
        store: ``gram``, ``full`` or ``low-rank:R``.
        dtype: ``float16`` or ``float32``.
        points: ``centers``, ``medoid`` or ``farthest``.
        samples: images to choose from, stratified by class; None for all.
        seed: of the choice and of all draws.
        scale: what the model expects, given pixels in [0, 1]; None for the model's own metadata, else ``unit``.
        value_range: the range float images lie in, if not [0, 1].
        jobs: processes on this machine; 1 with a scheduler.
        scheduler: address of a dask cluster instead.
        memory: bytes that a point may take while it is built.
        kernels: ``onednn``, ``native``, or ``auto`` for the faster.
        chunk: rows of A at a time; None for the fastest.
        force: replace the file if it is there.

    Raises:
        UsageError: a value is out of its range.
    """

    model: Path
    data: str
    output: Path
    k: int
    resume: bool = False
    cut: str = "last"
    linearizer: str = "taylor"
    sigma: float | None = None
    averaging_points: int = 16
    store: str = "gram"
    dtype: str = "float16"
    points: str = "centers"
    samples: int | None = None
    seed: int = 0
    scale: str | None = None
    value_range: tuple[float, float] | None = None
    jobs: int = 1
    scheduler: str | None = None
    memory: int = 4 * 2**30
    kernels: str = "auto"
    chunk: int | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UsageError(f"-k must be at least 1, not {self.k}.")
        if self.jobs < 1:
            raise UsageError(f"--jobs must be at least 1, not {self.jobs}.")
        if self.jobs != 1 and self.scheduler is not None:
            raise UsageError(
                f"--jobs {self.jobs} starts processes here, and --scheduler {self.scheduler} gives the points to a "
                "cluster's workers instead; leave one of them out."
            )
        if self.resume and self.force:
            raise UsageError(
                "--resume goes on with the bank that is there, and --force replaces it; leave one of them out."
            )
        if not 0 <= self.seed < SEEDS:
            raise UsageError(f"--seed must be at least 0 and below 2^32 = {SEEDS}, but is {self.seed}.")
        if self.chunk is not None and self.chunk < 1:
            raise UsageError(f"--chunk must be at least 1, not {self.chunk}.")
        if self.memory < 1:
            raise UsageError("--memory must be positive.")
        if self.averaging_points < 2 or self.averaging_points % 2:
            raise UsageError(f"averaging_points must be even and at least 2, not {self.averaging_points}.")
        for option, value, known in (
            ("--points", self.points, tuple(CHOICES)),
            ("--linearizer", self.linearizer, LINEARIZERS),
            ("--kernels", self.kernels, KERNELS),
        ):
            if value not in known:
                raise UsageError(f"{option} {value} is not known; choose from {', '.join(known)}.")
        self._check_sigma()
        self.storage  # noqa: B018

    def _check_sigma(self) -> None:
        if self.linearizer == "averaged":
            if self.sigma is None:
                raise UsageError("--linearizer averaged needs --sigma: it averages over noise of one level.")
            if not (math.isfinite(self.sigma) and self.sigma > 0):
                raise UsageError(f"--sigma must be a positive number of pixel units, not {self.sigma}.")
        elif self.sigma is not None:
            raise UsageError("--sigma goes with --linearizer averaged only; a bank of Taylor models serves any level.")

    @property
    def storage(self) -> Storage:
        """What is kept of A."""
        return parse_storage(self.store, self.dtype)

    @property
    def choice(self) -> Choice:
        """Which points."""
        return CHOICES[self.points]

    @property
    def case(self) -> AnalyzeOptions:
        """The options that a case is opened by."""
        return AnalyzeOptions(
            self.model,
            self.data,
            sigmas=(self.sigma or 0.1,),
            cut=self.cut,
            linearizer=self.linearizer,
            engines=("two-stage",),
            scale=self.scale,
            seed=self.seed,
            samples=sys.maxsize if self.samples is None else self.samples,
            value_range=self.value_range,
            device="cpu",
        )
