"""A folder with one sub-folder of images per class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from nmcheck.errors import DataError

Decode = Callable[[Path], np.ndarray]
"""Reads one image file: (H,W) or (H,W,3), uint8."""

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def read_class_folders(folder: Path, decode: Decode) -> tuple[np.ndarray, np.ndarray]:
    """Images (N,H,W) or (N,H,W,3) and labels, sorted by class and then by file name.

    Where every sub-folder's name is a whole number, the number is the label; otherwise labels count the names in
    alphabetical order. Sub-folders whose names start with a dot are skipped.

    Raises:
        DataError: if there are no images, one cannot be read, or they differ in size.
    """
    named = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    numbered = all(entry.name.isascii() and entry.name.isdigit() for entry in named)
    classes = sorted(((int(entry.name), entry) for entry in named) if numbered else enumerate(named))
    files = [
        (label, path)
        for label, entry in classes
        for path in sorted(entry.iterdir())
        if path.is_file() and path.suffix.lower() in SUFFIXES
    ]
    if not files:
        raise DataError(
            f"{folder} holds neither idx files nor one sub-folder of images per class; "
            "give a .npz file or a folder of one of those kinds."
        )
    images = [decode(path) for _, path in files]
    colour = any(image.ndim == 3 for image in images)
    if colour:
        images = [image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2) for image in images]
    for image, (_, path) in zip(images, files, strict=True):
        if image.shape != images[0].shape:
            raise DataError(
                f"{path} is {image.shape[1]}x{image.shape[0]} pixels, but {files[0][1].name} is "
                f"{images[0].shape[1]}x{images[0].shape[0]}; resize all images to the model's size first."
            )
    return np.stack(images), np.array([label for label, _ in files], dtype=np.int64)


def pillow_decoder(folder: Path) -> Decode:
    """Pillow's image reader: grey images as (H,W), all others as (H,W,3).

    Raises:
        DataError: if Pillow is not installed.
    """
    try:
        from PIL import Image  # pyright: ignore[reportMissingImports] - an optional dependency
    except ImportError as error:
        raise DataError(
            f"{folder} looks like a folder of image files, and reading those needs Pillow, which is not installed; "
            "install it with: pip install 'nmcheck[images]'."
        ) from error

    def decode(path: Path) -> np.ndarray:
        try:
            with Image.open(path) as image:
                grey = image.mode in ("1", "L", "LA")
                return np.asarray(image.convert("L" if grey else "RGB"), dtype=np.uint8)
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            raise DataError(f"{path} cannot be read as an image: {error}.") from error

    return decode
