"""Two files of one network must give one answer."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from nmcheck.checks.analyze import analyze
from nmcheck.checks.bounds_options import BoundsOptions
from nmcheck.checks.bounds_report import bounds
from nmcheck.checks.case import open_case
from nmcheck.checks.cut import choose_cut
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.linearize.two_stage import two_stage_at
from nmcheck.results import Report

SAMPLES = 2


def report(model: Path) -> Report:
    return analyze(AnalyzeOptions(model, "mnist", sigmas=(0.1,), samples=SAMPLES, reference_samples=500))


def radii(found: Report) -> np.ndarray:
    assert found.bounds is not None
    return np.array([sample.lower for sample in found.bounds[0].per_sample], dtype=float)


def logits(model: Path) -> np.ndarray:
    return open_case(AnalyzeOptions(model, "mnist", samples=SAMPLES)).logits.cpu().numpy()


def with_folded_batch_norm(path: Path) -> onnx.ModelProto:
    """BatchNormalization folded by hand into the convolution before it: W gamma/sd, (b - mean) gamma/sd + beta."""
    model = onnx.load(path)
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    convolutions = {node.output[0]: node for node in graph.node if node.op_type == "Conv"}
    for norm in [node for node in graph.node if node.op_type == "BatchNormalization"]:
        convolution = convolutions[norm.input[0]]
        gamma, beta, mean, variance = (numpy_helper.to_array(tensors[name]).astype(float) for name in norm.input[1:5])
        epsilon = next((a.f for a in norm.attribute if a.name == "epsilon"), 1e-5)
        factor = gamma / np.sqrt(variance + epsilon)
        weight, bias = (numpy_helper.to_array(tensors[name]).astype(float) for name in convolution.input[1:3])
        for name, value in (
            (convolution.input[1], weight * factor[:, None, None, None]),
            (convolution.input[2], (bias - mean) * factor + beta),
        ):
            tensors[name].CopyFrom(numpy_helper.from_array(value.astype(np.float32), name))
        convolution.output[0] = norm.output[0]
        graph.node.remove(norm)
    onnx.checker.check_model(model)
    return model


def test_folding_batch_normalization_by_hand_changes_neither_logits_nor_radii(
    sample_models: Path, tmp_path: Path
) -> None:
    original, folded = sample_models / "lenet_bn.onnx", tmp_path / "folded.onnx"
    onnx.save(with_folded_batch_norm(original), folded)
    np.testing.assert_allclose(logits(folded), logits(original), atol=1e-5 * np.abs(logits(original)).max())
    first, second = report(original), report(folded)
    assert [entry.kind for entry in first.normalization] == ["BatchNormalization"] * 2
    assert second.normalization == ()
    np.testing.assert_allclose(radii(second), radii(first), rtol=1e-6)
    for entry in first.normalization:
        assert entry.radius_without == pytest.approx(entry.radius_with, rel=1e-6)
        assert entry.accuracy_without == first.data.accuracy


def written_as(path: Path, form: str) -> onnx.ModelProto:
    """The model with every BatchNormalization, or every Gemm, written in elementary operators.

    Args:
        path: the model.
        form: ``Mul, Add`` (scale, shift), ``Sub, Mul, Add`` (mean, gamma over deviation, beta), ``Sub, Div, Mul, Add``
            (mean, deviation, gamma, beta), or ``MatMul, Add`` for the Gemms.
    """
    model = onnx.load(path)
    graph = model.graph
    tensors = {tensor.name: numpy_helper.to_array(tensor).astype(float) for tensor in graph.initializer}
    replaced = "Gemm" if "MatMul" in form else "BatchNormalization"
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type != replaced:
            nodes.append(node)
            continue
        if replaced == "Gemm":
            operands = {"MatMul": tensors[node.input[1]].T, "Add": tensors[node.input[2]]}
        else:
            gamma, beta, mean, variance = (tensors[name][:, None, None] for name in node.input[1:5])
            deviation = np.sqrt(variance + next(a.f for a in node.attribute if a.name == "epsilon"))
            operands = {
                "Mul, Add": {"Mul": gamma / deviation, "Add": beta - mean * gamma / deviation},
                "Sub, Mul, Add": {"Sub": mean, "Mul": gamma / deviation, "Add": beta},
                "Sub, Div, Mul, Add": {"Sub": mean, "Div": deviation, "Mul": gamma, "Add": beta},
            }[form]
        value, steps = node.input[0], list(operands.items())
        for place, (op, array) in enumerate(steps):
            constant, output = f"{node.output[0]}_{op}", f"{node.output[0]}_{place}"
            output = node.output[0] if place == len(steps) - 1 else output
            graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), constant))
            nodes.append(onnx.helper.make_node(op, [value, constant], [output], f"{constant}_node"))
            value = output
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model


@pytest.mark.parametrize("form", ["Mul, Add", "Sub, Mul, Add", "Sub, Div, Mul, Add", "MatMul, Add"])
def test_batch_normalization_and_dense_layers_in_elementary_operators_are_the_same(
    sample_models: Path, tmp_path: Path, form: str
) -> None:
    original, written = sample_models / "lenet_bn.onnx", tmp_path / "written.onnx"
    onnx.save(written_as(original, form), written)
    graph = open_case(AnalyzeOptions(written, "mnist", samples=1)).graph
    gone = "Gemm" if "MatMul" in form else "BatchNormalization"
    assert gone not in {node.op for node in graph.nodes}
    np.testing.assert_allclose(logits(written), logits(original), atol=1e-5 * np.abs(logits(original)).max())
    one, other = (open_case(AnalyzeOptions(path, "mnist", samples=SAMPLES)) for path in (original, written))
    first, second = (case.layer_bounds.found.radius_certified for case in (one, other))
    assert first is not None
    assert second is not None
    # The constants are rounded to float32 once more, which is all that differs.
    np.testing.assert_allclose(second.numpy(), first.numpy(), rtol=1e-5)
    relus = [choose_cut(case.graph, "last") for case in (one, other)]
    assert relus[0] is not None
    assert relus[1] is not None
    mine, theirs = (
        two_stage_at(case.double, relu).at(case.images[0]) for case, relu in ((one, relus[0]), (other, relus[1]))
    )
    assert mine.skip is theirs.skip is None
    for a, b in ((mine.inner, theirs.inner), (mine.outer, theirs.outer)):
        torch.testing.assert_close(b.weight, a.weight, rtol=1e-5, atol=1e-5 * float(a.weight.abs().max()))
        torch.testing.assert_close(b.bias, a.bias, rtol=1e-5, atol=1e-5 * float(a.bias.abs().max()))


def test_lrn_written_out_by_the_exporter_is_the_lrn_operator(shared_models: Path) -> None:
    native, written_out = (
        shared_models / f"lrn__mnist_lrn_{kind}.onnx" for kind in ("native", "torch_dynamo")
    )  # fmt: skip
    np.testing.assert_allclose(logits(written_out), logits(native), atol=1e-5)
    first, second = report(native), report(written_out)
    np.testing.assert_allclose(radii(second), radii(first), rtol=1e-5)
    assert [entry.recognized_from for entry in first.normalization] == ["op"] * 2
    assert [entry.recognized_from for entry in second.normalization] == ["pattern"] * 2
    for one, other in zip(first.normalization, second.normalization, strict=True):
        assert one.kind == other.kind == "LRN"
        for key in ("lipschitz", "kappa_in", "kappa_out", "radius_with", "radius_without", "accuracy_without"):
            assert getattr(other, key) == pytest.approx(getattr(one, key), rel=1e-5), key
        assert [gain.gain for gain in other.noise_gain] == pytest.approx([g.gain for g in one.noise_gain], rel=1e-5)


@pytest.mark.parametrize(("name", "count"), [("lenet_lrn1", 1), ("lenet_lrn2", 1), ("lenet_lrn3", 2), ("lenet", 0)])
def test_lrn_is_found_in_torchs_default_export(sample_models: Path, name: str, count: int) -> None:
    graph = open_case(AnalyzeOptions(sample_models / f"{name}.onnx", "mnist", samples=1)).graph
    found = [node for node in graph.nodes if node.op == "LRN"]
    assert len(found) == count
    for node in found:
        assert node.recognized_from == "pattern"
        assert {key: node.attributes[key] for key in ("size", "alpha", "beta", "bias")} == pytest.approx(
            {"size": 5, "alpha": 1.0, "beta": 0.75, "bias": 1.0}
        )


def in_products_and_sums(path: Path) -> onnx.ModelProto:
    """Every Gemm as MatMul by the transposed weight and Add, as another exporter writes a dense layer."""
    model = onnx.load(path)
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        if node.op_type != "Gemm":
            nodes.append(node)
            continue
        weight = tensors[node.input[1]]
        if any(item.name == "transB" and item.i for item in node.attribute):
            weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).T.copy(), weight.name))
        product = f"{node.output[0]}_product"
        nodes += [
            onnx.helper.make_node("MatMul", [node.input[0], weight.name], [product], f"{node.name}_product"),
            onnx.helper.make_node("Add", [product, node.input[2]], list(node.output), f"{node.name}_sum"),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model


@pytest.mark.parametrize("norm", ["2", "inf"])
@pytest.mark.parametrize("method", ["crown-ibp", "crown"])
def test_another_export_of_a_network_has_the_same_radii(
    sample_models: Path, tmp_path: Path, norm: str, method: str
) -> None:
    onnx.save(in_products_and_sums(sample_models / "mlp.onnx"), tmp_path / "other.onnx")
    found = [
        bounds(BoundsOptions(path, "mnist", norm=norm, method=method, samples=3, attacks=())).bounds
        for path in (sample_models / "mlp.onnx", tmp_path / "other.onnx")
    ]
    one, other = ([sample.lower or 0.0 for sample in entries[0].per_sample] for entries in found if entries)
    # As exact as the allowance for rounding that every certified radius is lessened by.
    np.testing.assert_allclose(one, other, rtol=1e-6)
    assert min(one) > 0
