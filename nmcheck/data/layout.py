"""From the layout of the data to the layout of the model's input.

Rules, in this order; the first that fits is taken:

1. The sample has the model's shape once axes of length 1 are dropped from both.
2. A colour image has its channels (2 to 4 of them) at the other end: (H,W,C) is moved to (C,H,W) or back.
3. The model takes a vector: grey images are read row by row; colour images in (C,H,W) order, as ``torch.nn.Flatten``
   reads them, whichever way round the data has them.
4. The data are vectors and the model takes grey images with as many pixels: rows are read one after the other.

An axis at either end counts as channels if it is 2 to 4 long. Where both are, 3 wins over 2 and 4, and then the last
wins in the data, the first in the model.
"""

from __future__ import annotations

from math import prod

import numpy as np
from jaxtyping import Float, Shaped

from nmcheck.errors import DataError


def to_model_layout(
    images: Float[np.ndarray, "images *stored"], input_shape: tuple[int, ...], batch_axis: int | None
) -> Float[np.ndarray, "images *sample"]:
    """Images in the layout the model takes.

    Args:
        images: (N,H,W), (N,H,W,C), (N,C,H,W) or (N,features).
        input_shape: shape of one sample in the graph, with the batch axis (if any) of length 1.
        batch_axis: that axis, or None.

    Returns:
        The images as (N, *input_shape).

    Raises:
        DataError: if no rule fits; names both shapes.
    """
    sample, core = images.shape[1:], _without(input_shape, batch_axis)
    wanted = _squeeze(core)
    count = len(images)
    if _squeeze(sample) == wanted:
        return images.reshape(count, *input_shape)
    first = _channels_first(images)
    if first is not None:
        for candidate in (first, np.moveaxis(first, 1, -1)):
            if candidate.shape[1:] == wanted:
                return candidate.reshape(count, *input_shape)
    if len(wanted) <= 1 and prod(sample) == prod(core):
        return (images if first is None else first).reshape(count, *input_shape)
    if len(sample) == 1 and len(wanted) == 2 and prod(sample) == prod(core):
        return images.reshape(count, *input_shape)
    raise DataError(_misfit(sample, input_shape, wanted))


def to_stored_layout(
    samples: Float[np.ndarray, "images *sample"],
    stored: tuple[int, ...],
    input_shape: tuple[int, ...],
    batch_axis: int | None,
) -> Float[np.ndarray, "images *stored"]:
    """The way back from ``to_model_layout``.

    Args:
        samples: images in the model's layout, (N, *input_shape).
        stored: shape of one image in the data.
        input_shape: shape of one sample in the graph.
        batch_axis: axis of length 1 that counts samples, or None.

    Raises:
        DataError: if no rule leads from one shape to the other.
    """
    places = np.arange(prod(stored), dtype=np.float64).reshape(1, *stored)
    moved = to_model_layout(places, input_shape, batch_axis).ravel().astype(np.int64)
    return samples.reshape(len(samples), len(moved))[:, np.argsort(moved)].reshape(-1, *stored)


def channel_axis(input_shape: tuple[int, ...], batch_axis: int | None) -> int | None:
    """The axis of the model's input that counts colour channels, or None if the input is no image.

    The first or the last axis of a three-dimensional sample: one of length 1 or 3 if there is, else of 2 or 4.
    """
    axes = [axis for axis in range(len(input_shape)) if axis != batch_axis]
    if len(axes) != 3:
        return None
    return _first_of(input_shape, (axes[0], axes[-1]), ((1, 3), (2, 4)))


def image_axes(image_shape: tuple[int, ...]) -> tuple[int, int] | None:
    """The axes of an image as the data has it that count its rows and its columns.

    Args:
        image_shape: (H,W), (H,W,C) or (C,H,W), with 1 to 4 channels.

    Returns:
        None where the shape is no image's.
    """
    if len(image_shape) == 2:
        return 0, 1
    if len(image_shape) != 3:
        return None
    channels = _first_of(image_shape, (2, 0), ((3,), (2, 4), (1,)))
    return {0: (1, 2), 2: (0, 1), None: None}[channels]


def _channels_first(images: Shaped[np.ndarray, "images *stored"]) -> Shaped[np.ndarray, "images *moved"] | None:
    """Colour images as (N,C,H,W), or None if the data are no colour images."""
    if images.ndim != 4:
        return None
    axis = _first_of(images.shape, (3, 1), ((3,), (2, 4)))
    return None if axis is None else np.moveaxis(images, axis, 1)


def _first_of(shape: tuple[int, ...], axes: tuple[int, ...], lengths: tuple[tuple[int, ...], ...]) -> int | None:
    """The first of the axes that has one of the likeliest lengths, else one of the next likeliest, else None."""
    return next((axis for group in lengths for axis in axes if shape[axis] in group), None)


def _without(shape: tuple[int, ...], axis: int | None) -> tuple[int, ...]:
    return shape if axis is None else shape[:axis] + shape[axis + 1 :]


def _squeeze(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)


def _misfit(sample: tuple[int, ...], input_shape: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    if len(sample) == 1:
        return (
            f"The data are vectors of {sample[0]} features, but the model takes {prod(wanted)} values of shape "
            f"{input_shape}; give the data in the shape the model was trained on."
        )
    if len(wanted) not in (1, 2, 3):
        return (
            f"The data are images of shape {sample}, but the model's input of shape {input_shape} has no image axis "
            "that fits; nmcheck analyses models of one image or one vector."
        )
    if prod(sample) != prod(wanted):
        return (
            f"The data are images of shape {sample} ({prod(sample)} values), but the model takes shape {input_shape} "
            f"({prod(wanted)} values): no image axis that fits; resize or crop the images to the model's size first."
        )
    return (
        f"The data are images of shape {sample}, but the model takes shape {input_shape}: as many values, but no image "
        "axis that fits; reorder the axes of the data first."
    )
