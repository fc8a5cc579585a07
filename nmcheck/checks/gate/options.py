"""What a gate is asked for."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nmcheck.checks.gate.moments_section import asked_for
from nmcheck.checks.gate.policy import Policy
from nmcheck.checks.options import DEFAULT_ENGINES, AnalyzeOptions
from nmcheck.errors import UsageError


@dataclass(frozen=True)
class GateOptions:
    """Options of ``nmcheck gate``; what is None is taken from the policy.

    Attributes:
        model: the ONNX file.
        data: a data spec.
        policy: what is demanded.
        today: the day that waivers are compared with.
        scale: what the model expects of its pixels.
        value_range: the range float images lie in.
        samples: images to use.
        seed: of their choice and of all noise.
        baseline: a JSON report not to fall below.
        max_drop: how much worse than that a check may be.
        on_inconclusive: what an inconclusive verdict counts as.
        device: ``cpu``, ``cuda`` or ``auto``.

    Raises:
        UsageError: a value is out of its range.
    """

    model: Path
    data: str
    policy: Policy
    today: dt.date
    scale: str | None = None
    value_range: tuple[float, float] | None = None
    samples: int | None = None
    seed: int | None = None
    baseline: Path | None = None
    max_drop: float = 0.0
    on_inconclusive: Literal["pass", "fail"] = "fail"
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.max_drop) and 0.0 <= self.max_drop < 1.0):
            raise UsageError(f"--max-drop must be at least 0 and below 1 (5% or 0.05), not {self.max_drop:g}.")
        self.analysis()

    def analysis(self) -> AnalyzeOptions:
        """The analysis that the gate's measurements are part of."""
        policy = self.policy
        sigmas, engines = asked_for(policy.demands)
        return AnalyzeOptions(
            model=self.model,
            data=self.data,
            sigmas=sigmas or (0.1,),
            engines=engines or DEFAULT_ENGINES,
            noise=policy.noise,
            scale=self.scale or policy.scale,
            value_range=self.value_range,
            seed=_first(self.seed, policy.seed, 0),
            samples=_first(self.samples, policy.samples, 100),
            device=self.device,
        )


def _first(*values: int | None) -> int:
    return next(value for value in values if value is not None)
