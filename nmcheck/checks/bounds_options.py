"""What ``nmcheck bounds`` is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from nmcheck.bounds.relaxation.method import METHODS
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.errors import UsageError

NORMS = {"2": 2.0, "inf": math.inf}
MEMORY = 512
"""Default of ``memory``, in MiB."""


@dataclass(frozen=True)
class BoundsOptions:
    """Options of ``nmcheck bounds``, checked when made.

    Attributes:
        model: the ONNX file.
        data: a data spec.
        norm: ``2`` or ``inf``.
        box: whether perturbed pixels must stay within [0, 1].
        method: of ``METHODS``.
        optimize: steps of slope optimization an image and test; 0 for none.
        memory: MiB that coefficients of the relaxation may take at a time.
        scale: what the model expects, given pixels in [0, 1].
        value_range: the range float images lie in, if not [0, 1].
        seed: seeds the choice of images.
        samples: how many images to use, stratified by class.

    Raises:
        UsageError: a value is out of its range.
    """

    model: Path
    data: str
    norm: str = "2"
    box: bool = False
    method: str = "auto"
    optimize: int = 0
    memory: int = MEMORY
    scale: str | None = None
    value_range: tuple[float, float] | None = None
    seed: int = 0
    samples: int = 100

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise UsageError(f"--norm {self.norm} is not known; choose 2 or inf.")
        if self.method not in METHODS:
            raise UsageError(f"--method {self.method} is not known; choose from {', '.join(METHODS)}.")
        if self.optimize < 0:
            raise UsageError(f"--optimize must not be negative, but is {self.optimize}; try --optimize 20.")
        if self.optimize and self.method in ("lipschitz", "crown-ibp"):
            raise UsageError(f"--optimize needs the lines of --method crown, not {self.method}; use --method crown.")
        if self.memory < 1:
            raise UsageError(f"--memory must be at least 1 MiB, not {self.memory}; try --memory {MEMORY}.")
        self.case_options()

    def case_options(self) -> AnalyzeOptions:
        """The part that says which model and which images, in the form a case is opened with."""
        return AnalyzeOptions(
            model=self.model,
            data=self.data,
            scale=self.scale,
            value_range=self.value_range,
            seed=self.seed,
            samples=self.samples,
            device="cpu",
        )
