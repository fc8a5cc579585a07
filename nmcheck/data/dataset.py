"""Images and labels as they were read, and the one way to turn them into pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64, Integer, Shaped

from nmcheck.counting import counted
from nmcheck.errors import DataError

Range = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images or feature vectors, checked on construction.

    Attributes:
        name: the data as the user named it.
        images: (N,H,W), (N,H,W,C), (N,C,H,W) or (N,features), uint8 or another number type, untouched.
        labels: one class index per image, or None.
        value_range: the values that mean 0 and 1, if the user gave them.

    Raises:
        DataError: if there are no images, the values are not finite or out of range, or the labels do not fit.
    """

    name: str
    images: Shaped[np.ndarray, "..."]
    labels: Int64[np.ndarray, " images"] | None
    value_range: Range | None = None

    def __post_init__(self) -> None:
        _check_shape(self.images, self.name)
        _check_values(self.images, self.value_range, self.name)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def unit(self) -> Literal["pixel", "feature"]:
        """``pixel`` if values are mapped to [0, 1]; ``feature`` if they are vectors in units of their own."""
        return "feature" if self.images.ndim == 2 and _limits(self.images, self.value_range) is None else "pixel"

    def pixels(self, positions: Integer[np.ndarray, " chosen"]) -> Float64[np.ndarray, "chosen *sample"]:
        """The chosen images in [0, 1] (features: in their own units), in the layout they were read in."""
        chosen = self.images[positions].astype(np.float64)
        limits = _limits(self.images, self.value_range)
        if limits is None or limits == (0.0, 1.0):
            return chosen
        low, high = limits
        return (chosen - low) / (high - low)


def as_labels(labels: Shaped[np.ndarray, "..."], images: int, name: str) -> Int64[np.ndarray, " images"]:
    """Labels as one integer per image.

    Raises:
        DataError: if they are not whole numbers >= 0, or not one per image.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DataError(
            f"{name}: the labels have shape {labels.shape}, but nmcheck needs one class index per image; "
            "turn one-hot rows into indices with argmax."
        )
    if len(labels) != images:
        raise DataError(
            f"{name}: {counted(images, 'image')} but {counted(len(labels), 'label')}; give one label per image."
        )
    if labels.dtype.kind not in "iuf":
        raise DataError(f"{name}: the labels are of type {labels.dtype}; give class indices 0, 1, 2, ... instead.")
    # The bounds keep the conversion to int64 exact; no classifier has that many classes.
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


def _check_shape(images: np.ndarray, name: str) -> None:
    if images.dtype.kind not in "uif":
        raise DataError(f"{name}: the images are of type {images.dtype}; give uint8 or floating-point numbers.")
    if images.ndim not in (2, 3, 4):
        raise DataError(
            f"{name}: the images have shape {images.shape}; nmcheck reads (N,H,W), (N,H,W,C), (N,C,H,W) "
            "or (N,features)."
        )
    if not images.size:
        raise DataError(f"{name}: there are no images in it (shape {images.shape}).")


def _limits(images: np.ndarray, value_range: Range | None) -> Range | None:
    """The values that mean 0 and 1; None for features, which have no such values."""
    if value_range is not None:
        return value_range
    if images.dtype == np.uint8:
        return (0.0, 255.0)
    return None if images.ndim == 2 else (0.0, 1.0)


def _check_values(images: np.ndarray, value_range: Range | None, name: str) -> None:
    per_image = tuple(range(1, images.ndim))
    if images.dtype.kind == "f":
        infinite = ~np.isfinite(images).all(axis=per_image)
        if infinite.any():
            raise DataError(
                f"{name}: image {int(np.argmax(infinite))} has a value that is NaN or infinite; "
                "remove or repair such images first."
            )
    limits = _limits(images, value_range)
    if limits is None:
        return
    # In the images' own precision, so that float32(0.1) is not outside 0.1:1.
    low, high = np.asarray(limits, dtype=images.dtype if images.dtype.kind == "f" else np.float64)
    outside = (images.min(axis=per_image) < low) | (images.max(axis=per_image) > high)
    if outside.any():
        position = int(np.argmax(outside))
        found = f"{images.min():g} to {images.max():g}"
        raise DataError(
            f"{name}: image {position} has values outside {limits[0]:g} to {limits[1]:g} (the data spans {found}); "
            "say with --range LOW:HIGH which values mean black and white."
        )
