"""Equal logits are read off the weights, and nothing else is taken for equal."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from models import model, node, weights, write
from onnx import NodeProto
from tied_networks import rounds_by_place

from nmcheck.execute.program import Program
from nmcheck.graph.equal_logits import equal_logits
from nmcheck.graph.load import load_graph

ORDER = [0, 1, 0, 2, 1, 0]
FIRST = [0, 1, 0, 3, 1, 0]
DIFFERENT = [0, 1, 2, 3, 4, 5]


def rows(*shape: int) -> np.ndarray:
    """As many rows as there are classes, some of them equal."""
    return weights(3, *shape)[ORDER]


Case = tuple[tuple[int | str, ...], Sequence[NodeProto], dict[str, np.ndarray]]
BIAS = weights(6)
LAST, INNER = node("Gemm", ["x", "w"], transB=1), node("Gemm", ["x", "w"], ["z"], transB=1)
FLAT = node("Flatten", ["c"])
NORMALIZED = [
    node("Conv", ["x", "w"], ["c"]),
    node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"]),
    node("Flatten", ["n"]),
]
EQUAL: dict[str, Case] = {
    "gemm": (("N", 7), [node("Gemm", ["x", "w", "b"], transB=1)], {"w": rows(7), "b": rows()}),
    "gemm not transposed": (("N", 7), [node("Gemm", ["x", "w"])], {"w": rows(7).T.copy()}),
    "matmul and bias": (
        ("N", 7),
        [node("MatMul", ["x", "w"], ["z"]), node("Add", ["b", "z"])],
        {"w": rows(7).T.copy(), "b": rows()},
    ),
    "matrix times vector": ((7,), [node("MatMul", ["w", "x"])], {"w": rows(7)}),
    "matrix times column": ((7, 1), [node("MatMul", ["w", "x"])], {"w": rows(7)}),
    "relu behind": (("N", 7), [INNER, node("Relu", ["z"])], {"w": rows(7)}),
    "factors and clip behind": (
        ("N", 7),
        [INNER, node("Mul", ["z", "f"], ["s"]), node("Clip", ["s", "low"])],
        {"w": rows(7), "f": rows(), "low": np.array(-1, "f")},
    ),
    "softmax left out": (("N", 7), [INNER, node("Softmax", ["z"])], {"w": rows(7)}),
    "zeros of either sign": (
        ("N", 2),
        [LAST],
        {"w": np.array([[0, 1], [2, 3], [-0.0, 1], [4, 5], [2, 3], [0, 1]], "f")},
    ),
    "convolution and global average": (
        ("N", 2, 5, 5),
        [node("Conv", ["x", "w", "b"], ["c"]), node("GlobalAveragePool", ["c"], ["p"]), node("Flatten", ["p"])],
        {"w": rows(2, 3, 3), "b": rows()},
    ),
    "convolution, relu, mean": (
        ("N", 2, 5, 5),
        [
            node("Conv", ["x", "w"], ["c"]),
            node("Relu", ["c"], ["r"]),
            node("ReduceMean", ["r"], axes=[2, 3], keepdims=0),
        ],
        {"w": rows(2, 3, 3)},
    ),
    "normalized convolution": (
        ("N", 2, 3, 3),
        NORMALIZED,
        {"w": rows(2, 3, 3), "s": rows(), "b": rows(), "m": rows(), "v": rows() ** 2},
    ),
    "pixels of a transposed plane": (
        ("N", 3, 2),
        [
            node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
            node("Flatten", ["t"], ["f"]),
            node("Gemm", ["f", "w"], transB=1),
        ],
        {"w": rows(6)},
    ),
}
NEARLY = "nearly equal rows"
UNEQUAL: dict[str, Case] = {
    "other biases": (("N", 7), [node("Gemm", ["x", "w", "b"], transB=1)], {"w": rows(7), "b": BIAS}),
    NEARLY: (("N", 7), [LAST], {"w": rows(7) * (1 + 2**-22 * np.arange(6, dtype="f"))[:, None]}),
    "other factors": (("N", 7), [INNER, node("Mul", ["z", "f"])], {"w": rows(7), "f": BIAS}),
    "other normalization": (
        ("N", 2, 3, 3),
        NORMALIZED,
        {"w": rows(2, 3, 3), "s": rows(), "b": rows(), "m": BIAS, "v": rows() ** 2},
    ),
    "other pixels of one filter": (
        ("N", 2, 3, 4),
        [node("Conv", ["x", "w"], ["c"]), FLAT],
        {"w": weights(3, 2, 3, 3)},
    ),
    "other groups of channels": (
        ("N", 6, 3, 3),
        [node("Conv", ["x", "w"], ["c"], group=6), FLAT],
        {"w": rows(1, 3, 3)},
    ),
    "other rows of a product": (("N", 6, 7), [node("MatMul", ["x", "w"], ["c"]), FLAT], {"w": weights(7, 1)}),
}


def loaded(case: Case, folder: Path):
    shape, nodes, arrays = case
    return load_graph(write(model(nodes, shape, arrays), folder))


@pytest.mark.parametrize("name", EQUAL)
def test_equal_logits_are_found(name: str, tmp_path: Path) -> None:
    found = equal_logits(loaded(EQUAL[name], tmp_path))
    assert found.first.tolist() == FIRST
    assert found.never == (2, 4, 5)


@pytest.mark.parametrize("name", UNEQUAL)
def test_others_are_not(name: str, tmp_path: Path) -> None:
    found = equal_logits(loaded(UNEQUAL[name], tmp_path))
    assert found.first.tolist() == list(range(len(found.first)))
    assert not found.holds_for(("x",))


@pytest.mark.parametrize("name", [*EQUAL, *UNEQUAL])
def test_onnxruntime_agrees(name: str, tmp_path: Path) -> None:
    """Up to rounding, the logits said to be equal are, and no others."""
    case = {**EQUAL, **UNEQUAL}[name]
    graph = loaded(case, tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    draw = np.random.default_rng(1)
    first = equal_logits(graph).first
    apart = np.zeros((len(first), len(first)))
    for _ in range(10):
        x = draw.standard_normal(graph.shapes["x"]).astype(np.float32)
        logits = np.asarray(session.run(None, {"x": x})[0]).ravel()
        apart = np.maximum(apart, np.abs(logits[:, None] - logits))
    same = first[:, None] == first
    assert apart[same].max() < 1e-5
    if name != NEARLY:
        assert apart[~same].min() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_logits_have_equal_values_whatever_a_kernel_makes_of_their_places(
    dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = weights(33, 84)
    w[[7, 21, 32]] = w[0]
    graph = loaded((("N", 84), [LAST], {"w": w}), tmp_path)
    x = torch.from_numpy(weights(300, 1, 84)).to(dtype)
    plain = Program(graph, dtype)(x)
    rounds_by_place(monkeypatch)
    program = Program(graph, dtype)
    for count in (1, 2, 5, 64, 300):
        logits = program(x[:count])
        assert (logits[:, [7, 21, 32]] == logits[:, :1]).all()
        torch.testing.assert_close(logits, plain[:count])
    assert (program(x)[:, 1] != plain[:, 1]).any()


def test_a_change_behind_the_equal_rows_moves_every_logit_by_itself(tmp_path: Path) -> None:
    case = (("N", 7), [INNER, node("Relu", ["z"])], {"w": rows(7)})
    program = Program(loaded(case, tmp_path), torch.float64)
    assert program.equal.inner == {"z", "y"}
    changed = torch.arange(6, dtype=torch.float64)[None]
    assert program.function("z", "y")(changed).tolist() == changed.tolist()
    assert not program.equal.holds_for(("z",))
    assert program.equal.holds_for(("x",))
