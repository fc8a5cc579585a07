"""Images side by side in one PNG file."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
from jaxtyping import Float, UInt8

from nmcheck.data.layout import image_axes
from nmcheck.errors import OutputError
from nmcheck.whole_file import whole_file

COLUMNS = 4
"""Triples in a row of the grid."""
MOST = 100
_GAP = 2
_WHITE = 255


def picture(image: Float[np.ndarray, "*stored"]) -> UInt8[np.ndarray, "height width 3"] | None:
    """An image of the data in [0, 1] as 8-bit colours, or None if its shape is no image's; what lies outside is cut."""
    axes = image_axes(image.shape)
    if axes is None:
        return None
    pixels = image[..., None] if image.ndim == 2 else np.moveaxis(image, axes, (0, 1))
    colours = pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2)
    return np.round(colours.clip(0, 1) * _WHITE).astype(np.uint8)


def triples(
    originals: Float[np.ndarray, "images *stored"], changed: Float[np.ndarray, "images *stored"]
) -> UInt8[np.ndarray, "height width 3"] | None:
    """A grid of original, change and changed image, at most ``MOST`` of them; None if they are no images.

    Each change is stretched to its own largest element: grey is none, black and white the largest either way.
    """
    tiles = []
    for before, after in zip(originals[:MOST], changed[:MOST], strict=True):
        change = after - before
        largest = float(np.abs(change).max(initial=0)) or 1.0
        parts = [picture(part) for part in (before, 0.5 + change / (2 * largest), after)]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        tiles.append(np.concatenate(known, axis=1))
    if not tiles:
        return None
    height, width, _ = tiles[0].shape
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    grid = np.full((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), _WHITE, dtype=np.uint8)
    for place, tile in enumerate(tiles):
        top, left = place // columns * (height + _GAP), place % columns * (width + _GAP)
        grid[top : top + height, left : left + width] = tile
    return grid


def check_png(path: Path, stored: tuple[int, ...]) -> None:
    """Find out before a long computation whether a picture of images of this shape could be written; what else is none.

    Raises:
        OutputError: Pillow is not installed.
    """
    if image_axes(stored) is not None:
        _pillow(path)


def write_png(path: Path, pixels: UInt8[np.ndarray, "height width 3"]) -> None:
    """Write a picture.

    Raises:
        OutputError: Pillow is not installed, or the file cannot be written.
    """
    image = _pillow(path)
    try:
        with whole_file(path) as file:
            image.fromarray(pixels).save(file, format="png")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}; choose another folder.") from error


def _pillow(path: Path) -> ModuleType:
    try:
        from PIL import Image  # pyright: ignore[reportMissingImports] - an optional dependency
    except ImportError as error:
        raise OutputError(
            f"{path} cannot be written: that needs Pillow, which is not installed; install it with: "
            "pip install 'nmcheck[images]'."
        ) from error
    return Image
