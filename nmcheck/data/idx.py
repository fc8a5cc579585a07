"""The idx files MNIST is published in, plain or gzipped.

A file starts with two zero bytes, a type code, the number of axes, and the length of each axis as a big-endian 32-bit
integer; the values follow, big-endian.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from math import prod
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from nmcheck.data.dataset import check_images, check_label_shape
from nmcheck.data.entries import unusable
from nmcheck.data.memory import check_room, working_bytes
from nmcheck.data.source import Source, image_bytes
from nmcheck.data.stream import read_exactly, read_images
from nmcheck.data.values import ValueCheck
from nmcheck.errors import DataError

_File = BufferedReader | gzip.GzipFile
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
NAME = re.compile(r"(?P<split>train|t10k|test)?[-_.]?(?P<what>images|labels)[-_.]idx[0-9][-_.]ubyte(\.gz)?")


def has_idx_files(folder: Path) -> bool:
    """Whether a folder holds idx files by the names MNIST and its kin use."""
    return any(NAME.fullmatch(entry.name) for entry in folder.iterdir() if entry.is_file() or entry.is_symlink())


def idx_files(folder: Path, split: str | None) -> tuple[Path, Path | None]:
    """The files with images and labels (None if there is none) of one part of the data.

    Args:
        folder: holds files such as ``t10k-images-idx3-ubyte.gz``.
        split: ``train``, ``test`` or None (the test images, unless there is only one part).

    Raises:
        DataError: if there are no such images, or something of such a name is no file.
    """
    parts: dict[str, dict[str, Path]] = {}
    # Sorted, so that a plain file wins over its gzipped twin.
    for path in sorted(folder.iterdir(), reverse=True):
        match = NAME.fullmatch(path.name)
        if match:
            # Without its labels a set would be read as one that has none.
            if not path.is_file():
                raise DataError(f"{path} is {unusable(path)}; put the file there, or remove it.")
            part = "test" if match["split"] == "t10k" else match["split"] or "all"
            parts.setdefault(part, {})[match["what"]] = path
    with_images = {part: files for part, files in parts.items() if "images" in files}
    wanted = split or "test"
    if wanted not in with_images:
        if split is not None or len(with_images) != 1:
            raise DataError(
                f"{folder} has no idx images for '{wanted}' (parts with images: {', '.join(with_images) or 'none'}); "
                "name the part to use, as in FOLDER:train."
            )
        wanted = next(iter(with_images))
    files = with_images[wanted]
    return files["images"], files.get("labels")


@contextmanager
def open_idx(images: Path, labels: Path | None) -> Iterator[Source]:
    """Images of one file and labels of another; the labels are read at once.

    Raises:
        DataError: a file is damaged or no idx file.
    """
    found = _IdxFile(images)
    check_images(found.shape, found.dtype, str(images))
    stored = None
    if labels is not None:
        file = _IdxFile(labels)
        check_label_shape(file.shape, file.dtype, found.shape[0], str(labels))
        stored = file.read()
    yield Source(found.shape, found.dtype.newbyteorder("="), stored, found.read_images)


class _IdxFile:
    """One idx file, whose header has been read.

    Attributes:
        shape: of its array.
        dtype: of its values, as stored.

    Raises:
        DataError: it is none, is damaged, or is not as long as its header says.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._packed = path, path.suffix == ".gz"
        with self._explained(), self._opened() as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in TYPES:
                raise DataError(f"{path} is no idx file: it does not start with the magic number of one.")
            self.dtype, rank = np.dtype(TYPES[head[2]]), head[3]
            lengths = file.read(4 * rank)
            if len(lengths) < 4 * rank:
                raise DataError(f"{path} is cut off in its header; download it again.")
            self.shape = tuple(int.from_bytes(lengths[at : at + 4], "big") for at in range(0, 4 * rank, 4))
            self._start = 4 + 4 * rank
            self._bytes = prod(self.shape) * self.dtype.itemsize
            # How much is in a packed file shows at its end only.
            held = self._bytes if self._packed else path.stat().st_size - self._start
        if held != self._bytes:
            raise DataError(
                f"{path} should hold {self._bytes:,} bytes of values for its shape {self.shape}, but holds {held:,}; "
                "download it again."
            )

    def read(self) -> np.ndarray:
        """All of it, in this machine's byte order.

        Raises:
            DataError: it is damaged, or there is not enough memory for it.
        """
        check_room(
            working_bytes(prod(self.shape), self.dtype.itemsize),
            f"{self._path}: the array of shape {self.shape} in it",
            "check the file",
        )
        with self._values() as file:
            content = np.frombuffer(read_exactly(file, self._bytes), self.dtype)
        return content.reshape(self.shape).astype(self.dtype.newbyteorder("="))

    def read_images(self, positions: Int64[np.ndarray, " chosen"], check: ValueCheck) -> np.ndarray:
        """The chosen images; where values can be wrong, and in packed files, all pass by.

        Raises:
            DataError: it is damaged.
        """
        with self._values() as file:
            if self._packed or check.needed or len(positions) == self.shape[0]:
                return read_images(file, self.shape, self.dtype, positions, check)
            one = image_bytes(self.shape, self.dtype)
            # Values that need no check are bytes.
            kept = np.empty((len(positions), one), np.uint8)
            for row, position in enumerate(positions):
                file.seek(self._start + int(position) * one)
                kept[row] = np.frombuffer(read_exactly(file, one), np.uint8)
            file.seek(self._start + self._bytes)
            return kept.reshape(len(positions), *self.shape[1:])

    @contextmanager
    def _values(self) -> Iterator[_File]:
        """The file at its first value; it must end behind the last one."""
        with self._explained(), self._opened() as file:
            read_exactly(file, self._start)
            yield file
            # The checksum of a packed file is compared where it ends.
            if file.read(1):
                raise DataError(
                    f"{self._path} should hold {self._bytes:,} bytes of values for its shape {self.shape}, but holds "
                    "more; download it again."
                )

    def _opened(self) -> _File:
        return gzip.open(self._path) if self._packed else self._path.open("rb")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, EOFError, ValueError, OverflowError, struct.error, zlib.error) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise DataError(f"{self._path} cannot be read: {reason}.") from error
