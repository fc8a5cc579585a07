"""The bank's file: HDF5, one writer, whole at any moment (docs/bank-format.md). It and ``structure`` alone use h5py.

All space is taken when the file is made, with NaN where nothing is written yet, and no structure of the file changes
afterwards: a point is written, the file flushed, the point marked as done, and the file flushed again. Whatever moment
a build is killed at, the file opens, and a point that is marked is complete.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Literal

import h5py
import numpy as np
from jaxtyping import Bool, Int64

from nmcheck.errors import BankError, UsageError
from nmcheck.linearize.bank.content import Content
from nmcheck.linearize.bank.failures import explained
from nmcheck.linearize.bank.fresh_file import fresh_file
from nmcheck.linearize.bank.header import FORMAT_VERSION, Header
from nmcheck.linearize.bank.header_text import header_from_json
from nmcheck.linearize.bank.layout import checksum, datasets
from nmcheck.linearize.bank.points import Points
from nmcheck.linearize.bank.structure import FORMAT, allocate, checked_datasets, damaged, read_attributes

Opener = Callable[[Path, Literal["r", "r+"]], h5py.File]
_VERSIONS = ("earliest", "v108")
"""The format of old versions of HDF5 is the one that a killed writer leaves readable."""
_STRUCTURE = 16_384
"""Bytes that HDF5's own structures stay below, the header apart."""


def open_file(path: Path, mode: Literal["r", "r+"]) -> h5py.File:
    """A file on disk."""
    return h5py.File(path, mode, libver=_VERSIONS, locking=True)


class BankFile:
    """An open bank.

    Args:
        path: its file.
        mode: ``r`` to read, ``r+`` to go on building.
        opener: opens the file.

    Attributes:
        header: what the bank says of itself.

    Raises:
        BankError: there is no such file, it is being built, damaged, no bank, or of a later format.
    """

    def __init__(self, path: Path, mode: Literal["r", "r+"] = "r", opener: Opener = open_file) -> None:
        self.path = path
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "does not exist"
            raise BankError(f"{path}: the bank {kind}; make one with nmcheck bank build.")
        if mode == "r+":
            # HDF5 may change a file by opening it to write, so it is a bank first.
            BankFile(path, "r", opener).close()
        with explained(path, "opened"):
            self._file = opener(path, mode)
        try:
            with explained(path, "read"):
                self._attributes = read_attributes(self._file, path)
                self.header = self._header()
                self._datasets = checked_datasets(self._file, datasets(self.header), path)
            if mode == "r+":
                # What is made from a point's choice gets its checksum, so the choice is to be right.
                self._check_choice()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """End it; what was written is in the file.

        Raises:
            BankError: it cannot be closed.
        """
        with explained(self.path, "closed"):
            self._file.close()

    def __enter__(self) -> BankFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Nothing is pending: what is done is flushed. A failure to close must not hide what went wrong before.
        if error is not None:
            with suppress(Exception):
                self._file.close()
            return
        self.close()

    @property
    def done(self) -> Bool[np.ndarray, " k"]:
        """Which points are complete."""
        with explained(self.path, "read"):
            return self._dataset("done")[:] == 1

    def unknown_marks(self) -> Int64[np.ndarray, " unknown"]:
        """Positions of points that are marked neither as done nor as missing."""
        with explained(self.path, "read"):
            return np.flatnonzero(self._dataset("done")[:] > 1)

    @property
    def points(self) -> Points:
        """Where the bank linearizes.

        Raises:
            BankError: the file is damaged.
        """
        self._check_choice()
        with explained(self.path, "read"):
            kept = self._choice
            if min(kept[name].min() for name in ("members", "class_mix", "reach")) < 0:
                raise damaged(self.path, "it counts less than nothing among its points")
            self._check_finite(kept, "what was chosen of the points")
            return Points(self.header.choice, *(kept[name].copy() for name in self.header.choice_arrays))

    def constants(self) -> Content:
        """What is kept once for all points.

        Raises:
            BankError: the file is damaged.
        """
        with explained(self.path, "read"):
            kept = {name: self._dataset(f"constants/{name}")[()] for name in self.header.constant_arrays}
        if checksum(kept) != self._attributes["constants_crc32"]:
            raise BankError(
                f"{self.path}: what the bank keeps for all points is damaged; delete the file and build it again."
            )
        self._check_finite(kept, "what it keeps for all points")
        return kept

    def read(self, index: int) -> Content:
        """What is kept of one point.

        Raises:
            BankError: the point is missing or damaged.
        """
        with explained(self.path, "read"):
            if self._dataset("done")[index] != 1:
                raise BankError(f"{self.path}: point {index} is missing; complete the bank with --resume.")
            kept = {name: self._dataset(f"points/{name}")[index] for name in self.header.point_arrays}
            if self._checksum_of(index, kept) != int(self._dataset("checksum")[index]):
                raise BankError(f"{self.path}: point {index} is damaged; delete the file and build it again.")
        self._check_finite(kept, f"point {index}")
        return kept

    def damaged(self) -> Int64[np.ndarray, " damaged"]:
        """Positions of complete points whose bytes are not those that were written.

        Raises:
            BankError: the file is damaged elsewhere: of a point that is not complete, what was chosen.
        """
        found = []
        for index in np.flatnonzero(self.done):
            with explained(self.path, "read"):
                kept = {name: self._dataset(f"points/{name}")[index] for name in self.header.point_arrays}
                if self._checksum_of(int(index), kept) != int(self._dataset("checksum")[index]):
                    found.append(index)
        if not found:
            self._check_choice()
        return np.array(found, np.int64)

    def write(self, index: int, content: Content) -> None:
        """Keep one point.

        Raises:
            BankError: it cannot be written; the points that were complete stay so.
        """
        with explained(self.path, "written"):
            for name, (shape, dtype) in self.header.point_arrays.items():
                if (content[name].shape, content[name].dtype) != (shape, dtype):
                    raise ValueError(f"{name} has shape {content[name].shape}, and {shape} is wanted")
                self._dataset(f"points/{name}")[index] = content[name]
            self._dataset("checksum")[index] = self._checksum_of(index, content)
            self._file.flush()
            self._dataset("done")[index] = 1
            self._file.flush()

    @property
    def bytes(self) -> int:
        """Size of the file."""
        return self.path.stat().st_size

    def _header(self) -> Header:
        version = self._attributes["format_version"]
        if version != FORMAT_VERSION:
            raise BankError(
                f"{self.path}: the bank has format version {version}, and this nmcheck reads version {FORMAT_VERSION}; "
                "update nmcheck, or build the bank again."
            )
        text = str(self._attributes["header"])
        if zlib.crc32(text.encode()) != self._attributes["header_crc32"]:
            raise BankError(f"{self.path}: the bank's header is damaged; delete the file and build it again.")
        return header_from_json(text, self.path)

    def _check_finite(self, content: Content, what: str) -> None:
        """Refuse numbers that nothing can be computed from, whoever wrote them."""
        if not all(np.isfinite(array).all() for array in content.values()):
            raise BankError(
                f"{self.path}: {what} has numbers that are infinite or NaN, so nothing can be served from it; build it "
                "again."
            )

    def _check_choice(self) -> None:
        with explained(self.path, "read"):
            if checksum(self._choice) != self._attributes["choice_crc32"]:
                raise BankError(
                    f"{self.path}: what was chosen of the points (centers, members, class mix, reach) is damaged; "
                    "delete the file and build it again."
                )

    def _dataset(self, name: str) -> h5py.Dataset:
        return self._datasets[name]

    def _checksum_of(self, index: int, content: Content) -> int:
        """Over what was chosen and what was computed."""
        return checksum({name: array[index] for name, array in self._choice.items()} | content)

    @cached_property
    def _choice(self) -> Content:
        """What was chosen: small, and of every point's checksum."""
        return {name: self._dataset(name)[:] for name in self.header.choice_arrays}


def create(
    path: Path, header: Header, points: Points, constants: Content, *, replace: bool, opener: Opener = open_file
) -> None:
    """Make the file of a bank without any point done.

    It is made under a name of its own and takes the bank's when it is whole; of several processes the first has it.

    Args:
        path: where.
        header: what the bank says of itself.
        points: where it linearizes.
        constants: what it keeps once.
        replace: whether a file of that name may be replaced.
        opener: opens the file.

    Raises:
        UsageError: there is a file of that name that may not be replaced.
        BankError: the file cannot be made, because the disk is full, the folder not writable, or another process was
            faster.
    """
    if path.exists() and not replace:
        raise UsageError(exists(path))
    size = header.bytes + len(header.to_json()) + _STRUCTURE
    # HDF5 crashes where the disk gets full under it, so the file has all its space before HDF5 sees it.
    with explained(path, "made"), fresh_file(path, _empty(), size, replace=replace) as temporary:
        file = opener(temporary, "r+")
        try:
            _fill(file, header, points, constants)
            # This gives back what was taken too much.
            file.flush()
            file.close()
        except BaseException:
            # Closing fails again where writing has; what matters is what failed first.
            with suppress(Exception):
                file.close()
            raise


def exists(path: Path) -> str:
    """What is said of a file that is in the way of a new bank."""
    return f"{path} exists; go on with it by --resume, replace it by --force, or choose another --output."


def _empty() -> bytes:
    """A file of HDF5 with nothing in it."""
    with h5py.File("empty", "w", libver=_VERSIONS, driver="core", backing_store=False) as file:
        file.flush()
        return file.id.get_file_image()


def _fill(file: h5py.File, header: Header, points: Points, constants: Content) -> None:
    for name, (shape, dtype) in datasets(header).items():
        allocate(file, name, shape, dtype)
    choice = {name: np.asarray(getattr(points, name), dtype) for name, (_, dtype) in header.choice_arrays.items()}
    for name, array in choice.items():
        file[name][...] = array  # pyright: ignore[reportIndexIssue]
    for name in header.constant_arrays:
        file[f"constants/{name}"][...] = constants[name]  # pyright: ignore[reportIndexIssue]
    text = header.to_json()
    file.attrs["format"] = FORMAT
    file.attrs["format_version"] = FORMAT_VERSION
    file.attrs["header"] = text
    file.attrs["header_crc32"] = zlib.crc32(text.encode())
    # A point's own checksum has its choice too, but is written when the point is made.
    file.attrs["choice_crc32"] = checksum(choice)
    file.attrs["constants_crc32"] = checksum({name: constants[name] for name in header.constant_arrays})
