"""A file that is damaged, cut off or no bank is never read as something it is not."""

from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
from hdf5 import dataset
from linearize.bank.stored import Bank

from nmcheck.errors import BankError
from nmcheck.linearize.bank.store import BankFile


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


@pytest.mark.parametrize("name", ["centers", "members", "class_mix", "reach"])
def test_a_damaged_choice_of_a_point_that_is_not_done_is_found(bank: Bank, name: str) -> None:
    """Before the point is made from it and gets a checksum that agrees."""
    with h5py.File(bank.path) as raw:
        found = dataset(raw, name)
        place = (found.id.get_offset() or 0) + 3 * found[3].nbytes
    flipped = bytearray(bank.path.read_bytes())
    flipped[place] ^= 1
    bank.path.write_bytes(flipped)
    with pytest.raises(BankError, match=r"what was chosen of the points .* is damaged; delete the file and build it"):
        BankFile(bank.path, "r+")
    with BankFile(bank.path) as file:
        with pytest.raises(BankError, match="what was chosen of the points"):
            file.damaged()
        with pytest.raises(BankError, match="what was chosen of the points"):
            _ = file.points
        file.read(0)


def test_a_bank_without_the_checksum_of_its_choice_is_refused(bank: Bank) -> None:
    with h5py.File(bank.path, "r+") as raw:
        del raw.attrs["choice_crc32"]
    with pytest.raises(BankError, match=r"the bank is damaged: .*choice_crc32"):
        BankFile(bank.path, "r+")


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
    with pytest.raises(
        BankError, match=r"bank\.h5: the bank cannot be opened: .*(or delete it and build it again|no HDF5 file)"
    ):
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
