"""A disk without room, a limit of the system, and a folder that cannot be written to."""

import errno
import io
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import pytest
from linearize.bank.stored import Bank

from nmcheck.errors import BankError
from nmcheck.linearize.bank import store
from nmcheck.linearize.bank.store import BankFile, create


class FullDisk(io.BytesIO):
    """A file on a disk with some room: writing beyond it fails as the system's does."""

    def __init__(self, content: bytes, room: int) -> None:
        super().__init__(content)
        self.room = room

    def write(self, data) -> int:  # type: ignore[override]
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)

    def truncate(self, size: int | None = None) -> int:
        if (size or 0) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().truncate(size)


@pytest.mark.parametrize("room", [0, 300, 3000])
def test_a_disk_that_is_full_for_hdf5_all_the_same_is_said_and_nothing_left(
    bank: Bank, tmp_path: Path, room: int
) -> None:
    """Where a file system does not keep its word about space that was taken."""
    folder = tmp_path / "full"
    folder.mkdir()
    disks = []

    def opener(path, mode):
        disks.append(FullDisk(path.read_bytes()[:800], room))
        return h5py.File(disks[-1], mode)

    with pytest.raises(BankError, match=r"cannot be made: the disk is full; free some space, then run the command ag"):
        create(folder / "b.h5", bank.header, bank.points, bank.constants, replace=False, opener=opener)
    assert len(disks) == 1
    assert list(folder.iterdir()) == []


def test_all_space_is_taken_before_the_first_point(bank: Bank, tmp_path: Path) -> None:
    empty = tmp_path / "empty.h5"
    create(empty, bank.header, bank.points, bank.constants, replace=False)
    assert empty.stat().st_size == bank.path.stat().st_size >= bank.header.bytes


@pytest.mark.parametrize("is_kept", [True, False])
def test_hdf5_sees_a_file_that_has_all_its_space(bank: Bank, tmp_path: Path, monkeypatch, *, is_kept: bool) -> None:
    """Also on a file system that can only be written to."""
    seen = []

    def unsupported(*_) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    def opener(path: Path, mode):
        seen.append((path.stat().st_size, 512 * path.stat().st_blocks))
        return store.open_file(path, mode)

    if not is_kept:
        monkeypatch.setattr(os, "posix_fallocate", unsupported)
    other = tmp_path / "other.h5"
    create(other, bank.header, bank.points, bank.constants, replace=False, opener=opener)
    (size, taken), made = seen[0], other.stat().st_size
    assert made <= size <= taken
    assert size - made < 17_000
    with BankFile(other, "r+") as file:
        for index in range(3):
            file.write(index, bank.content[index])
    assert other.read_bytes() == bank.path.read_bytes()


LIMITED = """
import os, pickle, resource, sys
from pathlib import Path
from nmcheck.errors import BankError
from nmcheck.linearize.bank.store import create
path, parts = Path(sys.argv[1]), pickle.loads(Path(sys.argv[2]).read_bytes())
for limit in map(int, sys.argv[3:]):
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            create(path, *parts, replace=False)
        except BankError as error:
            print(f"Error: {limit} {error}", file=sys.stderr, flush=True)
            # To the very end: what HDF5 could not write it tries again while the process is taken down.
            sys.exit(3)
        sys.exit(0)
    print(limit, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_no_limit_of_the_system_makes_hdf5_crash(bank: Bank, tmp_path: Path) -> None:
    """Real ones, from nothing to a little less than is needed; each in a process of its own."""
    folder, parts = tmp_path / "limited", tmp_path / "parts"
    folder.mkdir()
    parts.write_bytes(pickle.dumps((bank.header, bank.points, bank.constants)))
    limits = [0, 799, 2_000, 8_000, 18_000]
    command = [sys.executable, "-c", LIMITED, str(folder / "b.h5"), str(parts), *map(str, limits)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    made = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert made.stdout.splitlines() == [f"{limit} 3" for limit in limits], made.stderr
    said = made.stderr.splitlines()
    assert len(said) == len(limits)
    for limit, line in zip(limits, said, strict=True):
        assert line.startswith(f"Error: {limit} {folder / 'b.h5'}: the bank cannot be made: the system allows no file")
    assert list(folder.iterdir()) == []


def test_a_folder_that_is_missing_is_said(bank: Bank, tmp_path: Path) -> None:
    with pytest.raises(BankError, match=r"cannot be made: No such file or directory \(ENOENT\); choose another"):
        create(tmp_path / "no" / "b.h5", bank.header, bank.points, bank.constants, replace=False)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Root may write anywhere, so that the tests of a container would see no permission denied."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(user)


def test_a_read_only_folder_is_said_and_left_as_it_was(bank: Bank) -> None:
    # Not in tmp_path, into whose parents nobody but the owner may look.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        there = folder / "there.h5"
        there.write_bytes(bank.path.read_bytes())
        there.chmod(0o444)
        folder.chmod(0o555)
        try:
            with ordinary_user():
                with pytest.raises(BankError, match=r"cannot be made: Permission denied \(EACCES\); choose another"):
                    create(folder / "b.h5", bank.header, bank.points, bank.constants, replace=False)
                with pytest.raises(BankError, match=r"there.h5: the bank cannot be opened: Permission denied"):
                    BankFile(there, "r+")
                with BankFile(there) as file:
                    assert file.done.any()
            assert [path.name for path in folder.iterdir()] == ["there.h5"]
            assert there.read_bytes() == bank.path.read_bytes()
        finally:
            folder.chmod(0o755)
