"""What the model expects, given pixels in [0, 1]: ``model_input = gain * pixel + offset``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

from nmcheck.data.layout import channel_axis
from nmcheck.errors import ModelError, NmcheckError, UsageError

METADATA_KEY = "nmcheck.scale"
"""Key of ``metadata_props`` a model states its own scale under."""


@dataclass(frozen=True, eq=False)
class InputScale:
    """Scaling in front of the model.

    Attributes:
        name: ``unit``, ``byte`` or ``mean=...:std=...``.
        source: where it came from: the option, the model's metadata or the default.
        gain: factor, broadcastable to the shape of one sample.
        offset: added after it, of the same shape.
    """

    name: str
    source: Literal["option", "metadata", "default"]
    gain: Float64[np.ndarray, "*axes"]
    offset: Float64[np.ndarray, "*axes"]

    @property
    def gains(self) -> tuple[float, ...]:
        """The factor of each channel; one if all share it. sigma in model units is sigma in pixels times this."""
        return tuple(float(value) for value in self.gain.ravel())


_LONGEST = 300
"""Characters of a metadata entry that a message repeats."""


def input_scale(
    option: str | None, metadata: Mapping[str, str], input_shape: tuple[int, ...], batch_axis: int | None
) -> InputScale:
    """The scale the user asked for, else the model's own, else ``unit``.

    Args:
        option: ``unit``, ``byte``, ``mean=a[,b,c]:std=a[,b,c]`` or None.
        metadata: the model's ``metadata_props``.
        input_shape: shape of one sample, a batch axis counted as 1.
        batch_axis: that axis, or None.

    Raises:
        UsageError: if the option is no scale or does not fit the model's channels.
        ModelError: if the metadata entry is no scale or does not.
    """
    if option is not None:
        return _scale(option, "option", input_shape, batch_axis)
    stated = metadata.get(METADATA_KEY)
    if stated is None:
        return _scale("unit", "default", input_shape, batch_axis)
    if len(stated) > _LONGEST:
        raise ModelError(
            f"The model's metadata entry {METADATA_KEY} of {len(stated):,} characters is no scale; pass --scale to "
            "override it."
        )
    try:
        return _scale(stated, "metadata", input_shape, batch_axis)
    except NmcheckError as error:
        raise ModelError(
            f"The model's metadata entry {METADATA_KEY} cannot be used: {error} Pass --scale to override it."
        ) from error


def parse_scale(text: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Gain and offset per channel; one value stands for all channels.

    Raises:
        UsageError: if the text is no scale.
    """
    if text == "unit":
        return (1.0,), (0.0,)
    if text == "byte":
        return (255.0,), (0.0,)
    match = re.fullmatch(r"mean=(?P<mean>[^:]*):std=(?P<std>[^:]*)", text)
    if match is None:
        raise UsageError(f"'{text}' is no scale; use unit, byte or mean=M[,M,M]:std=S[,S,S] (in pixels of 0 to 1).")
    mean, std = (_numbers(match[key], key, text) for key in ("mean", "std"))
    if any(value <= 0 for value in std):
        raise UsageError(f"The scale '{text}' has a standard deviation that is not positive.")
    if len(mean) != len(std) and 1 not in (len(mean), len(std)):
        raise UsageError(f"The scale '{text}' has {len(mean)} means but {len(std)} standard deviations.")
    channels = max(len(mean), len(std))
    mean, std = (values * (channels // len(values)) for values in (mean, std))
    gain = tuple(1.0 / s for s in std)
    offset = tuple(0.0 - m / s for m, s in zip(mean, std, strict=True))
    if not all(map(math.isfinite, gain + offset)):
        raise UsageError(f"The scale '{text}' has a standard deviation too small to divide by.")
    return gain, offset


def _numbers(text: str, key: str, scale: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"The {key} of the scale '{scale}' is not a list of numbers: '{text}'.") from None
    if not all(map(math.isfinite, values)):
        raise UsageError(f"The {key} of the scale '{scale}' must be finite numbers.")
    return values


def _scale(
    text: str,
    source: Literal["option", "metadata", "default"],
    input_shape: tuple[int, ...],
    batch_axis: int | None,
) -> InputScale:
    gain, offset = parse_scale(text)
    shape = [1] * len(input_shape)
    if len(gain) > 1:
        axis = channel_axis(input_shape, batch_axis)
        channels = 1 if axis is None else input_shape[axis]
        if axis is None or channels != len(gain):
            raise UsageError(
                f"The scale '{text}' is for {len(gain)} channels, but the model's input of shape {input_shape} has "
                f"{channels}; give one mean and one standard deviation{' per channel' if channels > 1 else ''}."
            )
        shape[axis] = channels
    return InputScale(text, source, np.reshape(gain, shape), np.reshape(offset, shape))
