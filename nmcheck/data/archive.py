"""Arrays in a NumPy archive: what each is comes from its header, before it is read; then it streams by.

Archives are zip files, and of what zip files can be, only what ``numpy.savez`` and ``numpy.savez_compressed`` write is
read.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from nmcheck.data.memory import check_room, working_bytes
from nmcheck.data.npy import ArrayHeader, as_array, read_array_header, starts_with_array
from nmcheck.data.stream import Readable, read_exactly, read_images, read_transposed_images
from nmcheck.data.values import ValueCheck
from nmcheck.errors import DataError

_UNREADABLE = (
    ValueError, OSError, EOFError, KeyError, IndexError, OverflowError, RuntimeError, SyntaxError, struct.error,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What a damaged archive makes zipfile raise."""
_SUFFIX = ".npy"
_BEGINNING = b"PK"
_ENCRYPTED, _UTF_8 = 1, 0x800
_NAME_LENGTH = 26
"""Place of the length of a name in front of a member."""
_END, _COUNT, _LONGEST_END = b"PK\5\6", 6, 22 + 0xFFFF
"""How the end of an archive begins, where behind that the number of members stands, and its length with a comment."""
_COUNTED_ELSEWHERE = 0xFFFF
"""The number of members of an archive that has more."""
_LOCAL_HEADER = 30
"""Bytes in front of a member, its name apart."""
_WAYS = {9: "Deflate64", zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "LZMA", 93: "Zstandard", 99: "AES"}
_SHOWN = 10
"""Names of arrays that a message lists."""


class StoredArray:
    """An array of an open archive, checked up to its header.

    Args:
        archive: open for as long as this is used.
        member: its entry there.
        path: of the archive, for messages.

    Attributes:
        header: what it says of itself.

    Raises:
        DataError: it is packed in a way that is not read, or is not what its header says.
    """

    def __init__(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
        self._archive, self._member, self._path = archive, member, path
        self._name = f"the array {member.filename.removesuffix(_SUFFIX)}"
        if member.flag_bits & _ENCRYPTED:
            raise DataError(f"{path}: {self._name} is encrypted; save it without a password, with numpy.savez.")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            way = _WAYS.get(member.compress_type, f"method {member.compress_type}")
            raise DataError(
                f"{path}: {self._name} is packed by {way}, which nmcheck does not read; save it with numpy.savez or "
                "numpy.savez_compressed."
            )
        with archive.open(member) as file:
            self.header: ArrayHeader = read_array_header(file, str(path), self._name)
        held = member.file_size - self.header.start
        if held != self.header.bytes:
            raise DataError(
                f"{path}: {self._name} should take {self.header.bytes:,} bytes for its shape {self.header.shape}, but "
                f"takes {held:,}; save the file again."
            )

    def read(self) -> np.ndarray:
        """All of it, in this machine's byte order.

        Raises:
            DataError: it is damaged, or there is not enough memory for it.
        """
        header = self.header
        self._check_room(working_bytes(prod(header.shape), header.dtype.itemsize))
        with self._stream() as file:
            return as_array(read_exactly(file, header.bytes), header)

    def read_images(self, positions: Int64[np.ndarray, " chosen"], check: ValueCheck) -> np.ndarray:
        """Of an array of images the chosen ones; all are shown to the check.

        Raises:
            DataError: it is damaged.
        """
        header, reader = self.header, read_images
        if header.transposed:
            # A value of every image is in memory together.
            self._check_room(working_bytes(header.shape[0], header.dtype.itemsize))
            reader = read_transposed_images
        with self._stream() as file:
            return reader(file, header.shape, header.dtype, positions, check)

    def _check_room(self, wanted: int) -> None:
        check_room(wanted, f"{self._path}: {self._name} of shape {self.header.shape}", "check the file")

    @contextmanager
    def _stream(self) -> Iterator[Readable]:
        """The file at the array's first byte."""
        with self._archive.open(self._member) as file:
            assert isinstance(file, zipfile.ZipExtFile)
            read_exactly(file, self.header.start)
            yield file
            # The checksum is compared where the member ends.
            if file.read(1):
                raise DataError(f"{self._path}: {self._name} is longer than its shape says; save the file again.")


class Archive:
    """An open archive.

    Raises:
        DataError: two arrays have one name, one has two, or two share bytes.
    """

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self._archive, self._path = archive, path
        self._members: dict[str, zipfile.ZipInfo] = {}
        members = [member for member in archive.infolist() if not member.is_dir()]
        for member in members:
            name = member.filename.removesuffix(_SUFFIX)
            if name in self._members:
                raise DataError(f"{path} has two arrays called {name}; save the file again.")
            self._members[name] = member
        if _overlap(members, archive.start_dir):
            raise DataError(f"{path}: two of its arrays share bytes, which no archive of NumPy's has; save it again.")
        is_whole = _counted(archive) in (len(archive.infolist()), _COUNTED_ELSEWHERE)
        if not (is_whole and all(_named_alike(archive, member) for member in members)):
            raise DataError(f"{path}: its list of arrays does not agree with the arrays; save the file again.")

    @property
    def names(self) -> tuple[str, ...]:
        """Of its arrays, in the order of the file."""
        return tuple(self._members)

    @property
    def listed(self) -> str:
        """The names, for a message."""
        shown = ", ".join(self.names[:_SHOWN]) or "none"
        return shown if len(self.names) <= _SHOWN else f"{shown} and {len(self.names) - _SHOWN:,} more"

    def array(self, name: str) -> StoredArray:
        """One of its arrays.

        Raises:
            DataError: as of ``StoredArray``.
        """
        return StoredArray(self._archive, self._members[name], self._path)


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """An archive, and a sentence for whatever goes wrong with it while it is open.

    Raises:
        DataError: it is none, or damaged.
    """
    if starts_with_array(path):
        raise DataError(f"{path} holds a single array; save images and labels as x and y with numpy.savez.")
    try:
        # Opened here, because zipfile leaves the file open if it is damaged.
        with path.open("rb") as file:
            # zipfile finds archives behind anything.
            if file.read(2) != _BEGINNING:
                raise zipfile.BadZipFile("it does not begin as one")
            with zipfile.ZipFile(file) as archive:
                yield Archive(archive, path)
    except _UNREADABLE as error:
        raise DataError(f"{path} cannot be read as a NumPy .npz archive: {_first_line(error)}.") from error
    except MemoryError as error:
        raise DataError(f"{path} claims arrays larger than this machine's memory; check the file.") from error


def _counted(archive: zipfile.ZipFile) -> int:
    """How many members the end of an archive says there are: zipfile passes over those behind a damaged length."""
    assert archive.fp is not None
    size = archive.fp.seek(0, os.SEEK_END)
    archive.fp.seek(max(0, size - _LONGEST_END))
    end = archive.fp.read().rpartition(_END)[2]
    return int.from_bytes(end[_COUNT : _COUNT + 2], "little")


def _named_alike(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    """Whether a member has the name that it is listed by: by another one, labels would be taken for missing."""
    name = member.orig_filename.encode("utf-8" if member.flag_bits & _UTF_8 else "cp437")
    assert archive.fp is not None
    archive.fp.seek(member.header_offset)
    head = archive.fp.read(_LOCAL_HEADER + len(name))
    return head[_LOCAL_HEADER:] == name and head[_NAME_LENGTH : _NAME_LENGTH + 2] == len(name).to_bytes(2, "little")


def _overlap(members: Sequence[zipfile.ZipInfo], end: int) -> bool:
    """Whether members share bytes with each other or with the list of them, as in bombs that unpack without end."""
    places = sorted(
        (member.header_offset, _LOCAL_HEADER + len(member.orig_filename) + member.compress_size) for member in members
    )
    followed = zip(places, [*places[1:], (end, 0)], strict=False)
    return any(start + size > following for (start, size), (following, _) in followed)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".") or type(error).__name__
