"""The file of a bank: whole at any moment, and never read as something it is not."""

import errno
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hdf5 import dataset
from linearize.bank.networks import header_of, lenet_graph, points_of

from nmcheck.errors import BankError, UsageError
from nmcheck.linearize.bank import store
from nmcheck.linearize.bank.header import Header
from nmcheck.linearize.bank.storage import Storage
from nmcheck.linearize.bank.store import BankFile, create


class Bank:
    """A bank on the disk with all points but one done."""

    def __init__(self, folder: Path) -> None:
        graph = lenet_graph(folder)
        self.points = points_of(graph)
        self.header, self.maker = header_of(graph, "relu", self.points, dtype="float16")
        self.constants = self.maker.constants(self.header, self.points.centers[0])
        self.content = [self.maker.make(self.header, index, row) for index, row in enumerate(self.points.centers)]
        self.path = folder / "bank.h5"
        create(self.path, self.header, self.points, self.constants, replace=False)
        with BankFile(self.path, "r+") as file:
            for index in range(len(self.points) - 1):
                file.write(index, self.content[index])


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path)


def test_what_was_written_is_read(bank: Bank) -> None:
    with BankFile(bank.path) as file:
        assert file.header == bank.header
        assert file.done.tolist() == [True] * 3 + [False]
        assert np.array_equal(file.points.centers, bank.points.centers)
        for index in range(3):
            kept = file.read(index)
            assert kept.keys() == bank.content[index].keys() == {"norms", "correlations"}
            assert all(np.array_equal(kept[name], bank.content[index][name]) for name in kept)
        constants = file.constants()
        assert constants.keys() == {"outer", "bias"}
        assert all(np.array_equal(constants[name], bank.constants[name]) for name in constants)
        assert len(file.damaged()) == 0


def test_the_same_bank_is_the_same_file(bank: Bank, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    create(other, bank.header, bank.points, bank.constants, replace=False)
    with BankFile(other, "r+") as file:
        for index in (2, 0, 1):
            file.write(index, bank.content[index])
    assert other.read_bytes() == bank.path.read_bytes()


def test_a_hole_is_not_a_number_and_never_read(bank: Bank) -> None:
    with BankFile(bank.path) as file, pytest.raises(BankError, match="point 3 is missing; complete the bank"):
        file.read(3)
    with h5py.File(bank.path) as raw:
        assert np.isnan(dataset(raw, "points/correlations")[3]).all()
        assert np.isnan(dataset(raw, "points/norms")[3]).all()


def test_all_space_is_taken_before_the_first_point(bank: Bank, tmp_path: Path) -> None:
    empty = tmp_path / "empty.h5"
    create(empty, bank.header, bank.points, bank.constants, replace=False)
    assert empty.stat().st_size == bank.path.stat().st_size >= bank.header.bytes


def every_byte_of_points(path: Path) -> list[int]:
    """Places in the file where something of point 1 stands."""
    places = []
    with h5py.File(path) as raw:
        for name in ("centers", "members", "class_mix", "reach", "points/norms", "points/correlations", "checksum"):
            found = dataset(raw, name)
            size = found[1].nbytes
            start = (found.id.get_offset() or 0) + size
            places += [start, start + size // 2, start + size - 1]
    return places


def test_any_flipped_byte_of_a_point_is_found(bank: Bank) -> None:
    whole = bank.path.read_bytes()
    for place in every_byte_of_points(bank.path):
        for bit in (0, 7):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            bank.path.write_bytes(flipped)
            with BankFile(bank.path) as file:
                assert file.damaged().tolist() == [1], place
                with pytest.raises(BankError, match="point 1 is damaged"):
                    file.read(1)
                file.read(0)


def test_a_flipped_byte_of_what_is_kept_once_is_found(bank: Bank) -> None:
    with h5py.File(bank.path) as raw:
        place = (dataset(raw, "constants/outer").id.get_offset() or 0) + 5
    flipped = bytearray(bank.path.read_bytes())
    flipped[place] ^= 4
    bank.path.write_bytes(flipped)
    with BankFile(bank.path) as file, pytest.raises(BankError, match="keeps for all points is damaged"):
        file.constants()


def test_a_flipped_byte_anywhere_ends_in_a_sentence_or_is_found(bank: Bank) -> None:
    """Also in HDF5's own structures: never another kind of error."""
    whole = bank.path.read_bytes()
    for place in np.random.default_rng(0).integers(0, 4096, 60):
        flipped = bytearray(whole)
        flipped[place] ^= 0xFF
        bank.path.write_bytes(flipped)
        with suppress(BankError), BankFile(bank.path) as file:
            file.damaged()
            file.constants()
            assert len(file.points) == 4


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_file_cut_off_is_refused(bank: Bank, share: float) -> None:
    whole = bank.path.read_bytes()
    bank.path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BankError, match=r"bank\.h5: the bank cannot be opened: .*(cut off on the way|no HDF5 file)"):
        BankFile(bank.path)


def test_what_is_no_bank_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.h5"
    with pytest.raises(BankError, match="does not exist; make one with nmcheck bank build"):
        BankFile(path)
    with pytest.raises(BankError, match="is a folder"):
        BankFile(tmp_path)
    path.write_bytes(b"PK\3\4 something else")
    with pytest.raises(BankError, match="no HDF5 file"):
        BankFile(path)
    path.unlink()
    with h5py.File(path, "w") as raw:
        raw["x"] = 1
    with pytest.raises(BankError, match="is no bank of nmcheck's"):
        BankFile(path)


def test_a_later_format_and_a_damaged_header_are_refused(bank: Bank) -> None:
    with h5py.File(bank.path, "r+") as raw:
        raw.attrs["format_version"] = 2
    with pytest.raises(BankError, match="format version 2, and this nmcheck reads version 1; update nmcheck"):
        BankFile(bank.path)
    with h5py.File(bank.path, "r+") as raw:
        raw.attrs["format_version"] = 1
        raw.attrs["header"] = str(raw.attrs["header"]).replace('"seed": 0', '"seed": 1')
    with pytest.raises(BankError, match="header is damaged"):
        BankFile(bank.path)


def test_a_dataset_missing_or_of_another_shape_is_refused(bank: Bank) -> None:
    with h5py.File(bank.path, "r+") as raw:
        del raw["points/norms"]
    with pytest.raises(BankError, match="the bank is damaged"):
        BankFile(bank.path)
    with h5py.File(bank.path, "r+") as raw:
        raw["points/norms"] = np.zeros((4, 8), np.float32)
    with pytest.raises(BankError, match=r"norms has shape \(4, 8\)"):
        BankFile(bank.path)


HOLD = """
import sys, h5py
file = h5py.File(sys.argv[1], sys.argv[2], locking=True)
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(("theirs", "mine"), [("r+", "r+"), ("r+", "r"), ("r", "r+")])
def test_a_second_writer_or_a_reader_meanwhile_is_refused(bank: Bank, theirs: str, mine: str) -> None:
    command = [sys.executable, "-c", HOLD, str(bank.path), theirs]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(BankError, match="another process is building or reading it; wait"):
            BankFile(bank.path, "r+" if mine == "r+" else "r")
        other.communicate("")
    BankFile(bank.path, "r+").__exit__(None, None, None)


class FullDisk(io.BytesIO):
    """A file on a disk with some room: writing beyond it fails as the system's does."""

    def __init__(self, room: int) -> None:
        super().__init__()
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
def test_a_full_disk_shows_before_the_first_point_and_leaves_nothing(bank: Bank, tmp_path: Path, room: int) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    disks = []

    def opener(path, mode):
        path.write_bytes(b"")
        disks.append(FullDisk(room))
        return h5py.File(disks[-1], mode)

    with pytest.raises(BankError, match=r"cannot be made: the disk is full; free some space"):
        create(folder / "b.h5", bank.header, bank.points, bank.constants, replace=False, opener=opener)
    assert len(disks) == 1
    assert list(folder.iterdir()) == []


def test_a_file_is_replaced_only_where_it_may_be(bank: Bank) -> None:
    before = bank.path.read_bytes()
    with pytest.raises(UsageError, match="exists; go on with it by --resume"):
        create(bank.path, bank.header, bank.points, bank.constants, replace=False)
    assert bank.path.read_bytes() == before
    create(bank.path, bank.header, bank.points, bank.constants, replace=True)
    with BankFile(bank.path) as file:
        assert not file.done.any()


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


def test_a_failed_write_leaves_the_points_that_were_done(bank: Bank) -> None:
    with pytest.raises(BankError, match="the bank cannot be written"), BankFile(bank.path, "r") as file:
        file.write(3, bank.content[3])
    with BankFile(bank.path) as file:
        assert file.done.tolist() == [True] * 3 + [False]
        assert len(file.damaged()) == 0


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"model_fingerprint": "1" * 64}, "another model"),
        ({"data_sha256": "1" * 64}, "another choice of images"),
        ({"scale": "byte"}, "another --scale"),
        ({"cut": "other"}, "another --cut"),
        ({"linearizer": "averaged"}, "another --linearizer"),
        ({"sigma": 0.1}, "another --sigma"),
        ({"wanted": 9}, r"another number of points -k \(4, not 9\)"),
        ({"choice": "medoid"}, "another --points"),
        ({"seed": 4}, "another --seed"),
        ({"gain": (2.0,)}, r"another factor of the input scaling \(1\.0, not 2\.0\)"),
        ({"classes": 8}, r"another number of classes \(3, not 8\)"),
        ({"input_shape": (1, 64)}, r"another input shape \(1, 1, 8, 8, not 1, 64\)"),
        (
            {"storage": Storage("gram", 0, "float32")},
            r"another --store or --dtype \(gram in float16, not gram in float3",
        ),
        ({"storage": Storage("low-rank", 4, "float32")}, r"\(gram in float16, not low-rank:4 in float32\)"),
    ],
)
def test_a_build_goes_on_with_its_own_bank_only(bank: Bank, change, what: str) -> None:
    import re

    reason = bank.header.refusal_to_continue(replace(bank.header, **change))
    assert reason is not None
    assert re.search(what, reason)


def test_every_field_of_a_header_that_must_agree_is_named(bank: Bank) -> None:
    """A field added later is compared too, or stated here not to be."""
    compared = {field.name for field in fields(Header)} - {"points", "arithmetic"}
    for name in compared:
        other = replace(bank.header)
        object.__setattr__(other, name, "another value")  # of no right type, which the constructor would refuse
        reason = bank.header.refusal_to_continue(other)
        assert reason is not None, name
        assert "not another value)" in reason
        assert "_" not in reason


def test_how_numbers_are_computed_is_the_banks_own_matter(bank: Bank) -> None:
    other = replace(bank.header, arithmetic=replace(bank.header.arithmetic, chunk=99))
    assert bank.header.refusal_to_continue(other) is None
    assert store.FORMAT == "nmcheck bank"
