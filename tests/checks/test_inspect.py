import json
from math import prod
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from jsonschema import Draft202012Validator
from models import mlp, model, node, residual, weights, write
from onnx import TensorProto

from nmcheck.affine import AffineMap
from nmcheck.checks.bounds_options import BoundsOptions
from nmcheck.checks.bounds_report import bounds
from nmcheck.checks.cut import choose_cut
from nmcheck.checks.inspect import inspect
from nmcheck.errors import ModelError, UnsupportedError, UsageError
from nmcheck.graph.cuts import relu_cuts
from nmcheck.graph.load import load_graph
from nmcheck.reports.json import to_json
from nmcheck.results.inspection import Inspection
from nmcheck.results.schema import inspection_schema


def checked(path: Path) -> Inspection:
    found = inspect(path)
    Draft202012Validator(inspection_schema()).validate(json.loads(to_json(found)))
    return found


def possible(found: Inspection) -> tuple[bool, bool, bool]:
    return found.analyzable.execute, found.analyzable.moments, found.analyzable.bounds


def attention(*, normalized: bool) -> onnx.ModelProto:
    """Tokens of the image attend to each other; then ReLU and a classifier."""
    nodes = [
        node("MatMul", ("x", "Q"), ("q",), name="queries"),
        node("MatMul", ("x", "K"), ("k",), name="keys"),
        node("Transpose", ("k",), ("kt",), perm=[0, 2, 1]),
        node("MatMul", ("q", "kt"), ("scores",), name="scores"),
        node("Softmax", ("scores",), ("a",), name="softmax"),
        node("MatMul", ("a", "x"), ("mixed",), name="mix"),
        node("LayerNormalization", ("mixed", "g"), ("n",), name="norm")
        if normalized
        else node("Identity", ("mixed",), ("n",)),
        node("Flatten", ("n",), ("f",)),
        node("Gemm", ("f", "W0"), ("z",)),
        node("Relu", ("z",), ("h",), name="relu"),
        node("Gemm", ("h", "W1"), ("y",)),
    ]
    arrays = {"Q": weights(4, 4), "K": weights(4, 4), "g": weights(4), "W0": weights(12, 5), "W1": weights(5, 3)}
    return model(nodes, (1, 3, 4), arrays)


def test_sample_models_can_be_analysed(sample_models):
    for path in sorted(sample_models.glob("*.onnx")):
        found = checked(path)
        assert possible(found) == (True, True, True)
        assert found.reasons == ()
        assert sum(entry.count for entry in found.operators) == found.model.nodes
        assert [entry.node for entry in found.cuts] == [cut.name for cut in relu_cuts(load_graph(path))]
        assert {entry.kind for entry in found.cuts} == {"cut"}


def test_normalization_is_found_as_an_operator_and_decomposed(sample_models):
    assert [
        (entry.kind, entry.recognized_from) for entry in checked(sample_models / "lenet_lrn3.onnx").normalization
    ] == [("LRN", "pattern")] * 2
    batch_norm = checked(sample_models / "lenet_bn.onnx").normalization
    assert [(entry.kind, entry.recognized_from) for entry in batch_norm] == [("BatchNormalization", "op")] * 2
    assert checked(sample_models / "lenet.onnx").normalization == ()


def test_memory_is_that_of_the_matrices(tmp_path):
    found = checked(write(mlp((6, 5, 4, 3)), tmp_path))
    for entry, p in zip(found.cuts, (5, 4), strict=True):
        assert (entry.p, entry.n, entry.d) == (p, 6, 3)
        maps = [AffineMap(torch.zeros(a, b, dtype=torch.float64), torch.zeros(a)) for a, b in ((p, 6), (3, p))]
        assert entry.dense_bytes == sum(map_.weight.nbytes for map_ in maps)


def test_a_residual_network_has_cuts_and_skips(tmp_path):
    found = checked(write(residual(), tmp_path))
    assert [(entry.node, entry.kind) for entry in found.cuts] == [("r0", "cut"), ("r1", "skip"), ("r2", "cut")]
    assert found.relus == 3
    cut, skip, _ = found.cuts
    assert (cut.p, cut.n, cut.d) == (skip.p, skip.n, skip.d) == (5, 4, 3)
    assert skip.dense_bytes - cut.dense_bytes == 8 * 4 * 3
    assert possible(found) == (True, True, True)


@pytest.mark.parametrize("normalized", [False, True])
def test_attention_has_moments_and_its_bounds_are_refused_by_name(normalized, tmp_path):
    found = checked(write(attention(normalized=normalized), tmp_path))
    assert possible(found) == (True, True, False)
    entries = {entry.op: entry for entry in found.operators}
    assert entries["MatMul"].count == 4
    assert all(entry.execute and entry.moments for entry in found.operators)
    refused = {op for op, entry in entries.items() if not entry.bounds}
    assert refused == {"MatMul", "Softmax"} | ({"LayerNormalization"} if normalized else set())
    assert "bounds: scores (MatMul)" in entries["MatMul"].reason
    assert "1 more such node" in entries["MatMul"].reason
    assert all(entry.reason in found.reasons for entry in found.operators if entry.reason)
    assert ("LayerNormalization" in {entry.kind for entry in found.normalization}) == normalized
    assert [entry.node for entry in found.cuts] == ["relu"]


def gated(*others: onnx.NodeProto) -> onnx.ModelProto:
    """A product of two activations, which has lines and no Lipschitz constant; then other nodes, from h to r."""
    nodes = [
        node("Gemm", ("x", "W"), ("a",)),
        node("Tanh", ("a",), ("s",)),
        node("Mul", ("a", "s"), ("h",), name="gate"),
        *others,
        node("Gemm", ("r" if others else "h", "V")),
    ]
    return model(nodes, (1, 4), {"W": weights(4, 5), "V": weights(1 if others else 5, 3)})


def test_a_network_that_only_relaxation_certifies_has_bounds_and_a_note(tmp_path):
    path = write(gated(), tmp_path)
    found = checked(path)
    assert possible(found) == (True, True, True)
    assert found.reasons == ()
    (note,) = [note for note in found.notes if "by linear relaxation only" in note]
    assert "gate (Mul)" in note
    np.savez(tmp_path / "x.npz", x=weights(2, 4))
    report = bounds(BoundsOptions(path, str(tmp_path / "x.npz"), value_range=(-9.0, 9.0), attacks=(), method="crown"))
    assert report.bounds is not None
    assert all(one.lower is not None and one.lower > 0 for one in report.bounds[0].per_sample)


def test_a_network_that_only_constants_certify_says_so(tmp_path):
    norm = node("ReduceL2", ("z",), ("r",), name="norm", axes=[1], keepdims=1)
    nodes = [node("Gemm", ("x", "W"), ("z",)), norm, node("Gemm", ("r", "V"))]
    found = checked(write(model(nodes, (1, 4), {"W": weights(4, 5), "V": weights(1, 3)}), tmp_path))
    assert possible(found) == (True, True, True)
    (note,) = [note for note in found.notes if "by Lipschitz constants only" in note]
    assert "norm (ReduceL2)" in note


def test_what_no_single_method_passes_has_no_bounds(tmp_path):
    norm = node("ReduceL2", ("h",), ("r",), name="norm", axes=[1], keepdims=1)
    path = write(gated(norm), tmp_path)
    found = checked(path)
    assert possible(found) == (True, True, False)
    assert all(entry.bounds for entry in found.operators)
    (reason,) = found.reasons
    assert reason.startswith("bounds: no method passes all nodes")
    assert reason.index("gate (Mul)") < reason.index("norm (ReduceL2)")
    np.savez(tmp_path / "x.npz", x=weights(2, 4))
    asked = BoundsOptions(path, str(tmp_path / "x.npz"), value_range=(-9.0, 9.0), attacks=(), method="auto")
    report = bounds(asked)
    assert report.bounds is not None
    assert all(one.lower is None for one in report.bounds[0].per_sample)


def test_a_softmax_behind_the_logits_is_in_nobodys_way(tmp_path):
    nodes = [
        node("Gemm", ("x", "W"), ("z",)),
        node("Relu", ("z",), ("h",)),
        node("Gemm", ("h", "V"), ("l",)),
        node("Softmax", ("l",)),
    ]
    found = checked(write(model(nodes, ("N", 4), {"W": weights(4, 5), "V": weights(5, 3)}), tmp_path))
    assert possible(found) == (True, True, True)
    assert found.model.logits == "l"
    assert any("Softmax" in note for note in found.notes)


def test_rounding_refuses_moments_and_bounds(tmp_path):
    nodes = [
        node("Gemm", ("x", "W"), ("z",)),
        node("Relu", ("z",), ("h",)),
        node("Round", ("h",), ("r",), name="steps"),
        node("Gemm", ("r", "V")),
    ]
    found = checked(write(model(nodes, ("N", 4), {"W": weights(4, 5), "V": weights(5, 3)}), tmp_path))
    assert possible(found) == (True, False, False)
    assert [reason.split(":")[0] for reason in found.reasons] == ["moments", "bounds"]
    assert all("steps (Round)" in reason for reason in found.reasons)


def test_without_execution_nothing_is_possible(tmp_path):
    nodes = [node("Det", ("x",), ("t",), name="odd"), node("Mul", ("t", "c"))]
    found = checked(write(model(nodes, (1, 3, 3), {"c": weights(4)}), tmp_path))
    assert possible(found) == (False, False, False)
    entries = {entry.op: entry for entry in found.operators}
    det = entries["Det"]
    assert (det.execute, det.moments, det.bounds) == (False, False, False)
    assert det.reason.startswith("execute: node 'odd': operator 'Det'")
    assert entries["Mul"].execute


def test_a_use_that_is_not_executed_is_named(tmp_path):
    nodes = [node("Resize", ("x", "", "s"), ("r",), name="cubic", mode="cubic"), node("Flatten", ("r",))]
    scales = {"s": np.array([1, 1, 2, 2], np.float32)}
    found = checked(write(model(nodes, (1, 1, 4, 4), scales), tmp_path))
    assert not found.analyzable.execute
    assert "cubic" in found.reasons[0]
    assert str(tmp_path) not in found.reasons[0]


def test_a_model_without_relu_is_inspected(tmp_path):
    nodes = [node("Gemm", ("x", "W"), ("z",)), node("Tanh", ("z",), ("t",)), node("Gemm", ("t", "V"))]
    found = checked(write(model(nodes, (1, 4), {"W": weights(4, 5), "V": weights(5, 3)}), tmp_path))
    assert (found.relus, found.cuts) == (0, ())
    assert possible(found) == (True, True, True)


def test_relu_decomposable_activations_are_listed_with_their_operator(tmp_path):
    nodes = [
        node("Gemm", ("x", "W"), ("a",)),
        node("PRelu", ("a", "s"), ("b",), name="prelu"),
        node("Gemm", ("b", "V"), ("c",)),
        node("Clip", ("c", "zero"), ("d",), name="floor"),
        node("Clip", ("d", "zero", "six"), ("e",), name="relu6"),
        node("Max", ("e", "s"), ("f",), name="maximum"),
        node("Relu", ("f",), ("g",), name="relu"),
        node("Gemm", ("g", "U")),
    ]
    numbers = {name: np.array(value, np.float32) for name, value in (("zero", 0), ("six", 6))}
    arrays = {"W": weights(4, 5), "V": weights(5, 5), "U": weights(5, 3), "s": weights(5), **numbers}
    found = checked(write(model(nodes, ("N", 4), arrays), tmp_path))
    assert [(entry.node, entry.op, entry.kind) for entry in found.cuts] == [
        ("prelu", "PRelu", "skip"),
        ("floor", "Clip", "cut"),
        ("relu6", "Clip", "skip"),
        ("maximum", "Max", "cut"),
        ("relu", "Relu", "cut"),
    ]
    assert found.relus == 1
    assert possible(found) == (True, True, True)
    assert found.cuts[0].dense_bytes - found.cuts[1].dense_bytes == 8 * 4 * 3


def test_a_network_of_leaky_relus_has_moments(tmp_path):
    nodes = [node("Gemm", ("x", "W"), ("z",)), node("LeakyRelu", ("z",), ("t",)), node("Gemm", ("t", "V"))]
    found = checked(write(model(nodes, (1, 4), {"W": weights(4, 5), "V": weights(5, 3)}), tmp_path))
    assert (found.relus, len(found.cuts)) == (0, 1)
    assert possible(found) == (True, True, True)
    assert found.reasons == ()


def test_a_single_logit_and_constant_logits_have_nothing_to_flip(tmp_path):
    single = checked(write(model([node("Gemm", ("x", "W"))], (1, 4), {"W": weights(4, 1)}), tmp_path, "one.onnx"))
    assert possible(single) == (True, False, False)
    nodes = [node("Shape", ("x",), ("s",)), node("Cast", ("s",), to=TensorProto.FLOAT)]
    constant = checked(write(model(nodes, (1, 4)), tmp_path))
    assert possible(constant) == (True, False, False)
    assert constant.operators == ()


def test_cuts_beyond_the_memory_allowed_are_said(tmp_path, monkeypatch):
    path = write(mlp((6, 5, 4, 3)), tmp_path)
    assert [entry.within_budget for entry in checked(path).cuts] == [True, True]
    monkeypatch.setattr("nmcheck.linearize.budget.LARGEST_MATRIX", 8 * 3 * (6 + 4))
    assert [entry.within_budget for entry in checked(path).cuts] == [False, True]
    with pytest.raises(UsageError, match="GiB allowed"):
        choose_cut(load_graph(path), checked(path).cuts[0].node)


def test_weights_and_batch_are_counted(tmp_path):
    found = checked(write(mlp((6, 5, 3)), tmp_path)).model
    assert found.weights == 6 * 5 + 5 + 5 * 3 + 3
    assert found.weight_bytes == 4 * found.weights
    assert found.batch == "any"
    assert checked(write(attention(normalized=False), tmp_path)).model.batch == "1"


def test_a_model_that_cannot_be_read_is_an_error(tmp_path):
    (tmp_path / "no.onnx").write_text("no model")
    with pytest.raises(ModelError, match=r"no\.onnx"):
        inspect(tmp_path / "no.onnx")


def test_shared_models_are_inspected_or_refused_in_one_sentence(shared_models):
    inspected = 0
    for path in sorted(shared_models.rglob("*.onnx")):
        if path.stem in ("marabou__multiInput_add", "marabou__oneInput_twoBranches", "dropout_training_mode_true"):
            with pytest.raises(UnsupportedError, match=r"^[^\n]*\.onnx: [^\n]*$"):
                inspect(path)
            continue
        found = checked(path)
        inspected += 1
        assert found.analyzable.execute
        graph = load_graph(path)
        assert found.model.classes == prod(graph.shapes[graph.logits])
        assert found.relus == sum(entry.op == "Relu" for entry in found.cuts)
    assert inspected >= 50
