"""Operators replaced by those ONNX defines them by compute what onnxruntime computes."""

from typing import Any

import numpy as np
import pytest
import torch
from models import model, node, weights, write

from nmcheck.errors import UnsupportedError
from nmcheck.execute.comparison import relative_difference
from nmcheck.execute.program import Program
from nmcheck.execute.session import ReferenceSession
from nmcheck.graph.load import load_graph

TOKENS, WIDTH = 5, 8
MASK = np.where(weights(TOKENS, TOKENS) > -1, 0, -np.inf).astype(np.float32)
BLOCKED = np.where(np.arange(TOKENS)[:, None] == 2, False, weights(TOKENS, TOKENS) > -1)


def self_attention(opset, *, kv_width=WIDTH, mask=None, **attributes):
    """Queries, keys and values of one sequence by three matrices."""
    arrays = {"q": weights(WIDTH, WIDTH), "k": weights(WIDTH, kv_width), "v": weights(WIDTH, kv_width, seed=3)}
    nodes = [node("MatMul", ["x", name], [name.upper()]) for name in arrays]
    inputs = ["Q", "K", "V"]
    if mask is not None:
        arrays["mask"] = mask
        inputs.append("mask")
    nodes.append(node("Attention", inputs, **attributes))
    return model(nodes, ("N", TOKENS, WIDTH), arrays, opset=opset, ir_version=10)


def rotary(**attributes):
    """Positions turned into angles, for two heads."""
    angles = weights(TOKENS, WIDTH // 4)
    arrays = {"cos": np.cos(angles), "sin": np.sin(angles), "at": np.arange(TOKENS)[None], "w": weights(WIDTH, 3)}
    nodes = [
        node("RotaryEmbedding", ["x", "cos", "sin", "at"], ["r"], num_heads=2, **attributes),
        node("MatMul", ["r", "w"]),
    ]
    return model(nodes, (1, TOKENS, WIDTH), arrays, opset=23, ir_version=10)


HEADS: dict[str, Any] = {"q_num_heads": 2, "kv_num_heads": 2}
CASES = {
    "plain": self_attention(23, **HEADS),
    "newer": self_attention(25, **HEADS),
    "one-head": self_attention(24, q_num_heads=1, kv_num_heads=1),
    "scale": self_attention(23, scale=0.3, **HEADS),
    "causal": self_attention(23, is_causal=1, **HEADS),
    "softcap": self_attention(23, softcap=2.0, **HEADS),
    "mask": self_attention(23, mask=MASK, **HEADS),
    "blocked": self_attention(23, mask=BLOCKED | np.eye(TOKENS, dtype=bool), **HEADS),
    "grouped": self_attention(23, kv_width=4, q_num_heads=4, kv_num_heads=2),
    "rotary": rotary(),
    "rotary-interleaved": rotary(interleaved=1),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_onnxruntime(tmp_path, name):
    graph = load_graph(write(CASES[name], tmp_path))
    assert not {"Attention", "RotaryEmbedding"} & {entry.op for entry in graph.nodes}
    assert sum("that ONNX defines it by" in note for note in graph.notes) == 1
    assert graph.declared_batch == (1 if "rotary" in name else None)
    x = weights(4, *graph.shapes["x"])
    ours = Program(graph).output(torch.from_numpy(x)).numpy()
    assert relative_difference(ours, ReferenceSession(graph, threads=1).run(x)) <= 1e-5


def test_an_unread_output_needs_nothing(tmp_path):
    made = self_attention(23, **HEADS)
    made.graph.node[-1].output.extend(["", "", "weights"])
    graph = load_graph(write(made, tmp_path))
    plain = load_graph(write(CASES["plain"], tmp_path, "plain.onnx"))
    x = torch.from_numpy(weights(2, *graph.shapes["x"]))
    assert torch.equal(Program(graph).output(x), Program(plain).output(x))


def test_names_of_nodes_and_values_stay_apart(tmp_path):
    made = self_attention(23, **HEADS)
    made.graph.node[-1].output[0] = "once"
    made.graph.node.append(node("Attention", ["once", "once", "once"], **HEADS))
    graph = load_graph(write(made, tmp_path))
    assert len(graph.by_name) == len(graph.nodes)
    x = weights(2, *graph.shapes["x"])
    ours = Program(graph).output(torch.from_numpy(x)).numpy()
    assert relative_difference(ours, ReferenceSession(graph, threads=1).run(x)) <= 1e-5


def test_what_onnx_does_not_define_is_refused(tmp_path):
    with pytest.raises(UnsupportedError, match=r"'Attention_3' \(Attention\): ONNX does not define"):
        load_graph(write(self_attention(23, softmax_precision=7, **HEADS), tmp_path))


def test_a_cast_like_a_live_value_is_a_constant(tmp_path):
    nodes = [node("CastLike", ["c", "x"], ["d"]), node("Mul", ["x", "d"])]
    graph = load_graph(write(model(nodes, ("N", 3), {"c": np.array([1, 2, 3])}), tmp_path))
    assert [entry.op for entry in graph.nodes] == ["Mul"]
    assert Program(graph).output(torch.ones(1, 1, 3)).tolist() == [[[1.0, 2.0, 3.0]]]


@pytest.mark.parametrize(
    ("condition", "ops"),
    [([False], ["Identity"]), ([True] * 3, ["Neg", "Identity"]), ([True, False, True], ["Neg", "Where"])],
)
def test_a_choice_that_is_known_is_no_choice(tmp_path, condition, ops):
    nodes = [node("Neg", ["x"], ["n"]), node("Where", ["c", "n", "x"])]
    graph = load_graph(write(model(nodes, ("N", 3), {"c": np.array(condition)}), tmp_path))
    assert [entry.op for entry in graph.nodes] == ops
    x = weights(2, 1, 3)
    np.testing.assert_array_equal(
        Program(graph).output(torch.from_numpy(x)).numpy(), np.where(np.array(condition), -x, x)
    )


def test_a_choice_that_widens_stays(tmp_path):
    nodes = [node("Where", ["c", "x", "zeros"])]
    arrays = {"c": np.ones(1, bool), "zeros": np.zeros((4, 1, 3), np.float32)}
    graph = load_graph(write(model(nodes, (1, 3), arrays), tmp_path))
    assert [entry.op for entry in graph.nodes] == ["Where"]
