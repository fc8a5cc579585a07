"""The noise asked for, as the moments take it and as the report states it."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64

from nmcheck.data import InputNoise
from nmcheck.moments.gaussian import Diagonal, Factored, Isotropic, NoiseStructure
from nmcheck.noise_laws import Law
from nmcheck.results import NoiseEntry


def noise_structure(noise: InputNoise, device: str) -> NoiseStructure:
    """S of the flattened input, float64 on the device."""
    if noise.scale is not None:
        return Diagonal(torch.from_numpy(noise.scale).to(device))
    if noise.factor is not None:
        return Factored(torch.from_numpy(noise.factor).to(device))
    return Isotropic(noise.law)


def array_of(law: Law, pick: np.random.Generator, shape: tuple[int, ...]) -> Float64[np.ndarray, "*shape"]:
    """The next numbers of a law from numpy's generator, whose streams are the same on every platform."""
    return pick.standard_normal(shape) if law.quantile is None else law.quantile(pick.random(shape))


def noise_entry(noise: InputNoise) -> NoiseEntry:
    """What the report says of it."""
    return NoiseEntry(kind=noise.kind, description=noise.description, directions=noise.directions)
