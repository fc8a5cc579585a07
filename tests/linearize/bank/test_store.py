"""The file of a bank: what was written is read, and it is whole at any moment."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from hdf5 import dataset
from linearize.bank.stored import Bank

from nmcheck.errors import BankError, UsageError
from nmcheck.linearize.bank.store import BankFile, create


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


def test_a_file_is_replaced_only_where_it_may_be(bank: Bank) -> None:
    before = bank.path.read_bytes()
    with pytest.raises(UsageError, match="exists; go on with it by --resume"):
        create(bank.path, bank.header, bank.points, bank.constants, replace=False)
    assert bank.path.read_bytes() == before
    create(bank.path, bank.header, bank.points, bank.constants, replace=True)
    with BankFile(bank.path) as file:
        assert not file.done.any()


def test_a_failed_write_leaves_the_points_that_were_done(bank: Bank) -> None:
    with pytest.raises(BankError, match="the bank cannot be written"), BankFile(bank.path, "r") as file:
        file.write(3, bank.content[3])
    with BankFile(bank.path) as file:
        assert file.done.tolist() == [True] * 3 + [False]
        assert len(file.damaged()) == 0
