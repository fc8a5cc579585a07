"""Banks whose build was interrupted: resumed to the same file, or not at all."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from checks.banks import IMAGES, StopAfter, build, run, write_images
from hdf5 import dataset

from nmcheck.checks.bank_build import build_bank, plan_bank
from nmcheck.checks.bank_info import bank_info
from nmcheck.checks.bank_options import BankOptions
from nmcheck.errors import BankError, InterruptedBuildError, UsageError


def test_a_bank_that_is_not_complete_is_refused_until_it_is(tmp_path: Path, lenet: Path) -> None:
    data = write_images(tmp_path, 8)
    bank = build(lenet, data)
    whole = bank.read_bytes()
    with h5py.File(bank, "r+") as raw:
        dataset(raw, "done")[3] = 0
        dataset(raw, "points/norms")[3] = np.nan
    assert not bank_info(bank).complete
    assert bank_info(bank).points_done == 4
    with pytest.raises(BankError, match=r"1 of the bank's 5 points is missing; complete it with .* --resume"):
        run(lenet, data, bank)
    with pytest.raises(UsageError, match="exists; go on with it by --resume"):
        build(lenet, data)
    with pytest.raises(BankError, match=r"cannot be resumed: it was begun with another .*-k \(5, not 6\)"):
        build(lenet, data, k=6, resume=True)
    build(lenet, data, resume=True)
    assert bank.read_bytes() == whole


def test_a_bank_that_dropped_points_goes_on_too(tmp_path: Path, lenet: Path) -> None:
    """30 images, three of them distinct, have three points, whatever number is asked for."""
    x = np.random.default_rng(1).random((3, 8, 8))[np.arange(IMAGES) % 3]
    np.savez(tmp_path / "same.npz", allow_pickle=False, x=x, y=np.arange(IMAGES) % 3)
    data = str(tmp_path / "same.npz")
    whole = build(lenet, data, name="whole.h5")
    assert (bank_info(whole).k, bank_info(whole).choice) == (3, "centers")
    options = BankOptions(lenet, data, tmp_path / "bank.h5", 5, kernels="native", chunk=16)
    with pytest.raises(InterruptedBuildError, match="1 of 3 points done"):
        build_bank(plan_bank(options), StopAfter(1))
    assert bank_info(options.output).points_done == 1
    again = replace(options, resume=True)
    plan = plan_bank(again)
    assert (plan.done, plan.preview.points) == (1, 3)
    build_bank(plan)
    assert options.output.read_bytes() == whole.read_bytes()
    with pytest.raises(BankError, match=r"another number of points -k \(5, not 6\)"):
        plan_bank(replace(again, k=6))
    with pytest.raises(BankError, match=r"another --points \(centers, not medoid\)"):
        plan_bank(replace(again, points="medoid"))


def test_a_bank_is_not_gone_on_with_by_another_torch(tmp_path: Path, lenet: Path, monkeypatch) -> None:
    data = write_images(tmp_path, 8)
    options = BankOptions(lenet, data, tmp_path / "bank.h5", 5, kernels="native", chunk=16)
    with monkeypatch.context() as patched:
        patched.setattr("torch.__version__", "1.0")
        plan = plan_bank(options)
        with pytest.raises(InterruptedBuildError):
            build_bank(plan, StopAfter(2))
    again = replace(options, resume=True)
    begun = options.output.read_bytes()
    with pytest.raises(BankError, match=r"bank.h5 was begun with torch 1\.0, and this is torch .*; install torch 1\.0"):
        plan_bank(again)
    assert options.output.read_bytes() == begun
    with monkeypatch.context() as patched:
        patched.setattr("torch.__version__", "1.0")
        build_bank(plan_bank(again))
    # Nothing is left to compute, so nothing is mixed.
    assert plan_bank(again).done == 5
