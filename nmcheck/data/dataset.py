"""Images and labels as they were read, and the one way to turn them into pixels."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64, Integer, Shaped

from nmcheck.counting import counted
from nmcheck.data.values import Range, ValueCheck, limits_of
from nmcheck.errors import DataError


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images or feature vectors, checked on construction: all of the data, or those of it that are wanted.

    Attributes:
        name: the data as the user named it.
        images: (N,H,W), (N,H,W,C), (N,C,H,W) or (N,features), uint8 or another number type, untouched.
        labels: one class index per image of the data, or None.
        value_range: the values that mean 0 and 1, if the user gave them.
        positions: where the images stand in the data, ascending; None if they are all of it.
        available: images that the data has; None if these are all.
        notes: what the user should know of how it was read, such as files that were left out.

    Raises:
        DataError: if there are no images, the values are not finite or out of range, or the labels do not fit.
    """

    name: str
    images: Shaped[np.ndarray, "..."]
    labels: Int64[np.ndarray, " available"] | None
    value_range: Range | None = None
    positions: Int64[np.ndarray, " images"] | None = None
    available: int | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_images(self.images.shape, self.images.dtype, self.name)
        check = ValueCheck(self.name, self.images.dtype, self.images.ndim, self.value_range)
        check.see(self.images, np.arange(len(self.images)) if self.positions is None else self.positions)
        check.finish()

    def __len__(self) -> int:
        return len(self.images) if self.available is None else self.available

    @property
    def unit(self) -> Literal["pixel", "feature"]:
        """``pixel`` if values are mapped to [0, 1]; ``feature`` if they are vectors in units of their own."""
        return "feature" if self.images.ndim == 2 and self._limits is None else "pixel"

    def pixels(self, positions: Integer[np.ndarray, " chosen"]) -> Float64[np.ndarray, "chosen *sample"]:
        """The chosen images in [0, 1] (features: in their own units), in the layout they were read in.

        Args:
            positions: of images in the data.

        Raises:
            IndexError: one of them was not read.
        """
        chosen = self.images[self._rows(positions)].astype(np.float64)
        limits = self._limits
        if limits is None or limits == (0.0, 1.0):
            return chosen
        low, high = limits
        return (chosen - low) / (high - low)

    @property
    def _limits(self) -> Range | None:
        return limits_of(self.images.dtype, self.images.ndim, self.value_range)

    def _rows(self, positions: np.ndarray) -> np.ndarray:
        if self.positions is None:
            return positions
        rows = np.searchsorted(self.positions, positions)
        if not np.array_equal(self.positions[np.minimum(rows, len(self.positions) - 1)], positions):
            raise IndexError(f"{self.name}: an image was asked for that was not read")
        return rows


def check_images(shape: tuple[int, ...], dtype: np.dtype, name: str) -> None:
    """Check that an array can be images, before it is read.

    Raises:
        DataError: its type or its shape is of none.
    """
    if dtype.kind not in "uif":
        raise DataError(f"{name}: the images are of type {dtype}; give uint8 or floating-point numbers.")
    if len(shape) not in (2, 3, 4):
        raise DataError(
            f"{name}: the images have shape {shape}; nmcheck reads (N,H,W), (N,H,W,C), (N,C,H,W) or (N,features)."
        )
    if not prod(shape):
        raise DataError(f"{name}: there are no images in it (shape {shape}).")


def check_label_shape(shape: tuple[int, ...], dtype: np.dtype, images: int, name: str) -> None:
    """Check that an array can be the labels of so many images, before it is read.

    Raises:
        DataError: it is not one number per image.
    """
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        raise DataError(
            f"{name}: the labels have shape {shape}, but nmcheck needs one class index per image; "
            "turn one-hot rows into indices with argmax."
        )
    if shape[0] != images:
        raise DataError(
            f"{name}: {counted(images, 'image')} but {counted(shape[0], 'label')}; give one label per image."
        )
    if dtype.kind not in "iuf":
        raise DataError(f"{name}: the labels are of type {dtype}; give class indices 0, 1, 2, ... instead.")


def as_labels(labels: Shaped[np.ndarray, "..."], images: int, name: str) -> Int64[np.ndarray, " images"]:
    """Labels as one integer per image.

    Raises:
        DataError: if they are not whole numbers >= 0, or not one per image.
    """
    check_label_shape(labels.shape, labels.dtype, images, name)
    labels = labels.reshape(len(labels))
    # The bounds keep the conversion to int64 exact; no classifier has that many classes.
    with np.errstate(all="ignore"):  # no number of a short type is beyond them
        wrong = ~((labels >= 0) & (labels < 2**53) & (labels == np.floor(labels)))
    if wrong.any():
        position = int(np.argmax(wrong))
        raise DataError(
            f"{name}: the label of image {position} is {labels[position]}; labels are class indices 0, 1, 2, ...."
        )
    return labels.astype(np.int64)


def check_labels(dataset: Dataset, classes: int) -> None:
    """Check that every label is one of the model's classes.

    Raises:
        DataError: naming the first image whose label is not.
    """
    if dataset.labels is None:
        return
    wrong = dataset.labels >= classes
    if wrong.any():
        position = int(np.argmax(wrong))
        raise DataError(
            f"{dataset.name}: the label of image {position} is {dataset.labels[position]}, but the model has "
            f"{classes} classes (0 to {classes - 1}); check that data and model belong together."
        )
