"""Networks with equal logits: every section of every report says the same of them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from models import model, node, write
from tied_networks import IMAGES, images, network, rounds_by_place

from nmcheck.checks.adversarial import decided
from nmcheck.checks.adversarial_files import export_vnnlib
from nmcheck.checks.analyze import analyze
from nmcheck.checks.bounds_options import BoundsOptions
from nmcheck.checks.bounds_report import bounds
from nmcheck.checks.case import open_case
from nmcheck.checks.compare import compare
from nmcheck.checks.compare_options import CompareOptions
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.cli.app import run
from nmcheck.execute.session import ReferenceSession
from nmcheck.results import UNREACHABLE, Report

SIGMA = 0.3
LEAD = 1.0
"""So little that noise flips some, and so much that the equal class is predicted."""
PLAIN = [0, 1, 2, 3]
ORDERS = [[0, 1, 2, 3, 0], [1, 0, 2, 0, 3, 0]]


def analysed(path: Path, data: str, sigma: float = SIGMA) -> Report:
    return analyze(AnalyzeOptions(path, data, sigmas=(sigma,), samples=IMAGES, reference_samples=600))


def flips(report: Report) -> tuple[list[float], dict[str, list[float]]]:
    """Of every image: sampled, and what each engine estimates."""
    assert report.moments is not None
    estimated = {one.engine: one.flips for one in report.moments if one.flips is not None}
    return [one.sampled for one in report.flips[0].per_image], {
        engine: [one.analytic for one in found.per_image] for engine, found in estimated.items()
    }


def shares(report: Report, order: list[int]) -> dict[int, float]:
    """Of the first predicted class: how often noise leads to each number of ``network``'s rows."""
    found: dict[int, float] = {}
    for c, share in report.flips[0].confusion[0].to.items():
        found[order[int(c)]] = found.get(order[int(c)], 0.0) + share
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Report:
    """Of the network without equal logits."""
    folder = tmp_path_factory.mktemp("plain")
    return analysed(network(folder, PLAIN, leading=0, lead=LEAD), images(folder))


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_equal_logits_change_nothing_that_analyze_says(
    order: list[int], plain: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds_by_place(monkeypatch)
    report = analysed(network(tmp_path, order, leading=0, lead=LEAD), images(tmp_path))
    sampled, estimated = flips(report)
    expected, engines = flips(plain)
    assert sampled == expected
    assert max(sampled) > 0.02
    assert set(estimated) == set(engines) == {"propagate", "two-stage"}
    for engine, found in estimated.items():
        assert found == pytest.approx(engines[engine], abs=2e-4)
    assert shares(report, order) == shares(plain, PLAIN)
    assert report.bounds is not None
    assert plain.bounds is not None
    for one, other in zip(report.bounds[0].per_sample, plain.bounds[0].per_sample, strict=True):
        # The first of the equal classes stands for all of them.
        assert one.predicted == order.index(other.predicted)
        assert one.lower == pytest.approx(other.lower, rel=1e-6)
        assert one.upper == pytest.approx(other.upper, rel=0.01)
    assert report.warnings == plain.warnings == ()


@pytest.mark.parametrize(("label", "correct"), [(0, True), (2, False)], ids=["first", "last"])
def test_where_all_logits_are_equal_the_first_class_is_predicted_for_good(
    label: int, *, correct: bool, tmp_path: Path
) -> None:
    path, data = network(tmp_path, [0, 0, 0]), images(tmp_path, label)
    report = analysed(path, data)
    sampled, estimated = flips(report)
    assert sampled == [0.0] * IMAGES
    assert all(found == [0.0] * IMAGES for found in estimated.values())
    assert report.data.accuracy == float(correct)
    assert report.bounds is not None
    for one in report.bounds[0].per_sample:
        assert (one.predicted, one.correct, one.label) == (0, correct, label)
        assert (one.lower, one.lower_reason) == (None, UNREACHABLE)
        assert one.upper is None


def test_bounds_and_compare_see_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds_by_place(monkeypatch)
    paths = tuple(network(tmp_path, order, leading=0, lead=LEAD) for order in (PLAIN, ORDERS[1]))
    found = compare(
        CompareOptions(
            paths, images(tmp_path), sigmas=(SIGMA,), draws=300, samples=IMAGES, method="crown-ibp", attacks=("ddn",)
        )
    )
    first, *others = found.models
    assert first.flips[0].sampled > 0
    for one in others:
        assert one.flips == first.flips
        assert one.difference == pytest.approx(0.0, abs=1e-6)
        assert one.example == pytest.approx(first.example, rel=0.01)
        assert [p.attacked for p in one.bounds.accuracy] == [p.attacked for p in first.bounds.accuracy]


POLICY = f"""
samples = {IMAGES}
[[check]]
id = "flip"
kind = "flip"
sigma = {SIGMA}
max = 0.02
[[check]]
id = "certified"
kind = "certified-accuracy"
norm = "l2"
epsilon = 1000
min = 1
[[check]]
id = "attacked"
kind = "attacked-accuracy"
norm = "l2"
epsilon = 1000
min = 1
[[check]]
id = "radius"
kind = "radius"
norm = "l2"
percentile = 0
min = 1000
"""


def gated(path: Path, data: str, policy: str, folder: Path) -> tuple[int, dict]:
    (folder / "policy.toml").write_text(policy)
    report = folder / "gate.json"
    words = ["gate", str(path), "--data", data, "--policy", str(folder / "policy.toml"), "-q", "--json", str(report)]
    return run(words), json.loads(report.read_text())


@pytest.mark.parametrize("head", [None, "Relu"])
def test_a_gate_passes_what_can_never_flip(head: str | None, tmp_path: Path, capsys) -> None:
    code, report = gated(network(tmp_path, [0] * 3, head=head), images(tmp_path), POLICY, tmp_path)
    capsys.readouterr()
    assert {one["id"]: one["verdict"] for one in report["gate"]["checks"]} == dict.fromkeys(
        ("flip", "certified", "attacked", "radius"), "pass"
    )
    assert code == 0
    assert report["flips"][0]["per_class"][0]["sampled"] == 0


@pytest.mark.parametrize("shift", [-60.0, -12.0])
def test_a_dead_head_has_no_flips_and_no_radius_beyond_its_examples(shift: float, tmp_path: Path) -> None:
    """All logits are 0 behind the last ReLU, which onnxruntime calls class 0."""
    path, data = network(tmp_path, [0, 1, 2, 0], head="Relu", shift=shift), images(tmp_path)
    case = open_case(AnalyzeOptions(path, data, samples=IMAGES))
    assert not case.logits.any()
    report = analysed(path, data, 0.01)
    sampled, estimated = flips(report)
    assert sampled == [0.0] * IMAGES
    assert all(found == [0.0] * IMAGES for found in estimated.values())
    assert report.bounds is not None
    for one in report.bounds[0].per_sample:
        assert one.predicted == 0
        assert one.lower is not None
        assert one.upper is None or one.upper > one.lower


def saturated(folder: Path) -> Path:
    """A convolution and a sigmoid: logits 20 and 21 before it, which is 1 for both in float32."""
    draw = np.random.default_rng(4)
    nodes = [
        node("Conv", ["x", "k"], ["c"]),
        node("Flatten", ["c"], ["f"]),
        node("Gemm", ["f", "w", "b"], ["z"], transB=1),
        node("Sigmoid", ["z"]),
    ]
    w = draw.standard_normal((2, 9)) / 3
    arrays = {"k": draw.standard_normal((1, 1, 3, 3)) / 3, "w": w, "b": np.array([20.0, 20.4])}
    return write(
        model(nodes, ("N", 1, 5, 5), {name: one.astype(np.float32) for name, one in arrays.items()}), folder, "s.onnx"
    )


def test_where_float32_ties_and_float64_does_not_a_report_says_so_and_agrees_with_itself(tmp_path: Path) -> None:
    path, data = saturated(tmp_path), images(tmp_path)
    case = open_case(AnalyzeOptions(path, data, samples=IMAGES))
    assert (ReferenceSession(case.file_graph).run(case.pixels.astype(np.float32)) == 1).all()
    assert case.predicted.any()
    report = analysed(path, data)
    sampled, estimated = flips(report)
    # In float32 no draw would give class 1 at all.
    for found in estimated.values():
        assert found == pytest.approx(sampled, abs=0.1)
    assert max(sampled) < 0.6
    count = int((case.predicted != 0).sum())
    (warning,) = (one for one in report.warnings if "float64" in one)
    assert warning.startswith(f"For {count} of {IMAGES} images onnxruntime")
    assert report.moments is not None
    assert report.moments[0].reference.execution.endswith("in float64")
    assert report.bounds is not None
    for one in report.bounds[0].per_sample:
        assert one.upper_method == ("unchanged" if one.predicted else None)
        assert not one.lower
    both = compare(CompareOptions((path, path), data, sigmas=(SIGMA,), draws=600, samples=IMAGES, attacks=()))
    assert both.models[0].flips[0].sampled == pytest.approx(np.mean(sampled), abs=0.06)
    assert warning in both.models[0].warnings


def test_a_gate_takes_no_certificate_for_what_onnxruntime_decides_otherwise(tmp_path: Path, capsys) -> None:
    """Logits 1000 + x: float64 tells them apart at the first image, float32 does not."""
    b = np.array([1000.0, 1000.0], dtype=np.float32)
    path = write(model([node("Add", ["x", "b"])], (1, 2), {"b": b}), tmp_path, "tie.onnx")
    np.savez(tmp_path / "tie.npz", x=np.array([[0.25, 0.25 + 2.0**-16], [0.25, 0.75]]))
    policy = """
samples = 2
[[check]]
kind = "certified-accuracy"
norm = "l2"
epsilon = 1e-6
min = 1
[[check]]
kind = "radius"
norm = "l2"
percentile = 0
min = 1e-6
"""
    code, report = gated(path, str(tmp_path / "tie.npz"), policy, tmp_path)
    capsys.readouterr()
    assert code == 1
    assert [one["verdict"] for one in report["gate"]["checks"]] == ["fail", "fail"]
    assert "1 of 2 images is left" in report["gate"]["checks"][0]["reason"]
    assert any("For 1 of 2 images no certified radius is stated" in one for one in report["warnings"])
    assert any("For 1 of 2 images onnxruntime" in one for one in report["warnings"])
    lower = [one["lower"] for one in report["bounds"][0]["per_sample"]]
    assert lower[0] is None
    assert lower[1] > 0.3


def test_what_rounding_makes_of_equal_logits_decides_nothing(tmp_path: Path) -> None:
    case = open_case(AnalyzeOptions(network(tmp_path, [0, 1, 0, 1]), images(tmp_path), samples=IMAGES))
    output = np.array([[0.0, 1.0, 0.0, 1.0 + 1e-7], [1.0 - 1e-7, 0.0, 1.0, 0.0]], dtype=np.float32)
    assert decided(case, output).tolist() == [1, 0]


def test_nothing_is_asked_about_a_class_that_is_never_predicted(tmp_path: Path) -> None:
    path, data = network(tmp_path, [1, 0, 2, 0, 3], leading=0), images(tmp_path)
    case = open_case(AnalyzeOptions(path, data, samples=IMAGES))
    assert case.predicted.tolist() == [1] * IMAGES
    question, *_ = export_vnnlib(case, np.array([0]), 0.1, tmp_path / "questions")
    asked = [line for line in question.read_text().splitlines() if "(and (>=" in line]
    assert [line.split()[2] for line in asked] == ["Y_0", "Y_2", "Y_4"]


def test_certified_and_attacked_accuracy_agree_where_logits_are_equal(tmp_path: Path) -> None:
    options = BoundsOptions(
        network(tmp_path, [0, 0]), images(tmp_path), norm="inf", samples=IMAGES, method="crown-ibp", epsilons=(0.5, 9.0)
    )
    report = bounds(replace(options, attacks=("fgs",)))
    assert report.bounds is not None
    assert {(one.certified, one.attacked) for one in report.bounds[0].accuracy} == {(1.0, 1.0)}
