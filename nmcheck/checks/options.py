"""What an analysis is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nmcheck.errors import UsageError
from nmcheck.results.moments import ENGINES

LINEARIZERS = ("taylor", "averaged")
REFERENCES = ("control-variate", "plain")
ANCHORS: dict[str, Literal["point", "image"]] = {"point": "point", "image": "image"}
DEFAULT_ENGINES = ("propagate", "two-stage", "published-theorem2")
LEAST_REFERENCE_SAMPLES = 500
"""250 antithetic pairs: below that the interval of a variance does not cover (formulas.md, section h)."""

LEAST_RESIDUAL_SAMPLES = 16


@dataclass(frozen=True)
class AnalyzeOptions:
    """Options of ``nmcheck analyze``, checked when made.

    Attributes:
        model: the ONNX file.
        data: a data spec: ``mnist``, ``FILE.npz``, a folder, ...
        sigmas: noise levels, in pixel units.
        noise: what the noise is like (``data.noise``): ``isotropic``, ``window:ROW0:ROW1:COL0:COL1``, ``diagonal:FILE``
            or ``factor:FILE``; its covariance is sigma^2 times that.
        cut: ``first``, ``last``, ``best`` or the name of a ReLU node; None for the bank's, without one for ``last``.
        linearizer: how the parts around the cut are made affine, of ``LINEARIZERS``.
        averaging_points: noisy inputs that ``averaged`` averages over, an image and noise level; even.
        engines: which moments to compute, of ``ENGINES``.
        bank: a file of ``nmcheck bank build``, which engine ``bank`` reads.
        bank_anchor: where its models agree with the network, of ``ANCHORS``.
        scale: what the model expects, given pixels in [0, 1]; None for the model's own metadata, else ``unit``.
        value_range: the range float images lie in, if not [0, 1].
        seed: seeds the choice of images and the reference's noise.
        samples: how many images to use, stratified by class.
        reference: how the moments compared with are sampled, of ``REFERENCES``.
        reference_samples: samples an image and noise level of the reference; even.
        reference_error: floor of E_r to choose their number by instead, from a pilot run.
        residual_samples: noisy inputs used by ``propagate`` to estimate the nonlinear part of the response.
        second_order: whether ``propagate`` sums that part of the covariance over pairs of elements instead.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UsageError: a value is out of its range.
    """

    model: Path
    data: str
    sigmas: tuple[float, ...] = (0.05, 0.1)
    noise: str = "isotropic"
    cut: str | None = None
    linearizer: str = "taylor"
    averaging_points: int = 16
    engines: tuple[str, ...] = DEFAULT_ENGINES
    scale: str | None = None
    value_range: tuple[float, float] | None = None
    seed: int = 0
    samples: int = 100
    reference: str = "control-variate"
    reference_samples: int = 1500
    reference_error: float | None = None
    residual_samples: int = 128
    second_order: bool = False
    device: str = "auto"
    bank: Path | None = None
    bank_anchor: str = "point"

    def __post_init__(self) -> None:
        self._check_sigmas()
        self._check_engines()
        self._check_counts()
        if self.linearizer not in LINEARIZERS:
            raise UsageError(f"--linearizer {self.linearizer} is not known; choose from {', '.join(LINEARIZERS)}.")
        if self.reference not in REFERENCES:
            raise UsageError(f"--reference {self.reference} is not known; choose from {', '.join(REFERENCES)}.")
        if self.device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"--device must be auto, cpu or cuda, not {self.device}.")

    def _check_sigmas(self) -> None:
        for sigma in self.sigmas:
            if not (math.isfinite(sigma) and sigma > 0):
                raise UsageError(f"--sigma must be a positive number of pixel units, not {sigma}; try --sigma 0.1.")
        if not self.sigmas:
            raise UsageError("At least one --sigma is needed; try --sigma 0.1.")
        if len(set(self.sigmas)) < len(self.sigmas):
            raise UsageError("--sigma names the same noise level twice; give each level once.")

    def _check_engines(self) -> None:
        for engine in self.engines:
            if engine not in ENGINES:
                raise UsageError(f"--engine {engine} is not known; choose from {', '.join(ENGINES)}.")
        if not self.engines:
            raise UsageError(f"At least one --engine is needed; choose from {', '.join(ENGINES)}.")
        if "bank" in self.engines and self.bank is None:
            raise UsageError("--engine bank needs a --bank FILE, which nmcheck bank build makes.")
        if self.bank is not None and "bank" not in self.engines:
            raise UsageError("--bank is read by --engine bank only; ask for that engine too.")
        if self.bank_anchor not in ANCHORS:
            raise UsageError(f"--bank-anchor {self.bank_anchor} is not known; choose from {', '.join(ANCHORS)}.")
        if self.bank_anchor != "point" and self.bank is None:
            raise UsageError("--bank-anchor says how a --bank FILE is served; give that too.")

    def _check_counts(self) -> None:
        if self.samples < 1:
            raise UsageError(f"--samples must be at least 1, not {self.samples}.")
        if self.seed < 0:
            raise UsageError(f"--seed must not be negative, but is {self.seed}.")
        if self.reference_samples < LEAST_REFERENCE_SAMPLES or self.reference_samples % 2:
            raise UsageError(
                f"--reference-samples must be even and at least {LEAST_REFERENCE_SAMPLES} (the samples come in "
                f"antithetic pairs, and the variance's interval needs 250 of them), not {self.reference_samples}."
            )
        if self.reference_error is not None and not (math.isfinite(self.reference_error) and self.reference_error > 0):
            raise UsageError(
                f"--reference-error must be a positive number, not {self.reference_error}; try --reference-error 0.02."
            )
        if self.averaging_points < 2 or self.averaging_points % 2:
            raise UsageError(
                "averaging_points must be even and at least 2 (they come in antithetic pairs), not "
                f"{self.averaging_points}."
            )
        if self.residual_samples < LEAST_RESIDUAL_SAMPLES:
            raise UsageError(
                f"--residual-samples must be at least {LEAST_RESIDUAL_SAMPLES}, not {self.residual_samples}: fewer "
                "estimate a variance too roughly."
            )
