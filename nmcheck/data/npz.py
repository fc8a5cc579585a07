"""NumPy archives: ``x`` and ``y``, or ``x_test``/``y_test``, ``x_train``/``y_train``."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from nmcheck.errors import DataError

PREFERENCE = {None: ("x", "x_test"), "test": ("x_test", "x"), "train": ("x_train",)}
"""Names of the image array by the part of the data asked for, best first."""

UNREADABLE = (ValueError, OSError, EOFError, KeyError, NotImplementedError, SyntaxError, zipfile.BadZipFile, zlib.error)
"""What a damaged archive makes numpy and zipfile raise."""


def read_npz(path: Path, split: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Images and labels (None if the archive has none) as stored.

    Args:
        path: the archive.
        split: ``train``, ``test`` or None.

    Raises:
        DataError: if the file is no such archive, lacks the images, or would have to be unpickled.
    """
    try:
        # Opened here, because numpy leaves the file open if it is damaged.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"{path} holds a single array; save images and labels as x and y with numpy.savez.")
            with archive:
                return _members(archive, path, split)
    except UNREADABLE as error:
        raise DataError(f"{path} cannot be read as a NumPy .npz archive: {_first_line(error)}.") from error
    except MemoryError as error:
        raise DataError(f"{path} claims arrays larger than this machine's memory; check the file.") from error


def _members(archive: np.lib.npyio.NpzFile, path: Path, split: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    names = PREFERENCE[split]
    found = next((name for name in names if name in archive.files), None)
    if found is None:
        raise DataError(
            f"{path} has no array {' or '.join(names)} (it has {', '.join(archive.files) or 'none'}); "
            "save the images as x and the labels as y, or name the part to use, as in FILE.npz:train."
        )
    labels = found.replace("x", "y", 1)
    return _member(archive, path, found), _member(archive, path, labels) if labels in archive.files else None


def _member(archive: np.lib.npyio.NpzFile, path: Path, name: str) -> np.ndarray:
    try:
        return archive[name]
    except ValueError as error:
        # numpy refuses to unpickle in these words; there is no class of its own to catch.
        if "allow_pickle" not in str(error):
            raise
        raise DataError(
            f"{path}: the array {name} holds Python objects, which nmcheck never unpickles; "
            "save it as an array of numbers."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
