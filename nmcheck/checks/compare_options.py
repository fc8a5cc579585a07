"""What ``nmcheck compare`` is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from nmcheck.checks.bounds_options import MEMORY, BoundsOptions
from nmcheck.errors import UsageError


@dataclass(frozen=True)
class CompareOptions:
    """Options of ``nmcheck compare``, checked when made.

    Attributes:
        models: the ONNX files, two or more.
        data: a data spec.
        sigmas: noise levels, in pixel units.
        noise: what the noise is like (``data.noise``).
        draws: noise samples an image and level.
        norm: ``2`` or ``inf``.
        box: whether perturbed pixels must stay within [0, 1].
        method: of certified radii, as for ``nmcheck bounds``.
        attacks: names of the attacks; None for the usual ones, empty for none.
        epsilons: norms at which certified and attacked accuracy are stated; None for the usual ones.
        memory: MiB that coefficients of the relaxation may take at a time.
        scales: what the models expect: none, one for all of them, or one for each.
        value_range: the range float images lie in, if not [0, 1].
        seed: seeds the choice of images and the noise.
        samples: how many images to use, stratified by class.

    Raises:
        UsageError: a value is out of its range.
    """

    models: tuple[Path, ...]
    data: str
    sigmas: tuple[float, ...] = (0.05, 0.1)
    noise: str = "isotropic"
    draws: int = 200
    norm: str = "2"
    box: bool = False
    method: str = "auto"
    attacks: tuple[str, ...] | None = None
    epsilons: tuple[float, ...] | None = None
    memory: int = MEMORY
    scales: tuple[str, ...] = ()
    value_range: tuple[float, float] | None = None
    seed: int = 0
    samples: int = 100

    def __post_init__(self) -> None:
        if len(self.models) < 2:
            raise UsageError("nmcheck compare needs two models or more; nmcheck bounds looks at a single one.")
        if self.draws < 1:
            raise UsageError(f"--draws must be at least 1, not {self.draws}; try --draws 200.")
        if len(self.scales) not in (0, 1, len(self.models)):
            raise UsageError(
                f"--scale is given {len(self.scales)} times for {len(self.models)} models; give it once for all of "
                "them, or once for each, in their order."
            )
        for one in self.each():
            replace(one.case_options(), sigmas=self.sigmas)

    def each(self) -> tuple[BoundsOptions, ...]:
        """What is asked of each model."""
        scales = self.scales if len(self.scales) == len(self.models) else (*self.scales, None)[:1] * len(self.models)
        return tuple(
            BoundsOptions(
                model=model,
                data=self.data,
                norm=self.norm,
                box=self.box,
                method=self.method,
                attacks=self.attacks,
                epsilons=self.epsilons,
                memory=self.memory,
                scale=scale,
                value_range=self.value_range,
                seed=self.seed,
                samples=self.samples,
            )
            for model, scale in zip(self.models, scales, strict=True)
        )
