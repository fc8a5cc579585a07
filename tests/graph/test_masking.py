"""Minus infinity for every input is a masked class; any other infinity is none."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from models import model, node, weights, write
from onnx import NodeProto, TensorProto

from nmcheck.execute.program import Program
from nmcheck.execute.session import ReferenceSession
from nmcheck.graph.ir import Graph
from nmcheck.graph.load import load_graph
from nmcheck.graph.masking import NEVER

INF = np.inf


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def number(value: float) -> np.ndarray:
    return np.array(value, np.float32)


ROW = floats(0, -INF, 0, 0)
OFF = np.array([[False, True, False, False]])
ONE = {"m": ROW}

Ways = dict[str, tuple[list[NodeProto], dict[str, np.ndarray], tuple[int, ...]]]
"""Nodes from the logits z to the output y, their weights, and the classes masked."""
FOUND: Ways = {
    "added": ([node("Add", ["z", "m"])], ONE, (1,)),
    "added from the left": ([node("Add", ["m", "z"])], ONE, (1,)),
    "added to other numbers": ([node("Add", ["z", "m"])], {"m": ROW + floats(1, 0, 2, 0)}, (1,)),
    "subtracted": ([node("Sub", ["z", "m"])], {"m": -ROW}, (1,)),
    "subtracted from": ([node("Sub", ["m", "z"])], ONE, (1,)),
    "picked": ([node("Where", ["c", "m", "z"])], {"c": OFF, "m": number(-INF)}, (1,)),
    "left over": ([node("Where", ["c", "z", "m"])], {"c": ~OFF, "m": np.full((1, 4), -INF, np.float32)}, (1,)),
    "joined": ([node("Concat", ["z", "m"], axis=-1)], {"m": np.full((1, 2), -INF, np.float32)}, (4, 5)),
    "two at once": ([node("Add", ["z", "m"])], {"m": floats(-INF, 0, -INF, 0)}, (0, 2)),
    "one after the other": (
        [node("Add", ["z", "m"], ["a"]), node("Where", ["c", "v", "a"])],
        {**ONE, "c": np.array([[False, True, False, True]]), "v": number(-INF)},
        (1, 3),
    ),
    "twice": ([node("Add", ["z", "m"], ["a"]), node("Add", ["a", "m"])], ONE, (1,)),
    "one taken back": (
        [node("Add", ["z", "m"], ["a"]), node("Where", ["c", "v", "a"])],
        {"m": floats(-INF, -INF, 0, 0), "c": np.array([[True, False, False, False]]), "v": number(0.5)},
        (1,),
    ),
    "and scaled": ([node("Add", ["z", "m"], ["a"]), node("Div", ["a", "t"])], {**ONE, "t": number(3)}, (1,)),
    "and multiplied": (
        [node("Add", ["z", "m"], ["a"]), node("Mul", ["t", "a"])], {**ONE, "t": floats(1, 2, 3, -4)}, (1,),
    ),
    "and shifted": ([node("Add", ["z", "m"], ["a"]), node("Add", ["a", "b"])], {**ONE, "b": weights(4)}, (1,)),
    "and reshaped": (
        [node("Add", ["z", "m"], ["a"]), node("Reshape", ["a", "s"], ["r"]), node("Flatten", ["r"])],
        {**ONE, "s": np.array([-1, 2, 2])},
        (1,),
    ),
    "and cast": ([node("Add", ["z", "m"], ["a"]), node("Cast", ["a"], to=TensorProto.FLOAT)], ONE, (1,)),
    "and softmax": ([node("Add", ["z", "m"], ["a"]), node("Softmax", ["a"])], ONE, (1,)),
    "and the softmax's logarithm": ([node("Add", ["z", "m"], ["a"]), node("LogSoftmax", ["a"])], ONE, (1,)),
    "and the class": ([node("Add", ["z", "m"], ["a"]), node("ArgMax", ["a"], axis=1)], ONE, (1,)),
    "in half precision": (
        [node("Cast", ["h"], ["m"], to=TensorProto.FLOAT), node("Add", ["z", "m"])],
        {"h": ROW.astype(np.float16)},
        (1,),
    ),
}  # fmt: skip
LEFT: Ways = {
    "plus infinity": ([node("Add", ["z", "m"])], {"m": -ROW}, ()),
    "no number": ([node("Add", ["z", "m"])], {"m": floats(0, np.nan, 0, 0)}, ()),
    "every class": ([node("Add", ["z", "m"])], {"m": number(-INF)}, ()),
    "a condition that depends on the sample": (
        [node("Less", ["z", "o"], ["c"]), node("Where", ["c", "m", "z"])],
        {"o": number(0), "m": number(-INF)},
        (),
    ),
    "a factor that depends on the sample's sign": ([node("Mul", ["z", "m"])], {"m": floats(1, -INF, 1, 1)}, ()),
    "turned over": ([node("Add", ["z", "m"], ["a"]), node("Mul", ["a", "t"])], {**ONE, "t": number(-1)}, ()),
    "times zero": ([node("Add", ["z", "m"], ["a"]), node("Mul", ["a", "t"])], {**ONE, "t": floats(1, 0, 1, 1)}, ()),
    "subtracted again": ([node("Add", ["z", "m"], ["a"]), node("Sub", ["b", "a"])], {**ONE, "b": weights(4)}, ()),
    "in front of a ReLU": ([node("Add", ["z", "m"], ["a"]), node("Relu", ["a"])], ONE, ()),
}  # fmt: skip


def loaded(folder: Path, nodes: Sequence[NodeProto], arrays: dict[str, np.ndarray]) -> Graph:
    whole = [node("MatMul", ["x", "W"], ["u"]), node("Relu", ["u"], ["h0"]), node("MatMul", ["h0", "V"], ["z"]), *nodes]
    kind = TensorProto.INT64 if nodes[-1].op_type == "ArgMax" else TensorProto.FLOAT
    made = model(whole, ("N", 5), {"W": weights(5, 6), "V": weights(6, 4), **arrays}, output_type=kind)
    return load_graph(write(made, folder))


def agrees(graph: Graph, masked: tuple[int, ...]) -> None:
    """The graph has finite numbers only, and is the file but for the masked classes."""
    assert graph.masked == masked
    x = np.random.default_rng(0).standard_normal((7, 5)).astype(np.float32)
    theirs = ReferenceSession(graph, threads=1).run(x)
    for dtype in (torch.float32, torch.float64):
        program, inputs = Program(graph, dtype), torch.from_numpy(x).to(dtype)[:, None]
        np.testing.assert_allclose(program.output(inputs).numpy(), theirs, rtol=1e-5, atol=1e-6)
        logits = program(inputs)
        assert torch.isfinite(logits).all()
        assert (logits[:, list(masked)] == NEVER).all()
        assert not torch.isin(logits.argmax(dim=1), torch.tensor(masked)).any()
    slope = torch.func.jacrev(program.function(graph.input, graph.logits))(torch.ones(1, 5).double())
    assert not slope.reshape(logits.shape[1], -1)[list(masked)].any()


@pytest.mark.parametrize("way", FOUND)
def test_a_constant_mask_is_found(tmp_path: Path, way: str) -> None:
    nodes, arrays, masked = FOUND[way]
    graph = loaded(tmp_path, nodes, arrays)
    agrees(graph, masked)
    assert all(np.isfinite(array).all() for array in graph.constants.values() if array.dtype.kind == "f")
    assert "masked" in graph.notes[-1]
    # Reports and viewers find nodes by their names and by the values they write.
    file = {*(name for one in nodes for name in one.output), "u", "h0", "z"}
    assert {node.outputs[0] for node in graph.nodes if node.index >= 0} <= file


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_mask_in_the_bias_of_the_last_layer_is_found(tmp_path: Path, transposed: int) -> None:
    weight = weights(4, 4).T if transposed else weights(4, 4)
    nodes = [node("Relu", ["z"], ["h"]), node("Gemm", ["h", "D", "b"], transB=transposed)]
    agrees(loaded(tmp_path, nodes, {"D": weight, "b": floats(0.5, -INF, 0.25, -INF)}), (1, 3))


@pytest.mark.parametrize("way", LEFT)
def test_another_infinity_stays_one(tmp_path: Path, way: str) -> None:
    nodes, arrays, _ = LEFT[way]
    graph = loaded(tmp_path, nodes, arrays)
    assert graph.masked == ()
    assert not any("masked" in note for note in graph.notes)


def test_a_mask_that_others_read_stays_in_the_file(tmp_path: Path) -> None:
    # The other reader would see finite numbers where the file has none.
    nodes = [node("Add", ["z", "m"], ["a"]), node("Exp", ["a"], ["e"]), node("Add", ["a", "e"])]
    assert loaded(tmp_path, nodes, ONE).masked == ()


def test_only_what_the_graph_has_as_masked_is_filled_in(tmp_path: Path) -> None:
    nodes = [node("Relu", ["z"], ["r"]), node("Log", ["r"], ["l"]), node("Add", ["l", "m"])]
    graph = loaded(tmp_path, nodes, ONE)
    assert graph.masked == (1,)
    found = ReferenceSession(graph, threads=1).run(-np.ones((1, 5), np.float32)).reshape(1, 4)
    assert found[0, 1] == np.float32(NEVER)
    assert np.isneginf(np.delete(found[0], 1)).any()
