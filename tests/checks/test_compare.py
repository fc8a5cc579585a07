"""``nmcheck compare``: the same images and the same noise for every model."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from models import mlp, model, node, small_lenet, weights, write

from nmcheck.checks import case
from nmcheck.checks.bounds_report import bounds
from nmcheck.checks.compare import compare
from nmcheck.checks.compare_options import CompareOptions
from nmcheck.errors import DataError, UsageError
from nmcheck.reports.comparison_table import comparison_parts
from nmcheck.reports.json import to_json
from nmcheck.reports.layout import text_of
from nmcheck.results.schema import comparison_schema

COUNT = 20
"""More than are run at a time."""


@pytest.fixture
def options(tmp_path: Path) -> CompareOptions:
    first, second = write(mlp((6, 8, 3)), tmp_path, "a.onnx"), write(mlp((6, 9, 7, 3)), tmp_path, "b.onnx")
    x = np.random.default_rng(1).random((COUNT, 6))
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(COUNT) % 3)
    return CompareOptions(
        (first, second), str(tmp_path / "x.npz"), sigmas=(0.1, 0.5), draws=40, samples=COUNT, method="crown",
        attacks=("deepfool",),
    )  # fmt: skip


def predicted_as_labels(options: CompareOptions, path: Path) -> CompareOptions:
    """Without labels every image is classified correctly."""
    with np.load(options.data) as data:
        np.savez(path, x=data["x"])
    return replace(options, data=str(path))


def test_every_model_gets_what_bounds_says_of_it(options: CompareOptions) -> None:
    found = compare(options)
    for column, asked in zip(found.models, options.each(), strict=True):
        alone = bounds(asked)
        assert alone.bounds is not None
        assert column.bounds.per_sample == alone.bounds[0].per_sample
        assert column.bounds.accuracy == alone.bounds[0].accuracy
        assert column.data == alone.data
    assert found.models[0].data.sha256 == found.models[1].data.sha256


def test_each_model_is_opened_and_bounded_once(
    options: CompareOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def counted(what: str, function: Callable[..., object]) -> Callable[..., object]:
        return lambda *arguments: (done.append(what), function(*arguments))[1]

    monkeypatch.setattr(case, "load_graph", counted("opened", case.load_graph))
    monkeypatch.setattr(case, "network_bounds", counted("bounded", case.network_bounds))
    response = node("LRN", ["c"], ["n"], name="lrn", size=3, alpha=0.5)
    paths = write(small_lenet(), tmp_path, "plain.onnx"), write(small_lenet([response]), tmp_path, "lrn.onnx")
    np.savez(tmp_path / "pictures.npz", x=np.random.default_rng(1).random((3, 8, 8)), y=np.arange(3))
    found = compare(replace(options, models=paths, data=str(tmp_path / "pictures.npz"), method="auto", samples=3))
    assert [len(column.normalization) for column in found.models] == [0, 1]
    assert done == ["opened"] * 2 + ["bounded"] * 2


def test_a_model_is_like_itself_and_the_difference_is_paired(options: CompareOptions, tmp_path: Path) -> None:
    options = predicted_as_labels(options, tmp_path / "free.npz")
    a, b = options.models
    found = compare(replace(options, models=(a, b, a)))
    assert found.common == COUNT
    first, other, again = found.models
    assert (again.difference, again.difference_se) == (0, 0)
    assert again.flips == first.flips
    assert any(0 < flips.sampled < 1 for flips in first.flips)
    lower = [[sample.lower or 0 for sample in column.bounds.per_sample] for column in (first, other)]
    apart = np.subtract(lower[1], lower[0])
    assert other.difference == pytest.approx(apart.mean())
    assert other.difference_se == pytest.approx(apart.std(ddof=1) / COUNT**0.5)
    assert first.common_radius == pytest.approx(np.mean(lower[0]))
    assert first.radius == first.common_radius


def test_radii_are_compared_on_images_that_all_classify_correctly(options: CompareOptions) -> None:
    found = compare(options)
    right = [{one.index for one in column.bounds.per_sample if one.correct} for column in found.models]
    both = right[0] & right[1]
    assert 0 < found.common == len(both) < max(map(len, right))
    for column in found.models:
        chosen = [one.lower for one in column.bounds.per_sample if one.index in both]
        assert column.common_radius == pytest.approx(np.mean([radius for radius in chosen if radius is not None]))


def test_noise_is_the_same_whatever_a_model_s_layout(tmp_path: Path) -> None:
    # The same linear function of an image, once on pixels before channels and once the other way round.
    weight = weights(3, 2, 4, 5)
    paths = [
        write(
            model(
                [node("Flatten", ["x"], ["f"]), node("Gemm", ["f", "W"], transB=1)],
                ("N", *shape),
                {"W": np.ascontiguousarray(w).reshape(3, -1)},
            ),
            tmp_path,
            name,
        )
        for name, shape, w in (
            ("first.onnx", (2, 4, 5), weight),
            ("last.onnx", (4, 5, 2), np.moveaxis(weight, 1, -1)),
        )
    ]
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(2).random((6, 4, 5, 2)))
    asked = CompareOptions(
        tuple(paths), str(tmp_path / "x.npz"), sigmas=(0.3,), draws=100, samples=6, method="lipschitz", attacks=()
    )
    first, last = compare(asked).models
    assert 0 < first.flips[0].sampled < 1
    assert first.flips == last.flips


def test_two_sample_models_make_a_document_that_obeys_the_schema(sample_models: Path) -> None:
    paths = sample_models / "lenet.onnx", sample_models / "lenet_lrn1.onnx"
    asked = CompareOptions(
        paths, "mnist", sigmas=(0.2,), draws=10, samples=3, method="lipschitz", attacks=("fgs",), epsilons=(0.5,)
    )
    document = json.loads(to_json(compare(asked)))
    Draft202012Validator(comparison_schema()).validate(document)
    assert [len(column["normalization"]) > 0 for column in document["models"]] == [False, True]


def test_normalization_layers_are_reported_for_the_models_that_have_them(tmp_path: Path) -> None:
    response = node("LRN", ["c"], ["n"], name="lrn", size=3, alpha=0.5)
    paths = write(small_lenet(), tmp_path, "plain.onnx"), write(small_lenet([response]), tmp_path, "lrn.onnx")
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(2).random((5, 8, 8)))
    asked = CompareOptions(
        paths, str(tmp_path / "x.npz"), sigmas=(0.3,), draws=10, samples=5, method="lipschitz", attacks=("fgs",)
    )
    found = compare(asked)
    plain, normalized = found.models
    assert plain.normalization == ()
    assert [(row.node, row.kind, row.removal) for row in normalized.normalization] == [("lrn", "LRN", "identity")]
    text = text_of(comparison_parts, found)
    assert "2 lrn.onnx" in text
    assert "5 common images" in text
    assert "nearest adversarial example, its correct images" in text
    assert "Normalization layers" in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": (Path("a.onnx"),)}, "needs two models or more"),
        ({"draws": 0}, "--draws must be at least 1"),
        ({"scales": ("unit", "unit", "unit")}, "--scale is given 3 times for 2 models"),
        ({"sigmas": (-1.0,)}, "--sigma must be a positive number"),
        ({"norm": "3"}, "--norm 3 is not known"),
        ({"samples": 0}, "--samples must be at least 1"),
    ],
)
def test_impossible_options_are_refused(options: CompareOptions, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(options, **changes)  # type: ignore[arg-type]


def test_a_model_that_no_change_can_reach_is_certified_at_every_size(options: CompareOptions, tmp_path: Path) -> None:
    options = predicted_as_labels(options, tmp_path / "free.npz")
    arrays = {"W": np.zeros((6, 3), dtype=np.float32), "b": weights(3)}
    constant = write(model([node("Gemm", ["x", "W", "b"])], ("N", 6), arrays), tmp_path, "constant.onnx")
    found = compare(replace(options, models=(options.models[0], constant), epsilons=(5.0, 1e6)))
    assert [point.certified for point in found.models[1].bounds.accuracy] == [1.0, 1.0]
    assert [point.certified for point in found.models[0].bounds.accuracy] == [0.0, 0.0]


def test_a_scale_for_each_or_one_for_all(options: CompareOptions) -> None:
    assert [one.scale for one in replace(options, scales=("byte", "unit")).each()] == ["byte", "unit"]
    assert [one.scale for one in replace(options, scales=("byte",)).each()] == ["byte", "byte"]
    assert [one.scale for one in options.each()] == [None, None]


def test_data_that_do_not_fit_the_second_model_are_refused_before_the_first_is_examined(
    options: CompareOptions, tmp_path: Path
) -> None:
    other = write(mlp((5, 4, 3)), tmp_path, "other.onnx")
    seen: list[str] = []

    class Told:
        def stage(self, title: str, total: int | None):
            seen.append(title)
            return nullcontext(lambda _steps: None)

    with pytest.raises(DataError):
        compare(replace(options, models=(options.models[0], other)), Told())
    assert seen == ["Models and data"]
