"""What a bank says of an image, against the two-stage engine and the network itself."""

import json
from pathlib import Path

import numpy as np
import pytest
from checks.banks import IMAGES, build, entries, run, write_images
from jsonschema import Draft202012Validator
from residual_network import SHAPE

from nmcheck.checks.bank_build import build_bank, plan_bank
from nmcheck.checks.bank_engine import open_bank
from nmcheck.checks.bank_options import BankOptions
from nmcheck.checks.case import open_case
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.errors import UsageError
from nmcheck.linearize.bank.store import BankFile
from nmcheck.moments.gaussian import GaussianInput
from nmcheck.reports.json import to_json
from nmcheck.reports.layout import text_of
from nmcheck.reports.table import analysis_parts
from nmcheck.results.schema import report_schema


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
