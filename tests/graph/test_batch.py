"""Which axis counts samples, and that the graph for one sample is the file's."""

import numpy as np
import pytest
import torch
from models import model, node, weights, write

from nmcheck.errors import UnsupportedError
from nmcheck.execute.comparison import relative_difference
from nmcheck.execute.program import Program
from nmcheck.execute.session import ReferenceSession
from nmcheck.graph.load import load_graph

FLAT = np.array([4, -1], dtype=np.int64)


def dense(shape, *front, arrays=None):
    """Nodes that lead to 'f', then a Gemm to 3 classes."""
    return model([*front, node("Gemm", ["f", "w"])], shape, {"w": weights(12, 3), **(arrays or {})})


def reshaped(shape, target):
    return dense(shape, node("Reshape", ["x", "s"], ["f"]), arrays={"s": np.array(target, dtype=np.int64)})


CASES = {
    "symbolic": (reshaped(("N", 2, 6), [-1, 12]), 0, None, (1, 2, 6)),
    "unnamed": (reshaped((None, 2, 6), [0, -1]), 0, None, (1, 2, 6)),
    "one": (reshaped((1, 2, 6), [1, 12]), 0, 1, (1, 2, 6)),
    "fixed": (reshaped((4, 2, 6), [4, -1]), 0, 4, (1, 2, 6)),
    "symbolic-but-one": (reshaped(("N", 2, 6), [1, -1]), 0, 1, (1, 2, 6)),
    "none": (model([node("MatMul", ["w", "x"])], (12, 5), {"w": weights(3, 12)}), None, None, (12, 5)),
    "vector": (model([node("MatMul", ["x", "w"])], (12,), {"w": weights(12, 3)}), None, None, (12,)),
    "merged-with-heads": (
        # (N, 3, 4) -> (3, N, 4) -> (3, 2 N, 2) and back, as multi-head attention does.
        model(
            [
                node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
                node("Reshape", ["t", "heads"], ["h"]),
                node("MatMul", ["h", "w"], ["m"]),
                node("Reshape", ["m", "back"], ["r"]),
                node("Transpose", ["r"], ["y"], perm=[1, 0, 2]),
            ],
            ("N", 3, 4),
            {"heads": np.array([3, -1, 2]), "back": np.array([3, -1, 4]), "w": weights(2, 2)},
        ),
        0,
        None,
        (1, 3, 4),
    ),
    "two-constants": (model([node("Add", ["x", "c"])], (4, 2), {"c": weights(4, 2)}), None, None, (4, 2)),
    "matrix-summand": (
        model([node("Gemm", ["x", "w", "c"])], (4, 2), {"w": weights(2, 3), "c": weights(4, 3)}), None, None, (4, 2)
    ),
    "softmax-over-samples": (model([node("Softmax", ["x"], axis=0)], (4, 2)), None, None, (4, 2)),
    "transposed": (model([node("Transpose", ["x"])], (4, 2)), None, None, (4, 2)),
    "tiled": (model([node("Tile", ["x", "r"])], (4, 2), {"r": np.array([2, 1])}), None, None, (4, 2)),
}  # fmt: skip


def test_flatten_in_front_of_the_batch_is_no_batch(tmp_path):
    nodes = [node("Transpose", ["x"], ["t"], perm=[1, 0, 2]), node("Flatten", ["t"], axis=2)]
    assert load_graph(write(model(nodes, ("N", 3, 4)), tmp_path)).declared_batch == 1


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("count", [1, 6])
def test_batch_axis_and_execution(tmp_path, name, count):
    made, axis, declared, shape = CASES[name]
    graph = load_graph(write(made, tmp_path))
    assert (graph.batch_axis, graph.declared_batch, graph.shapes["x"]) == (axis, declared, shape)
    samples = weights(count, *shape)
    theirs = ReferenceSession(graph, threads=1).run(samples)
    ours = Program(graph).output(torch.from_numpy(samples)).numpy()
    assert theirs.shape == (count, *graph.shapes["y"])
    assert relative_difference(ours, theirs) <= 1e-5


@pytest.mark.parametrize(
    "front",
    [
        [node("Add", ["x", "c"], ["a"]), node("Reshape", ["a", "s"], ["f"])],
        [node("Softmax", ["x"], ["a"], axis=0), node("Reshape", ["a", "s"], ["f"])],
    ],
    ids=["constant-per-sample", "softmax-over-samples"],
)
def test_batch_that_cannot_be_made_one_is_refused(tmp_path, front):
    made = dense((4, 2, 6), *front, arrays={"c": weights(4, 2, 6), "s": FLAT})
    with pytest.raises(UnsupportedError, match="fixed batch of 4"):
        load_graph(write(made, tmp_path))


def test_reshape_that_moves_elements_between_samples_is_no_batch(tmp_path):
    # (N, 2, 6) -> (2, N, 6) keeps one axis of length N but mixes the samples.
    nodes = [node("Reshape", ["x", "s"], ["f"]), node("Transpose", ["f"], ["y"], perm=[1, 0, 2])]
    graph = load_graph(write(model(nodes, ("N", 2, 6), {"s": np.array([2, -1, 6], dtype=np.int64)}), tmp_path))
    assert graph.declared_batch == 1
    assert any("moves elements between samples" in note for note in graph.notes)
