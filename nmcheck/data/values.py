"""Whether the values of images can be pixels: finite, and within the range that means 0 to 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped

from nmcheck.errors import DataError

Range = tuple[float, float]
_BYTES = (0.0, 255.0)


def limits_of(dtype: np.dtype, axes: int, value_range: Range | None) -> Range | None:
    """The values that mean 0 and 1; None for features, which have no such values.

    Args:
        dtype: type of the values.
        axes: axes of the images, the one that counts them included; 2 where they are vectors.
        value_range: what the user says they are.
    """
    if value_range is not None:
        return value_range
    if dtype == np.uint8:
        return _BYTES
    return None if axes == 2 else (0.0, 1.0)


class ValueCheck:
    """Looks at images as they pass by, and says in the end which is the first that cannot be one.

    Args:
        name: the data as the user named it.
        dtype: type of the values.
        axes: axes of the images, the one that counts them included.
        value_range: the values that mean 0 and 1, if the user gave them.
    """

    def __init__(self, name: str, dtype: np.dtype, axes: int, value_range: Range | None) -> None:
        self._name = name
        self._is_float = dtype.kind == "f"
        self._limits = limits_of(dtype, axes, value_range)
        # In the images' own precision, so that float32(0.1) is not outside 0.1:1.
        ends = dtype.newbyteorder("=") if self._is_float else np.dtype(np.float64)
        with np.errstate(over="ignore"):  # no number of the type is beyond an end that is
            self._ends = None if self._limits is None else np.asarray(self._limits, dtype=ends)
        self._needed = self._is_float or not (dtype == np.uint8 and self._limits == _BYTES)
        self._infinite: int | None = None
        self._outside: int | None = None
        self._span: tuple[float, float] = (np.inf, -np.inf)

    @property
    def needed(self) -> bool:
        """Whether there are values that would not do: bytes from 0 to 255 all do."""
        return self._needed

    def see(self, images: Shaped[np.ndarray, "some ..."], positions: Int64[np.ndarray, " some"]) -> None:
        """Look at some of the images, or at a part of each of them.

        Args:
            images: in any order of their axes but the first, which counts them; their number type as stored.
            positions: of each in the data, ascending.
        """
        if not (self.needed and images.size):
            return
        per_image = tuple(range(1, images.ndim))
        if self._is_float:
            self._infinite = _first(self._infinite, ~np.isfinite(images).all(axis=per_image), positions)
        if self._ends is not None:
            with np.errstate(invalid="ignore"):  # NaN is found above
                low, high = images.min(axis=per_image), images.max(axis=per_image)
            self._outside = _first(self._outside, (low < self._ends[0]) | (high > self._ends[1]), positions)
            self._span = min(self._span[0], float(low.min())), max(self._span[1], float(high.max()))

    def finish(self) -> None:
        """Say what was wrong.

        Raises:
            DataError: a value was not finite, or out of range; names the first such image.
        """
        if self._infinite is not None:
            raise DataError(
                f"{self._name}: image {self._infinite} has a value that is NaN or infinite; "
                "remove or repair such images first."
            )
        if self._outside is not None and self._limits is not None:
            low, high = self._limits
            raise DataError(
                f"{self._name}: image {self._outside} has values outside {low:g} to {high:g} (the data spans "
                f"{self._span[0]:g} to {self._span[1]:g}); say with --range LOW:HIGH which values mean black and white."
            )


def _first(known: int | None, wrong: Any, positions: np.ndarray) -> int | None:
    if not wrong.any():
        return known
    found = int(positions[np.argmax(wrong)])
    return found if known is None else min(known, found)
