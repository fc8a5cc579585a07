"""``--noise``: where in an image the noise is, how strong there, and which of its elements move together.

What is given in the layout of the images goes the way of the pixels (``layout.to_model_layout``), so that a number
means the pixel it stands for, whatever layout the model takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from nmcheck.counting import counted
from nmcheck.data.archive import open_archive
from nmcheck.data.entries import is_file
from nmcheck.data.layout import image_axes, to_model_layout
from nmcheck.data.npy import read_array, starts_with_array
from nmcheck.errors import DataError, UsageError
from nmcheck.noise_laws import GAUSSIAN, LAWS, Law

Span = tuple[int, int]

FORMS = f"{', '.join(LAWS)}, window:ROW0:ROW1:COL0:COL1, diagonal:FILE.npz or factor:FILE.npy"
SCALE = "scale"
"""The array of a .npz archive that holds several."""


@dataclass(frozen=True)
class NoiseOption:
    """What ``--noise`` asks for.

    Attributes:
        kind: which of ``noise_laws.KINDS``.
        rows: of a window, half-open.
        columns: of a window, half-open.
        path: of a file.
    """

    kind: str
    rows: Span = (0, 0)
    columns: Span = (0, 0)
    path: Path | None = None


@dataclass(frozen=True, eq=False)
class InputNoise:
    """The noise of a model's input, flattened: covariance sigma^2 S.

    Attributes:
        kind: how it was given, of ``noise_laws.KINDS``.
        description: a few words for a person.
        directions: independent directions it has.
        scale: relative standard deviations, S = diag(scale^2); None where there are none.
        factor: F, a row a direction, S = F' F; None where there is none. Without either S = I.
        law: of the independent numbers that it is made of.
    """

    kind: str
    description: str
    directions: int
    scale: Float64[np.ndarray, " n"] | None = None
    factor: Float64[np.ndarray, "k n"] | None = None
    law: Law = GAUSSIAN


def parse_noise(text: str) -> NoiseOption:
    """The option's text, checked as far as it can be without the data.

    Raises:
        UsageError: if it is none of the forms.
    """
    kind, colon, rest = text.partition(":")
    if text in LAWS:
        return NoiseOption(text)
    if kind == "window":
        parts = rest.split(":")
        if len(parts) != 4 or not all(part.isascii() and part.isdigit() for part in parts):
            raise UsageError(
                f"--noise {text}: a window is four whole numbers, window:ROW0:ROW1:COL0:COL1, first and one past the "
                "last row and column; try window:8:20:8:20."
            )
        row0, row1, column0, column1 = (int(part) for part in parts)
        if row0 >= row1 or column0 >= column1:
            raise UsageError(
                f"--noise {text}: the window is empty; rows go from ROW0 to ROW1 - 1 and columns from COL0 to COL1 - 1."
            )
        return NoiseOption("window", (row0, row1), (column0, column1))
    if kind in ("diagonal", "factor") and colon and rest:
        return NoiseOption("diagonal" if kind == "diagonal" else "factor", path=Path(rest))
    raise UsageError(f"--noise {text} is not known; choose from {FORMS}.")


def read_noise(
    option: NoiseOption, image_shape: tuple[int, ...], input_shape: tuple[int, ...], batch_axis: int | None
) -> InputNoise:
    """The noise at the model's input.

    Args:
        option: what was asked for.
        image_shape: shape of one image as the data has it.
        input_shape: shape of the model's input, with the batch axis (if any) of length 1.
        batch_axis: that axis, or None.

    Raises:
        UsageError: a window that does not fit the images.
        DataError: a file that is damaged, of another shape, or holds what no noise can be.
    """
    model = _Layout(image_shape, input_shape, batch_axis)
    if option.kind == "window":
        return _window(option, model)
    if option.path is None:
        law = LAWS[option.kind]
        return InputNoise(law.name, law.description, prod(input_shape), law=law)
    array = _numbers(option.path)
    return _diagonal(array, option.path, model) if option.kind == "diagonal" else _factor(array, option.path, model)


@dataclass(frozen=True)
class _Layout:
    """The way from the data's images to the model's flattened input."""

    image: tuple[int, ...]
    input: tuple[int, ...]
    batch_axis: int | None

    @property
    def size(self) -> int:
        return prod(self.input)

    @property
    def sample(self) -> tuple[int, ...]:
        """The model's input without its batch axis."""
        return tuple(length for axis, length in enumerate(self.input) if axis != self.batch_axis)

    def flattened(self, rows: np.ndarray) -> np.ndarray | None:
        """Rows of the images' shape or the input's, or flat, as rows of the flattened input; None if of neither."""
        shape, count = rows.shape[1:], len(rows)
        if _squeezed(shape) == _squeezed(self.image):
            images = rows.reshape(count, *self.image)
            return to_model_layout(images, self.input, self.batch_axis).reshape(count, -1)
        if _squeezed(shape) == _squeezed(self.sample) or (shape == (self.size,) and self._keeps_order()):
            return rows.reshape(count, -1)
        return None

    def _keeps_order(self) -> bool:
        """Whether images flattened are inputs flattened: else a flat row could be meant in either order."""
        order = np.arange(self.size, dtype=np.float64)
        moved = to_model_layout(order.reshape(1, *self.image), self.input, self.batch_axis)
        return bool((moved.reshape(-1) == order).all())

    def wanted(self) -> str:
        shapes = [self.image] if _squeezed(self.image) == _squeezed(self.sample) else [self.image, self.sample]
        return " or ".join(str(shape) for shape in shapes)


def _window(option: NoiseOption, model: _Layout) -> InputNoise:
    # Vectors that a model takes as an image are read row by row.
    image = model.image if len(model.image) > 1 else _squeezed(model.sample)
    text = ":".join(("window", *(str(end) for end in (*option.rows, *option.columns))))
    axes = image_axes(image)
    if axes is None:
        what = "vectors" if len(image) < 2 else f"of shape {image}, whose channels nmcheck cannot tell"
        raise UsageError(
            f"--noise {text}: the data are {what}, so they have no rows and columns; give relative standard "
            "deviations with diagonal:FILE.npz instead."
        )
    for name, (low, high), length in zip(("rows", "columns"), (option.rows, option.columns), axes, strict=True):
        if high > image[length]:
            raise UsageError(
                f"--noise {text}: the images have {image[length]} {name}, so {name} {low}:{high} reach beyond them; "
                f"give at most {image[length]}."
            )
    mask = np.zeros(image)
    where: list[slice] = [slice(None)] * len(image)
    for axis, span in zip(axes, (option.rows, option.columns), strict=True):
        where[axis] = slice(*span)
    mask[tuple(where)] = 1.0
    scale = to_model_layout(mask.reshape(1, *model.image), model.input, model.batch_axis).reshape(-1)
    inside = int(scale.sum())
    (row0, row1), (column0, column1) = option.rows, option.columns
    some = f"{inside:,} of {counted(model.size, 'value')}"
    description = f"in rows {row0}:{row1} and columns {column0}:{column1} only, {some}; zero outside"
    return InputNoise("window", description, inside, scale=scale)


def _diagonal(array: np.ndarray, path: Path, model: _Layout) -> InputNoise:
    rows = model.flattened(array[None])
    if rows is None:
        raise DataError(
            f"{path}: the relative standard deviations have shape {array.shape}, but the images need {model.wanted()}; "
            "give one number for every pixel."
        )
    scale = rows[0]
    if (scale < 0).any():
        raise DataError(
            f"{path}: the least relative standard deviation is {scale.min():g}; none can be negative: give 0 where "
            "there is no noise."
        )
    moved = int((scale > 0).sum())
    if moved == 0:
        raise DataError(f"{path}: all relative standard deviations are 0, so there is no noise; give some above 0.")
    low, high = scale[scale > 0].min(), scale.max()
    rest = "" if moved == model.size else f"; zero in {model.size - moved:,} of {counted(model.size, 'value')}"
    description = f"independent, with relative standard deviations of {low:.3g} to {high:.3g} from {path}{rest}"
    return InputNoise("diagonal", description, moved, scale=scale)


def _factor(array: np.ndarray, path: Path, model: _Layout) -> InputNoise:
    rows = model.flattened(array) if array.ndim > 1 else None
    if rows is None:
        raise DataError(
            f"{path}: the factor has shape {array.shape}, but it needs a row of shape {model.wanted()} for every "
            "direction of the noise."
        )
    if not rows.any():
        raise DataError(f"{path}: the factor is 0 everywhere, so there is no noise; give a row that is not.")
    description = f"correlated, by the factor in {path} with {counted(len(rows), 'direction')}"
    return InputNoise("factor", description, len(rows), factor=rows)


def _numbers(path: Path) -> Float64[np.ndarray, "*shape"]:
    """The array of a .npy file, or of a .npz archive with one array or one called ``scale``."""
    if not is_file(path):
        raise DataError(f"{path}: there is no such file; check the path given to --noise.")
    found = read_array(path) if starts_with_array(path) else _array_of_archive(path)
    if not found.size:
        raise DataError(f"{path}: there are no numbers in it (shape {found.shape}).")
    numbers = found.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise DataError(f"{path}: some of its numbers are infinite or NaN; give finite ones.")
    return numbers


def _array_of_archive(path: Path) -> np.ndarray:
    with open_archive(path) as archive:
        name = archive.names[0] if len(archive.names) == 1 else SCALE
        if name not in archive.names:
            raise DataError(f"{path} has the arrays {archive.listed}; save one, called {SCALE}.")
        return archive.array(name).read()


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)
