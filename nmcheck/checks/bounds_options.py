"""What ``nmcheck bounds`` is asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nmcheck.bounds.relaxation.method import METHODS
from nmcheck.checks.adversarial import NormName
from nmcheck.checks.attacks import ATTACKS, DEFAULT_ATTACKS
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.errors import UsageError

NORMS = {"2": 2.0, "inf": math.inf}
NAMES: Mapping[str, NormName] = {"2": "l2", "inf": "linf"}
LEVELS = {"2": (0.1, 0.25, 0.5, 1.0), "inf": (0.01, 0.02, 0.05, 0.1)}
"""Default of ``epsilons``."""
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
        attacks: names of the attacks to run (``attacks.ATTACKS``); None for the usual ones, empty for none.
        epsilons: norms at which certified and attacked accuracy are stated; None for the usual ones.
        save_adversarial: folder for the adversarial examples, or None.
        vnnlib: folder for the questions left open, for external verifiers, or None.
        iterated: steps of the thesis's iterative perturbation; 0 for none.
        layerwise: whether every layer's kappa is attacked, too; L2 without a box.
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
    attacks: tuple[str, ...] | None = None
    epsilons: tuple[float, ...] | None = None
    save_adversarial: Path | None = None
    vnnlib: Path | None = None
    iterated: int = 0
    layerwise: bool = False
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
        self._check_attacks()
        if self.iterated < 0:
            raise UsageError(f"--iterated must not be negative, but is {self.iterated}; try --iterated 5.")
        if self.layerwise and (self.norm != "2" or self.box):
            raise UsageError("--layerwise needs --norm 2 without --box: kappa is a Euclidean norm at every layer.")
        if self.vnnlib is not None and self.norm != "inf":
            raise UsageError("--vnnlib needs --norm inf: VNN-LIB has no constraint on a Euclidean norm.")
        self.case_options()

    def _check_attacks(self) -> None:
        if self.attacks is None:
            object.__setattr__(self, "attacks", DEFAULT_ATTACKS[self.norm_name])
        known = ATTACKS[self.norm_name]
        for name in self.attacks or ():
            if name not in known:
                raise UsageError(
                    f"--attack {name} is not known for --norm {self.norm}; choose from {', '.join(known)}."
                )
        if self.save_adversarial is not None and not self.attacks:
            raise UsageError("--save-adversarial needs an attack; leave out --attack none.")
        for epsilon in self.levels:
            if not (math.isfinite(epsilon) and epsilon > 0):
                raise UsageError(f"--epsilon must be a positive number of pixel units, not {epsilon}.")

    @property
    def norm_name(self) -> NormName:
        """As reports have it."""
        return NAMES[self.norm]

    @property
    def pixel_box(self) -> tuple[float, float] | None:
        """The range that pixels stay in."""
        return (0.0, 1.0) if self.box else None

    @property
    def levels(self) -> tuple[float, ...]:
        """Norms at which accuracy is stated, each once."""
        return LEVELS[self.norm] if self.epsilons is None else tuple(dict.fromkeys(self.epsilons))

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
