"""Banks from the model file to the report."""

import json
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hdf5 import dataset
from jsonschema import Draft202012Validator
from models import model, node, small_lenet, weights, write
from residual_network import SHAPE, residual_network

from nmcheck.checks.analyze import analyze
from nmcheck.checks.bank_build import build_bank, plan_bank
from nmcheck.checks.bank_engine import open_bank
from nmcheck.checks.bank_info import bank_info, verify_bank
from nmcheck.checks.bank_options import BankOptions
from nmcheck.checks.case import open_case
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.checks.progress import SilentProgress
from nmcheck.errors import BankError, InterruptedBuildError, UsageError
from nmcheck.linearize.bank.store import BankFile
from nmcheck.moments.gaussian import GaussianInput
from nmcheck.reports.bank_table import bank_info_parts, bank_preview, bank_verification_parts
from nmcheck.reports.json import to_json
from nmcheck.reports.layout import text_of
from nmcheck.reports.table import analysis_parts
from nmcheck.results import MomentEntry, Report
from nmcheck.results.schema import report_schema

IMAGES = 30


@pytest.fixture
def lenet(tmp_path: Path) -> Path:
    return write(small_lenet(), tmp_path, "lenet.onnx")


@pytest.fixture
def residual(tmp_path: Path) -> Path:
    return write(residual_network(), tmp_path, "residual.onnx")


def write_images(folder: Path, side: int, count: int = IMAGES, seed: int = 3, name: str = "images") -> str:
    """Images in groups that resemble each other."""
    generator = np.random.default_rng(seed)
    groups = generator.random((5, side, side))
    x = np.clip(groups[np.arange(count) % 5] + 0.02 * generator.standard_normal((count, side, side)), 0, 1)
    path = folder / f"{name}.npz"
    np.savez(path, allow_pickle=False, x=x, y=np.arange(count) % 3)
    return str(path)


def build(network: Path, data: str, *, k: int = 5, name: str = "bank.h5", **more) -> Path:
    options = BankOptions(network, data, network.parent / name, k, kernels="native", chunk=16, **more)
    build_bank(plan_bank(options))
    return options.output


def run(network: Path, data: str, bank: Path, *, engines: tuple[str, ...] = ("two-stage", "bank"), **more) -> Report:
    settings = {"sigmas": (0.05, 0.3), "samples": IMAGES, "reference_samples": 500, "device": "cpu", **more}
    return analyze(AnalyzeOptions(network, data, engines=engines, bank=bank, **settings))


def entries(report: Report) -> dict[tuple[str, float], MomentEntry]:
    assert report.moments is not None
    return {(entry.engine, entry.sigma_pixel): entry for entry in report.moments}


def flips(entry: MomentEntry) -> np.ndarray:
    assert entry.flips is not None
    return np.array([one.analytic for one in entry.flips.per_image])


@pytest.mark.parametrize(
    ("store", "dtype", "tolerance"),
    [("gram", "float32", 1e-4), ("gram", "float16", 1e-3), ("full", "float16", 2e-3), ("low-rank:7", "float32", 1e-4)],
)
@pytest.mark.parametrize("sigma", [None, 0.3])
def test_a_bank_of_the_images_themselves_is_the_two_stage_engine(
    tmp_path: Path, lenet: Path, *, store: str, dtype: str, tolerance: float, sigma: float | None
) -> None:
    data = write_images(tmp_path, 8, 12)
    way = "taylor" if sigma is None else "averaged"
    bank = build(lenet, data, k=12, store=store, dtype=dtype, linearizer=way, sigma=sigma)
    found = entries(run(lenet, data, bank, sigmas=(0.3,), linearizer=way, samples=12))
    one, two = found["bank", 0.3], found["two-stage", 0.3]
    assert (one.cut, one.cut_kind, one.linearizer) == (two.cut, two.cut_kind, two.linearizer) == ("relu", "cut", way)
    if sigma is None:
        for mine, theirs in zip((*one.per_class, one.overall), (*two.per_class, two.overall), strict=True):
            assert mine.var_ratio == pytest.approx(theirs.var_ratio, rel=tolerance)
            assert mine.mean_bias_sd == pytest.approx(theirs.mean_bias_sd, abs=tolerance)
    else:
        # Other draws of the same noise.
        assert one.overall.var_ratio == pytest.approx(two.overall.var_ratio, rel=0.3)
    assert one.bank is not None
    assert (one.bank.choice, one.bank.distance_largest, one.bank.beyond) == ("images", pytest.approx(0, abs=1e-6), 0)
    assert two.bank is None


def test_what_half_precision_and_low_rank_cost_a_trained_network(tmp_path: Path, sample_models: Path) -> None:
    """The figures of docs/bank-format.md, within which the mean over logits and four images lies."""
    network, count = sample_models / "lenet.onnx", 4
    settings = {"samples": count, "kernels": "native", "chunk": 128}
    kept = {"full": "float32", "gram": "float16", "low-rank:64": "float16"}
    variances: dict[str, np.ndarray] = {}
    for store, dtype in kept.items():
        bank = tmp_path / f"{store}.h5"
        build_bank(plan_bank(BankOptions(network, "mnist", bank, count, store=store, dtype=dtype, **settings)))
        options = AnalyzeOptions(network, "mnist", engines=("bank",), bank=bank, samples=count, device="cpu")
        case = open_case(options)
        with open_bank(case, options) as engine:
            assert engine is not None
            variances[store] = np.array(
                [
                    [
                        engine.moments(row, GaussianInput(image.flatten(), sigma))[0].variance.numpy()
                        for sigma in (0.05, 0.3)
                    ]
                    for row, image in enumerate(case.images)
                ]
            )
            assert engine.use.distance_largest < 1e-6
    errors = {name: np.abs(found / variances["full"] - 1).mean(axis=(0, 2)) for name, found in variances.items()}
    assert (errors["gram"] <= 5e-5).all()
    assert (errors["low-rank:64"] <= 2e-3).all()
    # What is kept was rounded: the bounds are of something.
    assert (errors["gram"] > 0).all()
    assert (errors["low-rank:64"] > errors["gram"]).all()


@pytest.mark.parametrize("cut", ["stem", "inner", "left", "join", "head", "tail"])
def test_a_bank_at_any_relu_of_a_residual_network(tmp_path: Path, residual: Path, cut: str) -> None:
    data = write_images(tmp_path, SHAPE[1], 8)
    bank = build(residual, data, k=8, cut=cut, dtype="float32")
    found = entries(run(residual, data, bank, samples=8))
    for sigma in (0.05, 0.3):
        one, two = found["bank", sigma], found["two-stage", sigma]
        assert (one.cut, one.cut_kind) == (two.cut, two.cut_kind)
        assert one.overall.var_ratio == pytest.approx(two.overall.var_ratio, rel=1e-4)
        assert one.overall.mean_bias_sd == pytest.approx(two.overall.mean_bias_sd, abs=1e-4)


def test_without_its_skip_term_a_bank_is_visibly_wrong(tmp_path: Path, residual: Path) -> None:
    data = write_images(tmp_path, SHAPE[1], 8)
    errors = {}
    for left_out in (False, True):
        bank = build(residual, data, k=8, cut="inner", dtype="float32", name=f"{left_out}.h5")
        if left_out:
            without_skip(bank)
        entry = entries(run(residual, data, bank, samples=8, sigmas=(0.01,)))["bank", 0.01]
        errors[left_out] = entry.overall.var_er
    assert errors[False] < 0.15
    assert errors[True] > 5 * errors[False]


def without_skip(path: Path) -> None:
    """Take C out of a bank, checksums kept right."""
    with BankFile(path, "r+") as file:
        for index in range(file.header.points):
            kept = file.read(index)
            file.write(index, {**kept, "skip": 0 * kept["skip"], "cross": 0 * kept["cross"]})


def test_noise_of_any_structure_needs_the_matrix_itself(tmp_path: Path, lenet: Path) -> None:
    data = write_images(tmp_path, 8, 8)
    full = build(lenet, data, k=8, store="full", dtype="float32", name="full.h5")
    found = entries(run(lenet, data, full, noise="window:1:5:0:4", samples=8))
    for sigma in (0.05, 0.3):
        assert found["bank", sigma].overall.var_ratio == pytest.approx(
            found["two-stage", sigma].overall.var_ratio, rel=1e-4
        )
    gram = build(lenet, data, k=8, name="gram.h5")
    with pytest.raises(UsageError, match=r"keeps gram, which serves isotropic noise only.*--store full"):
        run(lenet, data, gram, noise="window:1:5:0:4", samples=8)


def test_the_report_says_how_near_the_bank_is(tmp_path: Path, lenet: Path) -> None:
    data = write_images(tmp_path, 8)
    bank = build(lenet, data)
    report = run(lenet, data, bank, engines=("bank",))
    Draft202012Validator(report_schema()).validate(json.loads(to_json(report)))
    use = entries(report)["bank", 0.05].bank
    assert use is not None
    assert (use.points, use.choice, use.storage, use.dtype, use.beyond) == (5, "centers", "gram", "float16", 0)
    assert 0 < use.distance_median < use.distance_largest == pytest.approx(use.distance_members)
    assert not any("farther" in warning for warning in report.warnings)
    text = " ".join(text_of(analysis_parts, report, 200).split())
    assert "bank, cut at relu" in text
    assert "5 points (centers of k-means clusters), gram in float16" in text
    far = run(lenet, write_images(tmp_path, 8, seed=4, name="other"), bank, engines=("bank",))
    use = entries(far)["bank", 0.05].bank
    assert use is not None
    assert use.beyond == IMAGES
    assert [warning for warning in far.warnings if warning.startswith("30 of the 30 images lie farther")]


def test_moments_of_a_similar_image_are_nearly_its_own(tmp_path: Path, lenet: Path) -> None:
    """Served from the center of a group, an image's mean is far better than the center's own."""
    data = write_images(tmp_path, 8)
    found = entries(run(lenet, data, build(lenet, data)))
    overall = found["bank", 0.05].overall
    assert overall.var_er is not None
    assert overall.mean_er is not None
    assert overall.var_er < 0.2
    assert overall.mean_er < 0.2


@pytest.mark.parametrize("cut", ["stem", "inner", "tail"])
def test_anchored_at_the_image_a_bank_tells_what_noise_does_to_that_image(
    tmp_path: Path, residual: Path, cut: str
) -> None:
    """With one point for all images the model is the network's own where there is next to no noise, skip or cut."""
    data = write_images(tmp_path, SHAPE[1], 8)
    bank = build(residual, data, k=1, cut=cut)
    means = {}
    for anchor in ("point", "image"):
        found = run(residual, data, bank, engines=("bank",), sigmas=(1e-5,), samples=8, bank_anchor=anchor)
        entry = entries(found)["bank", 1e-5]
        assert entry.bank is not None
        assert entry.bank.anchor == anchor
        means[anchor] = entry.overall.mean_er
    assert means["image"] < 1e-3 < means["point"]


def test_at_a_point_itself_both_anchors_are_one(tmp_path: Path, lenet: Path) -> None:
    data = write_images(tmp_path, 8, 12)
    bank = build(lenet, data, k=12)
    found = [entries(run(lenet, data, bank, samples=12, bank_anchor=anchor)) for anchor in ("point", "image")]
    for sigma in (0.05, 0.3):
        one, other = (each["bank", sigma].overall for each in found)
        assert one.mean_er == pytest.approx(other.mean_er, abs=1e-6)
        assert one.var_ratio == pytest.approx(other.var_ratio, abs=1e-6)


def test_an_averaged_bank_has_no_anchor_at_an_image(tmp_path: Path, lenet: Path) -> None:
    data = write_images(tmp_path, 8)
    bank = build(lenet, data, linearizer="averaged", sigma=0.1)
    with pytest.raises(UsageError, match=r"--bank-anchor image is for banks of --linearizer taylor"):
        run(lenet, data, bank, sigmas=(0.1,), engines=("bank",), bank_anchor="image")


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


def test_an_averaged_bank_serves_its_own_noise_level_only(tmp_path: Path, lenet: Path) -> None:
    data = write_images(tmp_path, 8)
    bank = build(lenet, data, linearizer="averaged", sigma=0.1)
    with pytest.raises(UsageError, match=r"averages under noise of --sigma 0\.1 and serve no other level.*0\.2"):
        run(lenet, data, bank, sigmas=(0.1, 0.2))
    run(lenet, data, bank, sigmas=(0.1,), engines=("bank",))


def test_averages_are_told_of_the_engine_that_takes_them(tmp_path: Path, lenet: Path) -> None:
    data = write_images(tmp_path, 8)
    taylor = build(lenet, data, name="taylor.h5")
    averaged = build(lenet, data, name="averaged.h5", linearizer="averaged", sigma=0.1, averaging_points=6)
    how = {"sigmas": (0.1,), "samples": 4}
    with pytest.raises(UsageError, match=r"linearizations are of --linearizer taylor, .* add --engine two-stage"):
        run(lenet, data, taylor, engines=("propagate", "bank"), linearizer="averaged", **how)

    def notes(bank: Path, **more) -> list[str]:
        return [note for note in run(lenet, data, bank, **how, **more).notes if "averages" in note]

    two_stage = "two-stage: the linearizations around the cut are averages over 16 noisy inputs an image and"
    of_bank = "bank: the linearizations are averages over 6 inputs a point, under noise of sigma 0.1."
    (only,) = notes(taylor, linearizer="averaged")
    assert only.startswith(two_stage)
    assert notes(taylor) == []
    assert notes(averaged) == [of_bank]
    assert notes(averaged, engines=("bank",), linearizer="averaged") == [of_bank]
    first, second = notes(averaged, linearizer="averaged")
    assert first.startswith(two_stage)
    assert second == of_bank


def test_a_bank_that_is_not_complete_is_refused_until_it_is(tmp_path: Path, lenet: Path) -> None:
    data = write_images(tmp_path, 8)
    bank = build(lenet, data)
    whole = bank.read_bytes()
    with h5py.File(bank, "r+") as raw:
        dataset(raw, "done")[3] = 0
        dataset(raw, "points/norms")[3] = np.nan
    assert not bank_info(bank).complete
    assert bank_info(bank).points_done == 4
    with pytest.raises(BankError, match=r"1 of the bank's 5 points are missing; complete it with .* --resume"):
        run(lenet, data, bank)
    with pytest.raises(UsageError, match="exists; go on with it by --resume"):
        build(lenet, data)
    with pytest.raises(BankError, match=r"cannot be gone on with: it was begun with another .*-k \(5, not 6\)"):
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


def test_a_scheduler_is_tried_before_the_work(tmp_path: Path, lenet: Path, monkeypatch) -> None:
    def refuse(address: str) -> None:
        raise BankError(f"--scheduler {address}: no dask scheduler answers there.")

    monkeypatch.setattr("nmcheck.checks.bank_build.check_scheduler", refuse)
    monkeypatch.setattr("nmcheck.checks.bank_build.open_case", lambda options: pytest.fail("work came first"))
    options = BankOptions(lenet, "mnist", tmp_path / "bank.h5", 5, scheduler="tcp://host:1")
    with pytest.raises(BankError, match="--scheduler tcp://host:1: no dask scheduler answers"):
        plan_bank(options)
    assert not options.output.exists()


class StopAfter(SilentProgress):
    """The user's Ctrl-C when some points are written."""

    def __init__(self, points: int) -> None:
        self.points = points

    @contextmanager
    def stage(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        def advance(steps: int) -> None:
            self.points -= steps if title == "Linearizations" else 0
            if self.points <= 0:
                raise KeyboardInterrupt

        yield advance


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


def untouched(*_, **__):
    raise AssertionError("the long work has begun")


def test_a_folder_that_cannot_be_written_to_is_said_before_anything_is_read(
    tmp_path: Path, lenet: Path, monkeypatch
) -> None:
    """Of a folder, whoever asks: root may write anywhere."""
    asked = []

    def access(path, mode: int) -> bool:
        asked.append((Path(path), mode))
        return False

    monkeypatch.setattr("nmcheck.checks.bank_build.open_case", untouched)
    monkeypatch.setattr("nmcheck.checks.bank_build.os.access", access)
    with pytest.raises(BankError, match=r"b\.h5: the folder .* cannot be written to; change its permissions or choose"):
        plan_bank(BankOptions(lenet, "mnist", tmp_path / "b.h5", 5))
    assert asked == [(tmp_path.resolve(), os.W_OK | os.X_OK)]
    with pytest.raises(BankError, match="does not exist; make it first"):
        plan_bank(BankOptions(lenet, "mnist", tmp_path / "no" / "b.h5", 5))


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_is_no_bank_to_build(tmp_path: Path, lenet: Path, monkeypatch, *, resume: bool) -> None:
    monkeypatch.setattr("nmcheck.checks.bank_build.open_case", untouched)
    with pytest.raises(UsageError, match=r"is a folder; name a file by --output, such as .*bank\.h5"):
        plan_bank(BankOptions(lenet, "mnist", tmp_path, 5, resume=resume))


def test_costs_are_known_before(tmp_path: Path, lenet: Path) -> None:
    data = write_images(tmp_path, 8)
    options = BankOptions(lenet, data, tmp_path / "bank.h5", 5, kernels="native", chunk=3)
    plan = plan_bank(options)
    assert not options.output.exists()
    preview = plan.preview
    assert (preview.n, preview.p, preview.d, preview.points, preview.images) == (64, 7, 3, 5, IMAGES)
    assert preview.seconds_per_point > 0
    build_bank(plan)
    assert 0 <= options.output.stat().st_size - preview.bytes < 16_384
    text = bank_preview(preview)
    assert "p = 7, n = 64, d = 3" in text
    assert "for 5 points" in text


def test_what_does_not_fit_is_refused_with_what_does(tmp_path: Path, lenet: Path, residual: Path) -> None:
    data = write_images(tmp_path, SHAPE[1])
    small = BankOptions(residual, data, tmp_path / "b.h5", 5, cut="stem", store="gram", memory=820_000)
    with pytest.raises(UsageError, match=r"--cut stem: --store low-rank:64 at stem needs .* take a later one: .*head"):
        plan_bank(small)
    assert plan_bank(replace(small, memory=840_000)).preview.memory < 840_000
    huge = BankOptions(lenet, write_images(tmp_path, 8, name="eight"), tmp_path / "b.h5", 10**12)
    assert plan_bank(huge).preview.points == IMAGES


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "-k must be at least 1"),
        ({"jobs": 0}, "--jobs must be at least 1"),
        ({"chunk": 0}, "--chunk must be at least 1"),
        ({"seed": -1}, r"--seed must be at least 0 and below 2\^32 = 4294967296, but is -1"),
        ({"seed": 2**32}, r"--seed must be .* but is 4294967296"),
        ({"memory": 0}, "--memory must be positive"),
        ({"jobs": 2, "scheduler": "tcp://host:1"}, r"--jobs 2 starts processes here, .* leave one of them out"),
        ({"store": "dense"}, "--store must be"),
        ({"dtype": "float64"}, "--dtype must be"),
        ({"points": "random"}, "--points random is not known"),
        ({"linearizer": "averaged"}, "--linearizer averaged needs --sigma"),
        ({"sigma": 0.1}, "--sigma goes with --linearizer averaged only"),
        ({"linearizer": "averaged", "sigma": -1.0}, "--sigma must be a positive number"),
    ],
)
def test_options_that_cannot_be_are_refused(change, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(BankOptions(Path("m.onnx"), "mnist", Path("b.h5"), 5), **change)


def test_the_largest_seed_builds(tmp_path: Path, lenet: Path) -> None:
    bank = build(lenet, write_images(tmp_path, 8), seed=2**32 - 1, store="low-rank:3")
    assert bank_info(bank).seed == 2**32 - 1
    assert verify_bank(bank, lenet).identical


def test_an_anchor_needs_a_bank_and_must_be_known() -> None:
    with pytest.raises(UsageError, match="--bank-anchor says how a --bank FILE is served"):
        AnalyzeOptions(Path("m.onnx"), "mnist", bank_anchor="image")
    with pytest.raises(UsageError, match="choose from point, image"):
        AnalyzeOptions(Path("m.onnx"), "mnist", engines=("bank",), bank=Path("b.h5"), bank_anchor="centre")


def test_the_engine_and_the_bank_go_together() -> None:
    with pytest.raises(UsageError, match="--engine bank needs a --bank FILE"):
        AnalyzeOptions(Path("m.onnx"), "mnist", engines=("bank",))
    with pytest.raises(UsageError, match="--bank is read by --engine bank only"):
        AnalyzeOptions(Path("m.onnx"), "mnist", bank=Path("b.h5"))
