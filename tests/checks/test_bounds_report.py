"""``nmcheck bounds``: certified radii below, adversarial examples above."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from models import model, node, one_relu, weights, write

from nmcheck.checks.accuracy import accuracy_points, settled
from nmcheck.checks.bounds_options import BoundsOptions
from nmcheck.checks.bounds_report import bounds
from nmcheck.checks.sample_bounds import CONTRADICTED, contradictions, reconciled
from nmcheck.errors import UsageError
from nmcheck.reports.bounds_report import bounds_parts
from nmcheck.reports.layout import text_of
from nmcheck.results import UNREACHABLE, BoundsEntry, SampleBounds

N = 12
BOTH = pytest.mark.parametrize("norm", ["2", "inf"])


@pytest.fixture
def options(tmp_path: Path) -> BoundsOptions:
    network = write(one_relu((1, N)), tmp_path)
    np.savez(tmp_path / "x.npz", allow_pickle=False, x=np.random.default_rng(1).random((8, N)))
    return BoundsOptions(network, str(tmp_path / "x.npz"), samples=8)


def entry_of(options: BoundsOptions) -> BoundsEntry:
    entries = bounds(options).bounds
    assert entries is not None
    return entries[0]


@BOTH
@pytest.mark.parametrize("box", [False, True])
def test_every_radius_lies_below_every_example(options: BoundsOptions, norm: str, *, box: bool) -> None:
    entry = entry_of(replace(options, norm=norm, box=box, attacks=None))
    assert len(entry.per_sample) == 8
    for one in entry.per_sample:
        assert one.lower is not None
        assert one.upper is None or one.lower <= one.upper
    assert sum(one.upper is not None for one in entry.per_sample) >= 4
    certified = [point.certified for point in entry.accuracy]
    attacked = [point.attacked for point in entry.accuracy]
    assert certified == sorted(certified, reverse=True)
    assert attacked == sorted(attacked, reverse=True)
    assert all(low <= high for low, high in zip(certified, attacked, strict=True))


@BOTH
def test_no_radius_falls_where_a_box_leaves_fewer_changes(options: BoundsOptions, norm: str) -> None:
    free, boxed = (
        entry_of(replace(options, norm=norm, box=box, method="crown", attacks=(), samples=8)) for box in (False, True)
    )
    pairs = list(zip(free.per_sample, boxed.per_sample, strict=True))
    assert all((inside.lower or math.inf) >= (outside.lower or math.inf) for outside, inside in pairs)
    assert any((inside.lower or math.inf) > 1.01 * (outside.lower or math.inf) for outside, inside in pairs)


def test_without_an_attack_there_is_no_upper_bound_and_a_reason(options: BoundsOptions) -> None:
    report = bounds(replace(options, attacks=()))
    assert report.bounds is not None
    assert report.bounds[0].attack == {}
    assert {(one.upper, one.upper_reason) for one in report.bounds[0].per_sample} == {
        (None, "no attack was run, so no adversarial example is known")
    }
    ops = [(node.op, node.outputs) for node in report.graph]
    assert ops == [("Flatten", ("u",)), ("Gemm", ("z",)), ("Relu", ("h",)), ("Gemm", ("y",))]
    assert "no attack was run" in text_of(bounds_parts, report, 120)


def test_the_layers_and_the_iterative_perturbation_are_reported_where_asked_for(options: BoundsOptions) -> None:
    plain = entry_of(replace(options, attacks=(), method="lipschitz"))
    assert (plain.layer_attacks, plain.iterated) == ((), ())
    entry = entry_of(replace(options, attacks=(), method="lipschitz", layerwise=True, iterated=3))
    assert [row.node for row in entry.layer_attacks] == [row.node for row in entry.layers]
    for row in entry.layer_attacks:
        assert row.images >= 4
        assert row.certified_above == 0
        assert 0 < (row.kappa_certified or 0) <= (row.kappa_attacked or 0)
    # Theorem 3.6 is an equality at the last layer.
    last = entry.layer_attacks[-1]
    assert last.kappa_attacked == pytest.approx(last.kappa_published, rel=0.02)
    assert [step.step for step in entry.iterated] == [1, 2, 3]
    assert "Iterative perturbation" in text_of(bounds_parts, bounds(replace(options, attacks=(), iterated=1)), 120)


def test_open_questions_are_written_for_verifiers_and_examples_for_people(
    options: BoundsOptions, tmp_path: Path
) -> None:
    options = replace(options, norm="inf", attacks=None, method="lipschitz", epsilons=(0.02, 0.2))
    report = bounds(replace(options, vnnlib=tmp_path / "open", save_adversarial=tmp_path / "found"))
    assert report.bounds is not None
    (entry,) = report.bounds
    for epsilon in (0.02, 0.2):
        asked = {path.name for path in (tmp_path / "open" / f"linf_{epsilon:g}").glob("*.vnnlib")}
        left = [one.index for one in entry.per_sample if one.correct and not settled(one, epsilon)]
        assert asked == {f"image_{index}_linf_{epsilon:g}.vnnlib" for index in left}
    with np.load(tmp_path / "found" / "adversarial_linf.npz") as found:
        examples = len(found["index"])
    assert examples == sum(one.upper is not None for one in entry.per_sample)
    saved, *questions = report.notes[-3:]
    assert saved.startswith(f"Adversarial examples of {examples} of 8 images were written to {tmp_path / 'found'}")
    for epsilon, note in zip((0.02, 0.2), questions, strict=True):
        count = len(list((tmp_path / "open" / f"linf_{epsilon:g}").glob("*.vnnlib")))
        assert count > 0
        assert note.startswith(f"VNN-LIB: {count} question{' was' if count == 1 else 's were'} written at epsilon")
        assert str(tmp_path / "open") in note
        assert note.endswith(f"linf_{epsilon:g}/instances.csv.")


def test_an_epsilon_given_twice_has_one_row(options: BoundsOptions) -> None:
    entry = entry_of(replace(options, attacks=(), method="lipschitz", epsilons=(0.2, 0.1, 0.2)))
    assert [point.epsilon for point in entry.accuracy] == [0.2, 0.1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attacks": ("nonsense",)}, "--attack nonsense is not known for --norm 2"),
        ({"norm": "inf", "attacks": ("ddn",)}, "--attack ddn is not known for --norm inf"),
        ({"attacks": (), "save_adversarial": Path("x")}, "--save-adversarial needs an attack"),
        ({"vnnlib": Path("x")}, "--vnnlib needs --norm inf"),
        ({"epsilons": (0.0,)}, "--epsilon must be a positive number"),
        ({"optimize": -1}, "--optimize must not be negative"),
        ({"iterated": -1}, "--iterated must not be negative"),
        ({"layerwise": True, "norm": "inf"}, "--layerwise needs --norm 2 without --box"),
        ({"layerwise": True, "box": True}, "--layerwise needs --norm 2 without --box"),
    ],
)
def test_impossible_options_are_refused(options: BoundsOptions, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(options, **{"attacks": None, **changes})  # type: ignore[arg-type]


def test_where_rounding_alone_decides_no_radius_is_stated(tmp_path: Path) -> None:
    """Logits 1000 + x, which float32 cannot tell apart: onnxruntime's class is another than float64's at the image."""
    network = write(
        model([node("Add", ["x", "b"])], (1, 2), {"b": np.array([1000.0, 1000.0], dtype=np.float32)}),
        tmp_path,
        "tie.onnx",
    )
    x = np.array([[0.25, 0.25 + 2.0**-16], [0.25, 0.75]])
    np.savez(tmp_path / "tie.npz", allow_pickle=False, x=x)
    report = bounds(BoundsOptions(network, str(tmp_path / "tie.npz"), samples=2))
    assert report.bounds is not None
    by_upper = sorted(report.bounds[0].per_sample, key=lambda one: one.upper or 0.0)
    tied, clear = by_upper
    assert (tied.lower, tied.lower_method, tied.upper, tied.upper_method) == (None, None, 0.0, "unchanged")
    assert tied.lower_reason == CONTRADICTED
    assert clear.lower is not None
    assert clear.upper is not None
    assert clear.lower <= clear.upper
    assert any("For 1 of 2 images no certified radius is stated" in warning for warning in report.warnings)


@pytest.mark.parametrize(
    ("sample", "kept"),
    [
        ((0.3, 0.6), True),
        ((0.6, 0.6), True),
        ((0.7, 0.6), False),
        ((0.7, None), True),
    ],
)
def test_a_radius_beyond_a_confirmed_example_is_taken_back(sample: tuple[float, float | None], *, kept: bool) -> None:
    (found,) = reconciled([made_up(*sample)])
    assert (found.lower is not None) == kept
    assert len(contradictions((found,))) == (0 if kept else 1)


def test_an_unreachable_label_with_an_example_is_a_contradiction() -> None:
    (found,) = reconciled([replace(made_up(None, 0.4), lower_reason=UNREACHABLE, lower_method=None)])
    assert found.lower_reason == CONTRADICTED


def made_up(lower: float | None, upper: float | None, *, correct: bool = True, reason: str = "none") -> SampleBounds:
    return SampleBounds(
        index=0,
        label=0,
        predicted=0 if correct else 1,
        correct=correct,
        lower=lower,
        lower_reason=None if lower is not None else reason,
        lower_method="crown",
        upper=upper,
        upper_reason=None if upper is not None else "none",
        upper_method="ddn",
    )


def test_accuracy_counts_what_is_known_and_no_more() -> None:
    samples = [made_up(0.3, 0.6), made_up(0.1, 0.2), made_up(None, None), made_up(0.5, 0.9, correct=False)]
    found = {
        point.epsilon: (point.certified, point.attacked) for point in accuracy_points(samples, (0.1, 0.2, 0.3, 1.0))
    }
    assert found == {0.1: (0.5, 0.75), 0.2: (0.25, 0.5), 0.3: (0.25, 0.5), 1.0: (0.0, 0.25)}
    assert not settled(made_up(None, None), 0.1)


def test_what_no_change_can_reach_is_certified_at_every_size() -> None:
    samples = [made_up(None, None, reason=UNREACHABLE), made_up(None, None, reason=UNREACHABLE, correct=False)]
    assert all(settled(one, 1e9) for one in samples)
    assert [(point.certified, point.attacked) for point in accuracy_points(samples, (0.1, 1e9))] == [(0.5, 0.5)] * 2


@BOTH
@pytest.mark.parametrize("method", ["lipschitz", "crown"])
def test_a_constant_network_is_certified_and_leaves_no_question(
    options: BoundsOptions, tmp_path: Path, norm: str, method: str
) -> None:
    arrays = {"W": np.zeros((N, 3), dtype=np.float32), "b": weights(3)}
    constant = write(model([node("Gemm", ["x", "W", "b"])], (1, N), arrays), tmp_path, "constant.onnx")
    folder = tmp_path / "open" if norm == "inf" else None
    asked = replace(options, model=constant, attacks=None, norm=norm, method=method, vnnlib=folder, epsilons=(0.1, 9.0))
    report = bounds(asked)
    assert report.bounds is not None
    (entry,) = report.bounds
    assert {one.lower_reason for one in entry.per_sample} == {UNREACHABLE}
    assert [(point.certified, point.attacked) for point in entry.accuracy] == [(1.0, 1.0)] * 2
    assert not (tmp_path / "open").exists()
    assert sum("nothing was written" in note for note in report.notes) == (0 if folder is None else 2)
