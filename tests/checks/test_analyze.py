"""Laws of a whole analysis."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nmcheck.checks.analyze import analyze
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.reports.json import to_json
from nmcheck.results import Report


def network(path: Path, middle: list[onnx.NodeProto], factor: float = 1.0) -> Path:
    """flatten -> Gemm -> ``middle`` (from ``z`` to ``y``) -> Gemm, 36 inputs, 8 units, 3 logits, no second bias."""
    generator = np.random.default_rng(3)
    weights = {
        "w1": generator.normal(size=(36, 8)) * factor,
        "b1": generator.normal(size=8) * factor,
        "w2": generator.normal(size=(8, 3)) / factor,
    }
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w1", "b1"], ["z"]),
        *middle,
        helper.make_node("Gemm", ["y", "w2"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 6, 6])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


RELU = [helper.make_node("Relu", ["z"], ["y"], name="relu")]


@pytest.fixture
def images(tmp_path: Path) -> str:
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).uniform(size=(12, 6, 6)))
    return str(tmp_path / "data.npz")


def report(model: Path, data: str, **changes: object) -> Report:
    options: dict[str, object] = {"sigmas": (0.1,), "samples": 6, "reference_samples": 500, **changes}
    return analyze(AnalyzeOptions(model, data, **options))  # pyright: ignore[reportArgumentType]


def without_times(found: Report) -> str:
    import json
    import re

    kept = json.loads(to_json(found))
    return re.sub(r'"(seconds\w*|forward_passes_per_input|path)": [^,}]+', "", json.dumps(kept))


def test_the_same_question_has_the_same_answer_to_the_last_digit(tmp_path: Path, images: str) -> None:
    model = network(tmp_path / "m.onnx", RELU)
    assert without_times(report(model, images)) == without_times(report(model, images))
    assert without_times(report(model, images, seed=1)) != without_times(report(model, images))


def test_the_network_is_in_the_report_and_every_layer_of_the_bounds_in_it(tmp_path: Path, images: str) -> None:
    found = report(network(tmp_path / "m.onnx", RELU), images, scale="byte", engines=("two-stage",))
    assert [(node.op, node.inputs, node.outputs) for node in found.graph] == [
        ("Flatten", ("x",), ("flat",)),
        ("Gemm", ("flat",), ("z",)),
        ("Relu", ("z",), ("y",)),
        ("Gemm", ("y",), ("logits",)),
    ]
    assert found.graph[1].shape == (1, 8)
    assert found.bounds is not None
    assert {layer.node for layer in found.bounds[0].layers} <= {node.node for node in found.graph}


def test_every_distance_lies_between_its_bounds(tmp_path: Path, images: str) -> None:
    found = report(network(tmp_path / "m.onnx", RELU), images)
    assert found.bounds
    (entry,) = found.bounds
    assert list(entry.attack) == ["fgs", "deepfool", "ddn"]
    bracketed = [sample for sample in entry.per_sample if sample.lower is not None and sample.upper is not None]
    assert bracketed
    for sample in bracketed:
        assert sample.lower is not None
        assert sample.upper is not None
        assert sample.lower <= sample.upper
        assert sample.upper_method in entry.attack
    assert all(sample.upper_reason for sample in entry.per_sample if sample.upper is None)


def test_an_exact_network_is_at_the_floor_for_either_reference(tmp_path: Path, images: str) -> None:
    model = network(tmp_path / "m.onnx", RELU)
    for reference in ("control-variate", "plain"):
        entries = report(model, images, engines=("two-stage",), reference=reference).moments
        assert entries is not None
        (entry,) = entries
        assert entry.reference.method == reference
        scores = [z for row in entry.per_class for z in (row.mean_z, row.var_z)]
        assert np.max(np.abs(np.array(scores, dtype=float))) < 4
        flip = entry.overall.flip
        assert flip.low is not None
        assert flip.high is not None
        assert flip.sampled is not None
        assert flip.low <= flip.sampled <= flip.high
        assert flip.trials == 6 * (250 if reference == "control-variate" else 500)


def test_scaling_a_layer_up_and_the_next_one_down_changes_no_number(tmp_path: Path, images: str) -> None:
    one, other = (report(network(tmp_path / f"{k}.onnx", RELU, factor=4.0**k), images) for k in (0, 1))
    assert one.bounds is not None
    assert other.bounds is not None
    lower = [[sample.lower for sample in found.bounds[0].per_sample] for found in (one, other) if found.bounds]
    assert lower[1] == pytest.approx(lower[0], rel=1e-9)
    for first, second in zip(one.moments or (), other.moments or (), strict=True):
        assert second.overall.mean_er == pytest.approx(first.overall.mean_er, rel=1e-6)
        assert second.overall.var_er == pytest.approx(first.overall.var_er, rel=1e-6)


def test_a_byte_scale_means_the_same_noise_in_pixels(tmp_path: Path, images: str) -> None:
    pixels = network(tmp_path / "pixels.onnx", RELU)
    model = onnx.load(pixels)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "w1")
    weight.CopyFrom(numpy_helper.from_array((numpy_helper.to_array(weight) / 255).astype(np.float32), "w1"))
    onnx.save(model, tmp_path / "bytes.onnx")
    one, other = (
        report(path, images, scale=scale, engines=("two-stage",))
        for path, scale in ((pixels, "unit"), (tmp_path / "bytes.onnx", "byte"))
    )
    for first, second in zip(one.moments or (), other.moments or (), strict=True):
        assert second.sigma_model == pytest.approx((25.5,))
        assert second.overall.mean_bias_sd == pytest.approx(first.overall.mean_bias_sd, rel=1e-3)
    assert one.bounds is not None
    assert other.bounds is not None
    radii = [found.bounds[0].radius["lipschitz"].mean for found in (one, other) if found.bounds]
    assert radii[1] == pytest.approx(radii[0], rel=1e-5)


@pytest.mark.parametrize(
    ("op", "attributes", "kind"),
    [("LeakyRelu", {"alpha": 0.2}, "skip"), ("Clip", {"min": 0.25}, "cut"), ("Clip", {"max": 0.5}, "cut")],
)
def test_a_network_of_relu_decomposable_activations_is_analysed_by_the_name_of_the_node(
    tmp_path: Path, images: str, op: str, attributes: dict[str, Any], kind: str
) -> None:
    """One hidden layer: the model is exact, so z-scores see sampling noise and no more."""
    activation = helper.make_node(op, ["z"], ["y"], name="act", **attributes)
    model = network(tmp_path / "m.onnx", [activation])
    if op == "Clip":
        converted = onnx.load(model)
        converted.opset_import[0].version = 10
        # Bounds as attributes, and a Gemm whose third operand is not optional.
        converted.graph.initializer.append(numpy_helper.from_array(np.zeros(3, np.float32), "none"))
        converted.graph.node[-1].input.append("none")
        onnx.save(converted, model)
    for cut in ("last", "first", "act"):
        (entry,) = report(model, images, engines=("two-stage",), cut=cut).moments or (None,)
        assert entry is not None
        assert (entry.cut, entry.cut_kind) == ("act", kind)
        scores = [z for row in entry.per_class for z in (row.mean_z, row.var_z)]
        assert np.max(np.abs(np.array(scores, dtype=float))) < 4


def test_a_network_whose_derivative_says_nothing_has_no_moments_but_a_reason(tmp_path: Path, images: str) -> None:
    steps = [helper.make_node("Relu", ["z"], ["r"]), helper.make_node("Floor", ["r"], ["y"], name="steps")]
    found = report(network(tmp_path / "m.onnx", steps), images)
    assert found.moments is None
    assert found.moments_reason is not None
    assert "steps" in found.moments_reason
    assert found.bounds is not None
    assert found.bounds[0].radius["lipschitz"].mean is None
    assert "steps" in (found.bounds[0].radius["lipschitz"].mean_reason or "")


def test_rounding_is_in_the_reference_s_errors_however_small_the_noise(tmp_path: Path, images: str) -> None:
    """Of the two-stage engine, which is exact here, no z says more than chance and rounding do."""
    model = network(tmp_path / "m.onnx", RELU)
    for sigma in (1e-9, 1e-6, 1e-3):
        (tiny,) = report(model, images, sigmas=(sigma,), engines=("two-stage",)).moments or (None,)
        assert tiny is not None
        assert all(row.mean_z is not None and abs(row.mean_z) < 5 for row in tiny.per_class)
    (usual,) = report(model, images, sigmas=(0.3,), engines=("two-stage",)).moments or (None,)
    assert usual is not None
    assert all(row.mean_z is not None for row in usual.per_class)
