"""--cut best takes the ReLU around which the linearized network moves most like the network."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from models import mlp, model, node, weights, write
from residual_network import RELUS, SHAPE, residual_network

from nmcheck.checks import best_cut
from nmcheck.checks.analyze import analyze
from nmcheck.checks.best_cut import DRAWS, INFINITE, NEAR, UNMOVED, cut_errors
from nmcheck.checks.case import Case, open_case
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.checks.plan import plan_moments
from nmcheck.checks.progress import SilentProgress
from nmcheck.checks.seeds import Purpose, noise_seed
from nmcheck.errors import UsageError
from nmcheck.linearize import budget
from nmcheck.linearize.linearizer import LINEARIZERS
from nmcheck.moments.gaussian import Diagonal, Factored, GaussianInput
from nmcheck.results import CutError, LevelError

BOTH = pytest.mark.parametrize("linearizer", ["taylor", "averaged"])


@pytest.fixture
def options(tmp_path: Path) -> AnalyzeOptions:
    path = write(residual_network(), tmp_path)
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).uniform(size=(20, *SHAPE[1:])))
    return AnalyzeOptions(
        path,
        str(tmp_path / "data.npz"),
        sigmas=(0.05, 0.3),
        cut="best",
        engines=("two-stage",),
        samples=12,
        reference_samples=500,
        averaging_points=4,
    )


def found_at(level: LevelError) -> float:
    assert level.error is not None
    return level.error


def measured(options: AnalyzeOptions, case: Case | None = None) -> tuple[CutError, ...]:
    return cut_errors(case or open_case(options), options, SilentProgress())


@BOTH
def test_errors_are_those_of_the_model_with_its_matrices(options: AnalyzeOptions, linearizer: str) -> None:
    options = replace(options, linearizer=linearizer)
    case = open_case(options)
    found = measured(options, case)
    assert [one.node for one in found] == list(RELUS)
    rows = [0, 2, 3, 5, 6, 8, 9, 11]
    for one in found:
        assert (one.images, one.draws, one.within_budget) == (8, DRAWS, True)
        assert one.error == pytest.approx(np.mean([found_at(level) for level in one.levels]))
    made = LINEARIZERS[linearizer](case.double, case.graph.by_name["inner"])
    for level, sigma in enumerate(options.sigmas):
        errors = []
        for row in rows:
            image, index = case.images[row], int(case.positions[row])
            x = GaussianInput(image.flatten(), sigma)
            seeds = [noise_seed(0, purpose, index, level) for purpose in (Purpose.AVERAGING, Purpose.CUT)]
            network = made.at(image, x.draws(2, seeds[0]).reshape(2, *image.shape))
            missed = moved = 0.0
            for e in x.draws(DRAWS, seeds[1]):
                there = case.double((x.mean + e).reshape(1, *image.shape))[0]
                missed += float((network(x.mean + e) - there).square().sum())
                moved += float((there - case.double(image[None])[0]).square().sum())
            errors.append((missed / moved) ** 0.5)
        assert found[1].levels[level].error == pytest.approx(np.mean(errors), rel=1e-8)


def test_the_chosen_relu_is_the_last_near_the_smallest_error(options: AnalyzeOptions) -> None:
    found = measured(options)
    errors = [one.error or 0.0 for one in found]
    near = [one.node for one in found if (one.error or 0.0) <= (1 + NEAR) * min(errors)]
    assert [one.node for one in found if one.chosen] == near[-1:]
    assert near[-1:] not in ([RELUS[0]], [RELUS[-1]])


def test_the_report_says_what_was_compared_and_the_moments_are_of_the_chosen(options: AnalyzeOptions) -> None:
    report = analyze(replace(options, linearizer="averaged"))
    assert report.moments is not None
    (chosen,) = (one for one in report.cut_errors if one.chosen)
    assert {(entry.cut, entry.cut_kind, entry.linearizer) for entry in report.moments} == {
        (chosen.node, chosen.kind, "averaged")
    }
    assert any("averages over 4 noisy inputs" in note for note in report.notes)
    named = analyze(replace(options, linearizer="averaged", cut=chosen.node))
    assert named.cut_errors == ()
    assert named.moments is not None
    assert [entry.per_class for entry in named.moments] == [entry.per_class for entry in report.moments]


def test_nothing_is_measured_for_engines_without_a_cut(options: AnalyzeOptions) -> None:
    options = replace(options, engines=("propagate",))
    plan = plan_moments(open_case(options), options, SilentProgress())
    assert (plan.cut, plan.cut_errors) == (None, ())


def test_relus_that_do_not_fit_are_not_measured_and_not_chosen(
    options: AnalyzeOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """stem, inner and join have 144 units, left 72, right 108, head 12 and tail 9; the input has 36 elements."""
    monkeypatch.setattr(budget, "LARGEST_MATRIX", 8 * 72 * 72)
    found = measured(options)
    assert [one.node for one in found if one.within_budget] == ["left", "head", "tail"]
    assert [one.units for one in found] == [144, 144, 144, 72, 108, 12, 9]
    for one in found:
        assert (one.error is not None) == one.within_budget
        assert one.within_budget or "144 units" in str(one.error_reason) or "108 units" in str(one.error_reason)
    (chosen,) = (one for one in found if one.chosen)
    assert chosen.within_budget
    monkeypatch.setattr(budget, "LARGEST_MATRIX", 8)
    plan = plan_moments(open_case(options), options, SilentProgress())
    assert plan.cut is None
    assert "matrix A (12 x 36) takes" in plan.reason
    assert not any(one.chosen for one in plan.cut_errors)


def three_relus(folder: Path, bias: float) -> Path:
    """Gemm, ReLU, Gemm, ReLU, Gemm, ReLU, Gemm; with a large bias all units are always on."""
    sizes, value, nodes, arrays = (36, 8, 7, 6, 3), "x", [], {}
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        last = layer == len(sizes) - 2
        arrays[f"W{layer}"] = np.abs(weights(fan_in, fan_out)) if layer and bias else weights(fan_in, fan_out)
        arrays[f"b{layer}"] = np.full(fan_out, bias, np.float32)
        nodes.append(node("Gemm", [value, f"W{layer}", f"b{layer}"], ["y" if last else f"z{layer}"]))
        if not last:
            nodes.append(node("Relu", [f"z{layer}"], [f"h{layer}"], name=f"relu{layer}"))
            value = f"h{layer}"
    return write(model(nodes, ("N", 36), arrays), folder, "three.onnx")


def test_where_several_are_exact_rounding_does_not_choose(options: AnalyzeOptions, tmp_path: Path) -> None:
    found = measured(replace(options, model=three_relus(tmp_path, bias=1000.0)))
    assert all(float(one.error or 0) < 1e-9 for one in found)
    assert [one.chosen for one in found] == [False, False, True]


def test_the_relu_with_the_kinks_is_exact_where_the_others_are_on(options: AnalyzeOptions, tmp_path: Path) -> None:
    """The first one is at its kinks; the others see positive values only."""
    path = three_relus(tmp_path, bias=1000.0)
    made = onnx.load(path)
    (first,) = (array for array in made.graph.initializer if array.name == "b0")
    first.CopyFrom(onnx.numpy_helper.from_array(np.zeros(8, np.float32), "b0"))
    found = measured(replace(options, model=write(made, tmp_path, "kinks.onnx")))
    assert [float(one.error or 0) < 1e-6 for one in found] == [True, False, False]
    assert [one.chosen for one in found] == [True, False, False]


@pytest.mark.parametrize(
    ("errors", "chosen"),
    [
        ((0.5, 0.8, 0.52), 2),
        ((0.5, 0.8, 0.53), 0),
        ((0.5, 0.52, 0.55), 1),
        ((None, 0.9, 0.8), 2),
        ((0.7, None, None), 0),
        ((None, None, None), 2),
    ],
)
def test_near_ties_go_to_the_later_relu(
    options: AnalyzeOptions, tmp_path: Path, errors: tuple[float | None, ...], chosen: int
) -> None:
    found = measured(replace(options, model=three_relus(tmp_path, bias=0.0)))
    changed = [
        replace(one, error=error, error_reason="why" if error is None else None)
        for one, error in zip(found, errors, strict=True)
    ]
    assert best_cut._chosen(changed) == chosen


def test_images_that_noise_does_not_move_say_nothing(options: AnalyzeOptions, tmp_path: Path) -> None:
    """A ReLU that is off everywhere."""
    nodes = [
        node("Gemm", ["x", "A", "low"], ["z"]),
        node("Relu", ["z"], ["h"], name="relu"),
        node("Gemm", ["h", "B", "c"]),
    ]
    arrays = {"A": weights(36, 8), "low": weights(8) * 0 - 1000, "B": weights(8, 3), "c": weights(3)}
    (found,) = measured(replace(options, model=write(model(nodes, ("N", 36), arrays), tmp_path, "off.onnx")))
    assert (found.error, found.error_reason) == (None, UNMOVED)
    assert found.chosen


def test_infinite_logits_have_no_error(options: AnalyzeOptions, tmp_path: Path) -> None:
    nodes = [
        node("Gemm", ["x", "A"], ["z"]),
        node("Exp", ["z"], ["e"]),
        node("Relu", ["e"], ["h"], name="relu"),
        node("Gemm", ["h", "B"]),
    ]
    path = write(model(nodes, ("N", 36), {"A": 1000 * weights(36, 8), "B": weights(8, 3)}), tmp_path, "inf.onnx")
    (found,) = measured(replace(options, model=path))
    assert (found.error, found.error_reason) == (None, INFINITE)


def test_fewer_images_than_wanted_are_all_looked_at(options: AnalyzeOptions) -> None:
    assert {one.images for one in measured(replace(options, samples=3))} == {3}


@pytest.mark.parametrize("points", [0, 1, 3, -2])
def test_averaging_points_come_in_pairs(options: AnalyzeOptions, points: int) -> None:
    with pytest.raises(UsageError, match="even and at least 2"):
        replace(options, averaging_points=points)


def test_unknown_linearizers_are_refused(options: AnalyzeOptions) -> None:
    with pytest.raises(UsageError, match="--linearizer mean is not known; choose from taylor, averaged"):
        replace(options, linearizer="mean")


def test_draws_have_the_covariance_asked_for() -> None:
    factor = torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, -1.0]]).double()
    mean = torch.zeros(3).double()
    for structure, wanted in (
        (Factored(factor), factor.mT @ factor),
        (Diagonal(torch.tensor([1.0, 0.0, 3.0]).double()), torch.diag(torch.tensor([1.0, 0.0, 9.0]).double())),
    ):
        draws = GaussianInput(mean, 0.5, structure).draws(40_000, seed=3)
        torch.testing.assert_close(draws.mT.cov(), 0.25 * wanted, rtol=0.05, atol=0.02)
        assert torch.equal(draws, GaussianInput(mean, 0.5, structure).draws(40_000, seed=3))


def test_taylors_moments_do_not_depend_on_the_averaging(options: AnalyzeOptions, tmp_path: Path) -> None:
    options = replace(options, model=write(mlp((36, 8, 6, 3)), tmp_path, "mlp.onnx"), cut="last", samples=3)
    found = {
        (linearizer, points): [
            entry.per_class
            for entry in analyze(replace(options, linearizer=linearizer, averaging_points=points)).moments or ()
        ]
        for linearizer in ("taylor", "averaged")
        for points in (2, 8)
    }
    assert found["taylor", 2] == found["taylor", 8]
    assert found["averaged", 2] != found["averaged", 8] != found["taylor", 8]
