"""Cases in which a constant or radius was once too good; found by review."""

from pathlib import Path

import numpy as np
import pytest
import torch
from models import model, node, write

from nmcheck.bounds.layers import unsupported_reason
from nmcheck.bounds.network import NetworkBounds, network_bounds
from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph


def bounds(folder: Path, nodes: list, shape: tuple[int, ...], arrays: dict, x: list[float]) -> NetworkBounds:
    made = model(nodes, shape, {name: np.array(value, dtype=np.float32) for name, value in arrays.items()}, opset=17)
    graph = load_graph(write(made, folder))
    program = Program(graph, torch.float64)
    return network_bounds(graph, program, torch.tensor(x, dtype=torch.float64).reshape(1, *shape))


@pytest.mark.parametrize("alpha", [-1.0, 0.0, float("nan")])
def test_celu_without_a_largest_slope_is_refused(tmp_path: Path, alpha: float) -> None:
    graph = load_graph(write(model([node("Celu", ["x"], alpha=alpha)], (1, 3), {}, opset=17), tmp_path))
    assert "Celu" in (unsupported_reason(graph, graph.nodes[0]) or "")


def test_a_slope_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    slope = {"s": np.array([np.nan, 1], dtype=np.float32)}
    graph = load_graph(write(model([node("PRelu", ["x", "s"])], (1, 2), slope, opset=17), tmp_path))
    assert "PRelu" in (unsupported_reason(graph, graph.nodes[0]) or "")


def test_rows_that_cancel_in_a_product_are_not_taken_for_equal(tmp_path: Path) -> None:
    nodes = [node("Gemm", ["x", "w1"], ["h"], transB=1), node("Gemm", ["h", "w2", "b2"], transB=1)]
    arrays = {"w1": [[1, 1], [1, 0]], "w2": [[1e17, 1e17], [1e17, 1e17 + 2e10]], "b2": [0.5, 0]}
    found = bounds(tmp_path, nodes, (1, 2), arrays, [0.0, 0.0])
    # The second weights differ by one unit in the last place of float32, 8.6e9: the true radius is below 1e-10.
    assert found.radius_certified is not None
    assert float(found.radius_certified[0]) <= 0.5 / 8.5e9


def test_constants_that_underflow_are_not_taken_for_zero(tmp_path: Path) -> None:
    nodes, value = [], "x"
    for step in range(16):
        nodes += [node("Mul", [value, "small" if step < 8 else "large"], [f"m{step}"])]
        nodes += [node("Relu", [f"m{step}"], [f"r{step}"])]
        value = f"r{step}"
    nodes.append(node("Gemm", [value, "w"]))
    found = bounds(tmp_path, nodes, (1, 2), {"small": 1e-42, "large": 1e38, "w": [[1, 0], [0, 1]]}, [1.0, 0.5])
    assert found.layers[0].lipschitz_to_logits is not None
    assert found.layers[0].lipschitz_to_logits > 0
    assert found.radius_certified is not None
    assert torch.isfinite(found.radius_certified).all()


def test_an_lrn_without_a_constant_has_reasons_and_no_crash(tmp_path: Path) -> None:
    nodes = [node("LRN", ["x"], ["n"], size=3, bias=0.0), node("Flatten", ["n"], ["f"]), node("Gemm", ["f", "w"])]
    found = bounds(tmp_path, nodes, (1, 4, 1, 1), {"w": np.eye(4)[:, :2].tolist()}, [1.0, 2.0, 3.0, 4.0])
    assert found.radius_certified is None
    assert "LRN" in (found.radius_certified_reason or "")
    assert found.radius_published is None


def test_a_scale_that_raises_the_rank_is_not_merged_by_mistake(tmp_path: Path) -> None:
    nodes = [
        node("BatchNormalization", ["x", "g", "z", "z", "o"], ["n"]),
        node("Mul", ["n", "scale"], ["five"]),
        node("Conv", ["five", "k"], ["c"]),
        node("Flatten", ["c"], ["f"]),
        node("Gemm", ["f", "w"]),
    ]
    arrays = {
        "g": [2.0, 3.0],
        "z": [0.0, 0.0],
        "o": [1.0, 1.0],
        "scale": np.full((1, 1, 1, 1, 1), 2.0).tolist(),
        "k": np.ones((1, 1, 1, 1, 1)).tolist(),
        "w": np.eye(8)[:, :2].tolist(),
    }
    found = bounds(tmp_path, nodes, (1, 2, 2, 2), arrays, np.linspace(0, 1, 8).tolist())
    assert found.radius_certified is not None
    # Each logit is one pixel times 4: the label changes when two pixels meet, at |x1 - x0| / sqrt 2.
    assert float(found.radius_certified[0]) <= (1 / 7) / np.sqrt(2) * (1 + 1e-9)
