"""The same weights as ``x W'`` with a batch axis, as ``W x`` without one, and otherwise: the same radii."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bounds.attack import adversarial_norm
from models import model, weights, write
from onnx import NodeProto, helper
from torch import Tensor

from nmcheck.attacks.layerwise import attack_layer
from nmcheck.bounds.affine_run import LayerConstants
from nmcheck.bounds.network import network_bounds
from nmcheck.bounds.pair_radius import PairRadii
from nmcheck.bounds.relaxation.radius import Images, RelaxedRadii
from nmcheck.bounds.relaxation.relaxation import Relaxation
from nmcheck.execute.program import Program
from nmcheck.graph.ir import Graph
from nmcheck.graph.load import load_graph
from nmcheck.linearize.steps import network_of

SIZES = (5, 6, 4, 3)
IMAGES = 2
BOX = (0.0, 1.0)
RELAXED = [
    ("crown-ibp", 2.0, None), ("crown-ibp", math.inf, BOX), ("crown", 2.0, None), ("crown", 2.0, BOX),
    ("crown", math.inf, None), ("crown-optimized", 2.0, None), ("crown-optimized", math.inf, BOX),
]  # fmt: skip


@dataclass
class Layers:
    """Nodes and weights of a network whose dense layers are written in one way."""

    nodes: list[NodeProto]
    arrays: dict[str, np.ndarray]

    def __call__(self, op: str, *operands: str | np.ndarray, **attributes: Any) -> str:
        """Append a node, its constants named after it, and return the name of what it writes."""
        name = f"{op.lower()}{len(self.nodes)}"
        inputs = []
        for place, operand in enumerate(operands):
            inputs.append(operand if isinstance(operand, str) else f"{name}.{place}")
            if not isinstance(operand, str):
                self.arrays[inputs[-1]] = operand
        self.nodes.append(helper.make_node(op, inputs, [f"{name}.y"], name, **attributes))
        return f"{name}.y"


Dense = Callable[[Layers, str, np.ndarray, np.ndarray], str]


def right(f: Layers, x: str, W: np.ndarray, b: np.ndarray) -> str:
    return f("Add", f("MatMul", x, W.T.copy()), b)


def left(f: Layers, x: str, W: np.ndarray, b: np.ndarray) -> str:
    return f("Add", f("MatMul", W, x), b)


def left_of_columns(f: Layers, x: str, W: np.ndarray, b: np.ndarray) -> str:
    return f("Add", f("MatMul", W, x), b[:, None])


def left_scaled(f: Layers, x: str, W: np.ndarray, b: np.ndarray) -> str:
    scale = 2.0 ** np.arange(len(W)).astype(np.float32)
    return f("Add", f("Mul", f("MatMul", W / scale[:, None], x), scale), b)


def gemm(f: Layers, x: str, W: np.ndarray, b: np.ndarray) -> str:
    return f("Gemm", x, W / 2, b * 2, transB=1, alpha=2.0, beta=0.5)


def gemm_of_columns(f: Layers, x: str, W: np.ndarray, b: np.ndarray) -> str:
    return f("Gemm", W.T.copy() / 2, x, b[:, None] * 2, transA=1, alpha=2.0, beta=0.5)


def gemm_transposing_columns(f: Layers, x: str, W: np.ndarray, b: np.ndarray) -> str:
    return f("Transpose", f("Gemm", x, W.T.copy(), b, transA=1), perm=[1, 0])


def gemm_transposing_rows(f: Layers, x: str, W: np.ndarray, b: np.ndarray) -> str:
    return f("Transpose", f("Gemm", W, x, b[:, None], transB=1), perm=[1, 0])


ARRANGEMENTS: dict[str, tuple[tuple[int | str, ...], Dense]] = {
    "x W'": (("N", SIZES[0]), right),
    "x W' of a vector": (SIZES[:1], right),
    "W x of a vector": (SIZES[:1], left),
    "W x of a vector, scaled": (SIZES[:1], left_scaled),
    "W x of a column": ((SIZES[0], 1), left_of_columns),
    "W x of columns": (("N", SIZES[0], 1), left_of_columns),
    "Gemm": (("N", SIZES[0]), gemm),
    "Gemm of a column": ((SIZES[0], 1), gemm_of_columns),
    "Gemm of a transposed column": ((SIZES[0], 1), gemm_transposing_columns),
    "Gemm of a transposed row": ((1, SIZES[0]), gemm_transposing_rows),
}


def network(name: str, folder: Path) -> Graph:
    shape, dense = ARRANGEMENTS[name]
    f, value = Layers([], {}), "x"
    for layer, (inputs, outputs) in enumerate(pairwise(SIZES)):
        value = f("Relu", value) if layer else value
        value = dense(f, value, weights(outputs, inputs), weights(outputs) / 4)
    return load_graph(write(model(f.nodes, shape, f.arrays, outputs=(value,)), folder, f"{len(f.nodes)}.onnx"))


def images_of(graph: Graph) -> Tensor:
    pixels = torch.rand((IMAGES, SIZES[0]), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return pixels.reshape(IMAGES, *graph.shapes[graph.input])


def radii(graph: Graph) -> dict[str, Tensor]:
    """By every method, in either norm, with and without a box, as far as a ball tells."""
    program = Program(graph, torch.float64)
    constants = LayerConstants(graph, program)
    relaxation = Relaxation(graph, program, network_of(program), constants)
    x = images_of(graph)
    found = {"lipschitz": PairRadii(constants).at(x).amin(dim=1)}
    for method, norm, box in RELAXED:
        epsilon = torch.full((IMAGES,), 0.15 if norm == 2 else 0.08, dtype=torch.float64)
        asked = RelaxedRadii(relaxation, tighten=method != "crown-ibp", optimize=int(method == "crown-optimized"))
        proven = asked.reach(Images(x, program(x), norm, box), epsilon, torch.arange(IMAGES)).amin(dim=1)
        found[f"{method} {norm} {box}"] = torch.minimum(proven, epsilon).clamp(min=0)
    return found


@pytest.fixture(scope="module")
def by_rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[Graph, dict[str, Tensor]]:
    graph = network("x W'", tmp_path_factory.mktemp("rows"))
    return graph, radii(graph)


def test_no_radius_is_beyond_an_adversarial_example(by_rows: tuple[Graph, dict[str, Tensor]]) -> None:
    graph, found = by_rows
    function = Program(graph, torch.float64).function(graph.input, graph.logits)
    nearest = torch.tensor([adversarial_norm(function, x) for x in images_of(graph)], dtype=torch.float64)
    for method, radius in found.items():
        # A change is never longer in Linf than in L2, and one that leaves the box says nothing of radii in it.
        assert "0.0" in method or (radius <= nearest).all(), method
        assert (radius > 0).any(), method
    assert (found["crown 2.0 None"] >= found["crown-ibp 2.0 None"] * (1 - 1e-9)).all()


@pytest.mark.parametrize("name", list(ARRANGEMENTS)[1:])
def test_the_radii_do_not_depend_on_how_products_are_written(
    tmp_path: Path, by_rows: tuple[Graph, dict[str, Tensor]], name: str
) -> None:
    found = radii(network(name, tmp_path))
    for method, expected in by_rows[1].items():
        torch.testing.assert_close(found[method], expected, rtol=1e-6, atol=1e-12, msg=lambda m, s=method: f"{s}: {m}")


def test_layers_and_attacks_on_them_do_not_depend_on_it_either(
    tmp_path: Path, by_rows: tuple[Graph, dict[str, Tensor]]
) -> None:
    rows = network_bounds(by_rows[0], Program(by_rows[0], torch.float64), images_of(by_rows[0]))
    graph = network("W x of a vector", tmp_path)
    program, x = Program(graph, torch.float64), images_of(graph)
    found = network_bounds(graph, program, x)
    for layer, other in zip(found.layers, rows.layers, strict=True):
        assert (layer.op, layer.kappa_certified_reason) == (other.op, None)
        torch.testing.assert_close(layer.kappa_certified, other.kappa_certified, rtol=1e-6, atol=0)
        torch.testing.assert_close(layer.kappa_published, other.kappa_published, rtol=1e-6, atol=0)
        if layer.op != "MatMul":
            continue
        source = graph.live_inputs(graph.by_name[layer.node])
        attacked, as_rows = (
            attack_layer(one, names, images)
            for one, names, images in (
                (program, source, x),
                (Program(by_rows[0], torch.float64), by_rows[0].live_inputs(by_rows[0].by_name[other.node]), x),
            )
        )
        torch.testing.assert_close(attacked, as_rows, rtol=1e-3, atol=0)
        assert layer.kappa_certified is not None
        assert (layer.kappa_certified <= attacked).all()


def test_products_of_vectors_are_single_numbers(tmp_path: Path, by_rows: tuple[Graph, dict[str, Tensor]]) -> None:
    """Every unit of the first layer is a product of two vectors with a ReLU of its own."""
    W, b = weights(SIZES[1], SIZES[0]), weights(SIZES[1]) / 4
    f, axis = Layers([], {}), np.array([0])
    units = []
    for place, (row, bias) in enumerate(zip(W, b, strict=True)):
        product = f("MatMul", *(("x", row) if place % 2 else (row, "x")))
        units.append(f("Unsqueeze", f("Relu", f("Add", product, np.asarray(bias))), axis))
    value = f("Concat", *units, axis=0)
    for inputs, outputs in pairwise(SIZES[1:]):
        value = f("Relu", value) if inputs != SIZES[1] else value
        value = left(f, value, weights(outputs, inputs), weights(outputs) / 4)
    graph = load_graph(write(model(f.nodes, SIZES[:1], f.arrays, outputs=(value,)), tmp_path))
    assert graph.shapes[graph.nodes[0].outputs[0]] == ()
    found = radii(graph)
    for method, expected in by_rows[1].items():
        # A layer in pieces has the same relaxation, but no parabolas, and the constants of its pieces are no smaller.
        assert (found[method] <= expected * (1 + 1e-6)).all(), method
        assert "lipschitz" in method or (found[method] >= 0.7 * expected).all(), method


def test_matrices_on_both_sides_of_an_input_without_a_batch(tmp_path: Path) -> None:
    """A X B of a 3 x 4 input is (A kron B') of its elements."""
    A, B, C, v = weights(4, 3), weights(4, 5), weights(3, 4) / 2, weights(5) / 2
    both, dense = Layers([], {}), Layers([], {})
    hidden = both("Relu", both("MatMul", both("MatMul", A, "x"), B))
    logits = both("MatMul", both("MatMul", C, hidden), v)
    unfolded = dense("Relu", dense("Gemm", dense("Flatten", "x"), np.kron(A, B.T), transB=1))
    same = dense("Gemm", unfolded, np.kron(C, v[None]), transB=1)
    found = []
    for f, shape, last in ((both, (3, 4), logits), (dense, ("N", 3, 4), same)):
        graph = load_graph(write(model(f.nodes, shape, f.arrays, outputs=(last,)), tmp_path, f"{len(f.nodes)}.onnx"))
        program = Program(graph, torch.float64)
        relaxation = Relaxation(graph, program, network_of(program))
        x = torch.rand((2, *graph.shapes["x"]), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        epsilon = torch.full((2,), 0.1, dtype=torch.float64)
        for norm in (2.0, math.inf):
            images = Images(x, program(x), norm)
            found.append(RelaxedRadii(relaxation, tighten=True).reach(images, epsilon, torch.arange(2)).amin(dim=1))
    torch.testing.assert_close(found[0], found[2], rtol=1e-5, atol=1e-12)
    torch.testing.assert_close(found[1], found[3], rtol=1e-5, atol=1e-12)
