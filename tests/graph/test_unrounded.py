"""Weights that a file multiplies by each other are multiplied in double precision."""

import math

import numpy as np
import pytest
import torch
from models import model, node, weights, write
from onnx import TensorProto, helper

import nmcheck.graph.unrounded
from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph

A, B = weights(4, 5), weights(5, 3)
EXACT = A.astype(np.float64) @ B.astype(np.float64)


def loaded(tmp_path, *nodes, **arrays):
    """x times 'w', which the nodes make of A and B."""
    made = model([*nodes, node("MatMul", ["x", "w"])], ("N", 4), {"A": A, "B": B, **arrays})
    return load_graph(write(made, tmp_path))


CASES = {
    "product": ([node("MatMul", ["A", "B"], ["w"])], EXACT),
    "moved": (
        [node("MatMul", ["A", "B"], ["p"]), node("Transpose", ["p"], ["t"]), node("Transpose", ["t"], ["w"])], EXACT
    ),
    "cast": ([node("MatMul", ["A", "B"], ["p"]), node("Cast", ["p"], ["w"], to=TensorProto.FLOAT)], EXACT),
    "chain": (
        [node("MatMul", ["A", "B"], ["p"]), node("Sqrt", ["two"], ["root"]), node("Mul", ["p", "root"], ["w"])],
        EXACT * np.sqrt(2.0),
    ),
    "norm": (
        [node("ReduceL2", ["A"], ["n"], axes=[0], keepdims=0), node("Unsqueeze", ["n", "axis"], ["m"]),
         node("Mul", ["m", "B"], ["v"]), node("MatMul", ["A", "v"], ["w"])],
        A.astype(np.float64) @ (np.linalg.norm(A.astype(np.float64), axis=0)[:, None] * B.astype(np.float64)),
    ),
    "error function": (
        [node("MatMul", ["A", "B"], ["p"]), node("Erf", ["p"], ["w"])], np.vectorize(math.erf)(EXACT)
    ),
    "branch": (
        [node("MatMul", ["A", "B"], ["p"]), node("Identity", ["p"], ["i"]), node("Div", ["i", "two"], ["w"])],
        EXACT / 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_number_before_rounding(tmp_path, name):
    nodes, wanted = CASES[name]
    graph = loaded(tmp_path, *nodes, two=np.array(2, np.float32), axis=np.array([1]))
    found = graph.constants["w"]
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, wanted, rtol=1e-14, atol=1e-15)
    assert np.any(found != found.astype(np.float32))
    out = Program(graph, torch.float64).output(torch.ones(1, 1, 4, dtype=torch.float64)).numpy()
    np.testing.assert_allclose(out[0, 0], wanted.sum(axis=0), rtol=1e-13)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_numbers_of_half_precision_are_not_rounded_to_it_again(tmp_path, kind):
    """x by the root of two: the root that float16 makes of 2 is off by 4e-4."""
    two = np.array(2, helper.tensor_dtype_to_np_dtype(kind))
    nodes = [node("Sqrt", ["two"], ["r"]), node("Cast", ["r"], ["c"], to=TensorProto.FLOAT), node("Div", ["x", "c"])]
    graph = load_graph(write(model(nodes, ("N", 4), {"two": two}), tmp_path))
    assert graph.constants["c"].item() == math.sqrt(2)
    assert graph.half
    out = Program(graph, torch.float64).output(torch.ones(1, 1, 4, dtype=torch.float64))
    assert out[0, 0, 0].item() == pytest.approx(math.sqrt(0.5), rel=1e-15)


def test_a_cast_to_a_wider_type_and_what_is_made_of_it_stay_as_they_were_before_rounding(tmp_path):
    nodes = [
        node("MatMul", ["A", "B"], ["p"]), node("Cast", ["p"], ["d"], to=TensorProto.DOUBLE),
        node("Mul", ["d", "third"], ["w"]), node("Cast", ["x"], ["u"], to=TensorProto.DOUBLE),
        node("MatMul", ["u", "w"]),
    ]  # fmt: skip
    third = np.array(1 / 3)
    made = model(nodes, ("N", 4), {"A": A, "B": B, "third": third}, output_type=TensorProto.DOUBLE)
    found = load_graph(write(made, tmp_path)).constants["w"]
    np.testing.assert_allclose(found, EXACT * third, rtol=1e-14, atol=1e-15)


def test_a_cast_to_a_narrower_type_rounds(tmp_path):
    nodes = [
        node("MatMul", ["A", "B"], ["p"]), node("Cast", ["p"], ["h"], to=TensorProto.FLOAT16),
        node("Cast", ["h"], ["w"], to=TensorProto.FLOAT),
    ]  # fmt: skip
    graph = loaded(tmp_path, *nodes)
    np.testing.assert_array_equal(graph.constants["w"], (A @ B).astype(np.float16))


def test_a_step_decides_on_the_rounded_number(tmp_path):
    # 0.1 in float32 is a little more than 0.1, and thirty times that is 3 in float32, more than 3 in float64.
    tenth, thirty = np.array(0.1, np.float32), np.array(30, np.float32)
    assert tenth * thirty == 3 < float(tenth) * 30.0
    nodes = [
        node("Mul", ["tenth", "thirty"], ["three"]), node("Ceil", ["three"], ["c"]), node("MatMul", ["A", "B"], ["p"]),
        node("Mul", ["p", "c"], ["w"]),
    ]  # fmt: skip
    graph = loaded(tmp_path, *nodes, tenth=tenth, thirty=thirty)
    np.testing.assert_allclose(graph.constants["w"], 3 * EXACT, rtol=1e-14)


def test_weights_as_they_stand_are_not_copied(tmp_path):
    graph = loaded(tmp_path, node("Concat", ["A", "A"], ["w"], axis=1))
    assert graph.constants["w"].dtype == np.float32


def test_more_than_there_is_room_for_stays_rounded(tmp_path, monkeypatch):
    monkeypatch.setattr(nmcheck.graph.unrounded, "MAX_BYTES", 8 * EXACT.size - 1)
    graph = loaded(tmp_path, node("MatMul", ["A", "B"], ["w"]))
    assert graph.constants["w"].dtype == np.float32
    assert any("some are rounded as the file rounds them" in note for note in graph.notes)
