"""What ``nmcheck bank info`` says and ``nmcheck bank verify`` finds."""

import json
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from checks.banks import build, entries, run, write_images
from hdf5 import dataset
from models import model, node, weights, write
from residual_network import SHAPE

from nmcheck.checks.bank_info import bank_info, verify_bank
from nmcheck.errors import BankError
from nmcheck.linearize.bank.store import BankFile
from nmcheck.reports.bank_table import bank_info_parts, bank_verification_parts
from nmcheck.reports.json import to_json
from nmcheck.reports.layout import text_of


def test_info_and_verification(tmp_path: Path, lenet: Path) -> None:
    data = write_images(tmp_path, 8)
    bank = build(lenet, data, store="low-rank:3")
    found = bank_info(bank)
    assert (found.k, found.complete, found.points_done, found.cut) == (5, True, 5, "relu")
    assert (found.n, found.p, found.d, found.storage, found.dtype) == (64, 7, 3, "low-rank:3", "float16")
    assert found.bytes == bank.stat().st_size == pytest.approx(5 * found.bytes_per_point)
    assert found.energy is not None
    assert 0.5 < found.energy <= 1
    assert found.members_mean == 6
    document = json.loads(to_json(found))
    keys = (
        "model_fingerprint", "data_sha256", "k", "complete", "points_done", "cut", "n", "p", "d", "storage", "dtype",
        "bytes", "bytes_per_point",
    )  # fmt: skip
    assert set(keys) <= document.keys()
    assert "5, centers of k-means clusters, seed 0; complete" in text_of(bank_info_parts, found)
    checked = verify_bank(bank, lenet)
    assert (checked.points_done, checked.recomputed, checked.identical) == (5, (0, 2, 4), True)
    assert "the same to the bit" in text_of(bank_verification_parts, checked)
    with h5py.File(bank) as raw:
        place = (dataset(raw, "points/factor").id.get_offset() or 0) + 3 * 7 * 3 * 2 + 9
    flipped = bytearray(bank.read_bytes())
    flipped[place] ^= 1
    bank.write_bytes(flipped)
    with pytest.raises(BankError, match="checksums of 1 of 5 points disagree, so they are damaged: 3; build"):
        verify_bank(bank, lenet)


def test_a_damaged_center_is_neither_gone_on_with_nor_verified_nor_served(tmp_path: Path, lenet: Path) -> None:
    data = write_images(tmp_path, 8)
    bank = build(lenet, data)
    with h5py.File(bank, "r+") as raw:
        dataset(raw, "done")[3] = 0
        dataset(raw, "centers")[3, 0] += 0.5
    for action in (lambda: build(lenet, data, resume=True), lambda: verify_bank(bank, lenet)):
        with pytest.raises(BankError, match=r"what was chosen of the points .* is damaged"):
            action()
    with h5py.File(bank, "r+") as raw:
        dataset(raw, "done")[3] = 1
    with pytest.raises(BankError, match=r"what was chosen of the points .* is damaged"):
        run(lenet, data, bank)


def test_numbers_that_are_not_the_networks_are_found_though_checksums_agree(tmp_path: Path, lenet: Path) -> None:
    bank = build(lenet, write_images(tmp_path, 8))
    with BankFile(bank, "r+") as file:
        kept = file.read(0)
        file.write(0, {**kept, "norms": 1.1 * kept["norms"]})
    with pytest.raises(BankError, match=r"point 0, computed again, differs by 0\.1 of"):
        verify_bank(bank, lenet)


@pytest.mark.parametrize("name", ["outer", "bias", "norms"])
def test_what_is_kept_for_all_points_is_computed_again(tmp_path: Path, name: str) -> None:
    """Of a network with one hidden layer everything is kept once; of LeNet what is behind the ReLU."""
    nodes = [node("Flatten", ["x"], ["u"]), node("Gemm", ["u", "A"], ["z"]), node("Relu", ["z"], ["h"], name="relu")]
    arrays = {"A": weights(64, 7), "B": weights(7, 3), "b": weights(3)}
    network = write(model([*nodes, node("Gemm", ["h", "B", "b"])], (1, 1, 8, 8), arrays), tmp_path, "mlp.onnx")
    bank = build(network, write_images(tmp_path, 8))
    assert verify_bank(bank, network).identical
    with h5py.File(bank, "r+") as raw:
        place = dataset(raw, f"constants/{name}")
        place[...] = 2 * place[...]
        value = 0
        group = raw["constants"]
        assert isinstance(group, h5py.Group)
        for each in sorted(group):
            value = zlib.crc32(np.ascontiguousarray(dataset(raw, f"constants/{each}")[...]).tobytes(), value)
        raw.attrs["constants_crc32"] = value
    with pytest.raises(BankError, match=r"what it keeps for all points, computed again, differs by 1 of") as refused:
        verify_bank(bank, network)
    assert refused.value.exit_code == 3


def test_half_a_bank_is_verified_as_far_as_it_goes(tmp_path: Path, lenet: Path) -> None:
    bank = build(lenet, write_images(tmp_path, 8))
    whole = verify_bank(bank, lenet)
    assert whole.complete
    assert "all 5 done" in text_of(bank_verification_parts, whole)
    with h5py.File(bank, "r+") as raw:
        dataset(raw, "done")[3] = 0
    found = verify_bank(bank, lenet)
    assert (found.complete, found.points_done, found.sound, found.recomputed) == (False, 4, True, (0, 1, 4))
    text = text_of(bank_verification_parts, found)
    assert "not complete: 4 of 5 done; go on with --resume" in text
    with h5py.File(bank, "r+") as raw:
        dataset(raw, "done")[3] = 7
    with pytest.raises(BankError, match=r"marks of 1 of 5 points are damaged, .* neither done nor missing: 3; go on"):
        verify_bank(bank, lenet)


def test_a_bank_of_something_else_is_refused(tmp_path: Path, lenet: Path, residual: Path) -> None:
    data = write_images(tmp_path, 8)
    bank = build(lenet, data)
    nodes = [node("Flatten", ["x"], ["u"]), node("Gemm", ["u", "A"], ["z"]), node("Relu", ["z"], ["h"], name="relu")]
    arrays = {"A": weights(64, 7), "B": weights(7, 3)}
    other = write(model([*nodes, node("Gemm", ["h", "B"])], (1, 1, 8, 8), arrays), tmp_path, "other.onnx")
    with pytest.raises(BankError, match="made of another model"):
        run(other, data, bank)
    with pytest.raises(BankError, match="made of another model"):
        verify_bank(bank, other)
    with pytest.raises(BankError, match="made with --scale unit, and here the scale is byte"):
        run(lenet, data, bank, scale="byte")
    two = build(residual, write_images(tmp_path, SHAPE[1]), cut="stem", name="stem.h5")
    with pytest.raises(BankError, match="linearized around stem, not around --cut last"):
        run(residual, write_images(tmp_path, SHAPE[1]), two, cut="last")
    assert entries(run(residual, write_images(tmp_path, SHAPE[1]), two, cut="first"))["bank", 0.05].cut == "stem"
