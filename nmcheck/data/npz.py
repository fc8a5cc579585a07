"""NumPy archives: ``x`` and ``y``, or ``x_test``/``y_test``, ``x_train``/``y_train``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nmcheck.data.archive import open_archive
from nmcheck.data.dataset import check_images, check_label_shape
from nmcheck.data.source import Source
from nmcheck.errors import DataError

PREFERENCE = {None: ("x", "x_test"), "test": ("x_test", "x"), "train": ("x_train",)}
"""Names of the image array by the part of the data asked for, best first."""


@contextmanager
def open_npz(path: Path, split: str | None) -> Iterator[Source]:
    """Images and labels (None if the archive has none) as stored; the labels are read at once.

    Args:
        path: the archive.
        split: ``train``, ``test`` or None.

    Raises:
        DataError: if the file is no such archive, lacks the images, or would have to be unpickled.
    """
    with open_archive(path) as archive:
        found = next((name for name in PREFERENCE[split] if name in archive.names), None)
        if found is None:
            raise DataError(
                f"{path} has no array {' or '.join(PREFERENCE[split])} (it has {archive.listed}); "
                "save the images as x and the labels as y, or name the part to use, as in FILE.npz:train."
            )
        images = archive.array(found)
        shape, dtype = images.header.shape, images.header.dtype
        check_images(shape, dtype, str(path))
        labels, name = None, found.replace("x", "y", 1)
        if name in archive.names:
            stored = archive.array(name)
            check_label_shape(stored.header.shape, stored.header.dtype, shape[0], str(path))
            labels = stored.read()
        yield Source(shape, dtype.newbyteorder("="), labels, images.read_images)
