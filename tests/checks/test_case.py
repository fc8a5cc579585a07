"""What stands before and beside the analyses: agreement with onnxruntime, scale warnings, noise gains, seeds."""

from dataclasses import replace
from pathlib import Path

import models
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from recast import recast

from nmcheck.checks.case import Case, open_case
from nmcheck.checks.consistency import check_consistency
from nmcheck.checks.noise_gain import noise_gains
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.checks.scales import scale_warnings
from nmcheck.checks.seeds import Purpose, noise_seed
from nmcheck.errors import ModelError
from nmcheck.execute.session import ReferenceSession


def normalized_network(path: Path, factor: float) -> Path:
    """flatten -> Gemm -> BatchNormalization by ``factor`` -> Relu -> Gemm; the logits are the units 0 and 1."""
    generator = np.random.default_rng(5)
    arrays = {
        "w1": generator.normal(size=(16, 4)),
        "gamma": np.full(4, factor),
        "zero": np.zeros(4),
        "one": np.ones(4),
        "w2": generator.normal(size=(4, 2)),
    }
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w1"], ["z"]),
        helper.make_node("BatchNormalization", ["z", "gamma", "zero", "zero", "one"], ["n"], name="norm", epsilon=0.0),
        helper.make_node("Relu", ["n"], ["y"]),
        helper.make_node("Gemm", ["y", "w2"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "normalized",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in arrays.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def case_of(model: Path, folder: Path, scale: str | None = None) -> Case:
    x = np.random.default_rng(0).uniform(size=(20, 4, 4))
    session = ReferenceSession(open_case(_options(model, _save(folder, x, None))).file_graph, threads=1)
    labels = session.run(x[:, None].reshape(20, 1, 4, 4).astype(np.float32)).reshape(20, 2).argmax(axis=1)
    return open_case(_options(model, _save(folder, x, labels), scale))


def _save(folder: Path, x: np.ndarray, labels: np.ndarray | None) -> str:
    path = folder / "data.npz"
    np.savez(path, allow_pickle=False, **({"x": x} if labels is None else {"x": x, "y": labels}))
    return str(path)


def _options(model: Path, data: str, scale: str | None = None) -> AnalyzeOptions:
    return AnalyzeOptions(model, data, samples=20, scale=scale)


class OffBy(ReferenceSession):
    """onnxruntime, wrong by a factor."""

    factor = 1.0

    def run(self, x: np.ndarray) -> np.ndarray:
        return super().run(x) * np.float32(self.factor)


@pytest.mark.parametrize(
    ("precision", "factor", "agrees"),
    [
        ("single", 1.0, True), ("single", 1.00005, True), ("single", 1.0003, False),
        ("half", 1.0, True), ("half", 1.005, True), ("half", 1.02, False),
    ],
)  # fmt: skip
def test_an_analysis_stops_where_onnxruntime_disagrees(
    tmp_path: Path, precision: str, factor: float, agrees: bool
) -> None:
    model = normalized_network(tmp_path / "m.onnx", 2.0)
    if precision == "half":
        onnx.save(recast(onnx.load(model), TensorProto.FLOAT16), model)
    case = case_of(model, tmp_path)
    session = OffBy(case.file_graph, threads=1)
    session.factor = factor
    steps: list[int] = []
    if not agrees:
        with pytest.raises(ModelError, match="differs from onnxruntime"):
            check_consistency(case, session, steps.append)
        return
    found = check_consistency(case, session, steps.append)
    assert found.images == sum(steps) == 20
    assert found.max_difference <= found.tolerance
    assert (found.precision, found.tolerance) == (precision, {"single": 1e-4, "half": 1e-2}[precision])


def test_an_output_that_is_not_finite_names_its_image(tmp_path: Path) -> None:
    case = case_of(normalized_network(tmp_path / "m.onnx", 2.0), tmp_path)
    session = OffBy(case.file_graph, threads=1)
    session.factor = float("nan")
    with pytest.raises(ModelError, match="image 0 of the data is NaN or infinite"):
        check_consistency(case, session, lambda _steps: None)


@pytest.mark.parametrize("factor", [0.25, 1.0, 3.0])
def test_a_normalization_by_one_factor_has_that_noise_gain(tmp_path: Path, factor: float) -> None:
    case = case_of(normalized_network(tmp_path / "m.onnx", factor), tmp_path)
    (gain,) = noise_gains(case, (case.graph.by_name["norm"],), sigma=0.1, level=0, seed=0).values()
    assert gain.value == pytest.approx(factor, rel=1e-5)
    assert gain.standard_error is not None
    assert gain.standard_error < 1e-5


def test_an_assumed_scale_is_doubted_and_a_stated_one_only_for_a_better(tmp_path: Path) -> None:
    model = normalized_network(tmp_path / "m.onnx", 2.0)
    # Without biases every positive factor gives the same labels: accuracy cannot tell the scales apart.
    assumed = case_of(model, tmp_path)
    session = ReferenceSession(assumed.file_graph, threads=1)
    warnings = scale_warnings(assumed, session, 1.0)
    assert any("--scale byte" in warning and "assumed" in warning for warning in warnings)
    stated = case_of(model, tmp_path, "unit")
    assert scale_warnings(stated, session, 1.0) == ()
    assert any("--scale byte" in warning for warning in scale_warnings(stated, session, 0.5))
    assert scale_warnings(assumed, session, None) == ()


def test_no_scale_is_doubted_for_one_that_scores_no_more_than_a_guess(tmp_path: Path) -> None:
    model = normalized_network(tmp_path / "m.onnx", 2.0)
    assumed = case_of(model, tmp_path)
    session = ReferenceSession(assumed.file_graph, threads=1)
    for wrong in (10, 15, 20):
        # As many as always giving the same answer gets right, or fewer.
        labels = assumed.predicted.numpy().copy()
        labels[:wrong] = 1 - labels[:wrong]
        labels[0], labels[-1] = 0, 1
        accuracy = float((assumed.predicted.numpy() == labels).mean())
        assert accuracy <= max(labels.mean(), 1 - labels.mean())
        assert scale_warnings(replace(assumed, labels=labels), session, accuracy) == ()


def test_images_of_one_class_do_not_hide_another_scale(tmp_path: Path) -> None:
    assumed = case_of(normalized_network(tmp_path / "m.onnx", 2.0), tmp_path)
    assert assumed.labels is not None
    chosen = np.flatnonzero(assumed.labels == assumed.labels[0])
    one_class = replace(assumed, labels=assumed.labels[chosen], pixels=assumed.pixels[chosen])
    session = ReferenceSession(assumed.file_graph, threads=1)
    assert any("--scale byte" in warning for warning in scale_warnings(one_class, session, 1.0))


def test_seeds_differ_by_purpose_image_and_level_and_repeat() -> None:
    keys = [
        (seed, purpose, index, level) for seed in (0, 1) for purpose in Purpose for index in (0, 9) for level in (0, 1)
    ]
    seeds = [noise_seed(*key) for key in keys]
    assert len(set(seeds)) == len(keys)
    assert seeds == [noise_seed(*key) for key in keys]
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_file_that_ends_in_an_arg_max_has_its_scales_doubted_too(tmp_path: Path) -> None:
    nodes = [
        models.node("Flatten", ["x"], ["f"]),
        models.node("Gemm", ["f", "w"], ["z"]),
        models.node("ArgMax", ["z"], axis=1, keepdims=0),
    ]
    w = models.weights(9, 3)
    made = models.model(nodes, ("N", 3, 3), {"w": w - w.mean(axis=0)}, output_type=TensorProto.INT64)
    path = models.write(made, tmp_path)
    x = np.random.default_rng(0).random((20, 3, 3))
    np.savez(tmp_path / "bare.npz", x=x)
    labels = open_case(AnalyzeOptions(path, str(tmp_path / "bare.npz"), samples=20)).predicted.numpy()
    assert len(np.unique(labels)) > 1
    np.savez(tmp_path / "labelled.npz", x=x, y=labels)
    case = open_case(AnalyzeOptions(path, str(tmp_path / "labelled.npz"), samples=20))
    # Without a bias every positive factor gives the same classes.
    warnings = scale_warnings(case, ReferenceSession(case.file_graph, threads=1), 1.0)
    assert any("--scale byte" in warning for warning in warnings)
