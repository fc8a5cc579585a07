from dataclasses import replace

import numpy as np
import pytest
import torch
from bounds.networks import Builder, double, weights

from nmcheck.bounds.affine_run import LayerConstants, affine_matrix, affine_run
from nmcheck.bounds.dense import spectral_norm
from nmcheck.bounds.rounding import ALLOWANCE
from nmcheck.bounds.softmax_margin import pair_distances
from nmcheck.errors import UnsupportedError
from nmcheck.graph.ir import Graph


def run_bound(graph: Graph, source: str, target: str) -> float:
    constants = LayerConstants(graph, double(graph))
    run = affine_run(graph, target, (source,))
    assert run.source == source
    return constants.run(run).value


def exact(graph: Graph, source: str, target: str) -> float:
    function = double(graph).function(source, target)
    origin = torch.zeros(graph.shapes[source], dtype=torch.float64)
    rows = int(np.prod(graph.shapes[target]))
    return spectral_norm(torch.func.jacrev(function)(origin).reshape(rows, -1))


def normalized(builder: Builder, live: str, seed: int, channels: int) -> str:
    pick = np.random.default_rng(seed)
    return builder.batch_norm(
        live, pick.normal(size=channels), pick.normal(size=channels), pick.normal(size=channels),
        pick.uniform(0.05, 2, size=channels),
    )  # fmt: skip


def test_a_run_stops_at_what_is_not_affine_and_at_the_changed_value():
    builder = Builder((1, 2, 6, 6))
    convolved = builder.conv("x", weights(0, 3, 2, 3, 3))
    active = builder.relu(convolved)
    flat = builder.flatten(active)
    dense = builder.dense(flat, weights(1, 4, 48))
    graph = builder.graph(dense)
    assert [node.op for node in affine_run(graph, dense, ()).nodes] == ["Flatten", "Gemm"]
    assert affine_run(graph, dense, ()).source == active
    assert affine_run(graph, dense, (flat,)).source == flat
    assert affine_run(graph, active, ()).nodes == ()
    assert affine_run(graph, convolved, ()).source == "x"


@pytest.mark.parametrize("size", [6, 40])
def test_a_scale_before_and_a_normalization_behind_fold_into_a_convolution(size):
    builder = Builder((1, 2, size, size))
    shape = builder.input_shape
    scaled = builder.node("Mul", "x", shape, [np.array([3.0, 0.2]).reshape(1, 2, 1, 1)], index=-1)
    shifted = builder.node("Add", scaled, shape, [np.array([1.0, -1.0]).reshape(1, 2, 1, 1)], index=-1)
    kernel = weights(0, 3, 2, 3, 3)
    convolved = builder.conv(shifted, kernel, weights(1, 3))
    last = normalized(builder, convolved, 2, 3)
    graph = builder.graph(last)
    factors = graph.constants[graph.by_name["BatchNormalization_3"].inputs[1]] / np.sqrt(
        graph.constants[graph.by_name["BatchNormalization_3"].inputs[4]]
    )
    folded = Builder(shape)
    other = folded.conv("x", kernel * np.array([3.0, 0.2]).reshape(1, 2, 1, 1) * factors.reshape(3, 1, 1, 1))
    assert run_bound(graph, "x", last) == pytest.approx(run_bound(folded.graph(other), "x", other), rel=1e-12)
    # From the middle of the run on, only what follows is folded: the normalization's own factor at its input.
    assert run_bound(graph, convolved, last) == pytest.approx(np.abs(factors).max(), rel=2e-6)
    if size == 6:
        assert run_bound(graph, "x", last) == pytest.approx(exact(graph, "x", last), rel=2e-6)
        assert run_bound(graph, shifted, last) == pytest.approx(exact(graph, shifted, last), rel=2e-6)
    else:
        assert run_bound(graph, "x", last) < 3 * run_bound(graph, shifted, last)


W, BEFORE, AFTER = weights(0, 6, 9), np.linspace(0.1, 3, 9), np.linspace(4, 0.5, 6)
PRODUCTS = {
    "x W'": ((2, 9), (2, 6), "MatMul", (None, W.T), {}, -1, -1),
    "x W' of a vector": ((9,), (6,), "MatMul", (None, W.T), {}, -1, -1),
    "W x of a vector": ((9,), (6,), "MatMul", (W, None), {}, -1, -1),
    "W x": ((9, 2), (6, 2), "MatMul", (W, None), {}, -2, -2),
    "Gemm": ((2, 9), (2, 6), "Gemm", (None, W), {"transB": 1}, -1, -1),
    "Gemm, both transposed": ((9, 2), (2, 6), "Gemm", (None, W), {"transA": 1, "transB": 1}, -2, -1),
    "Gemm from the left": ((9, 2), (6, 2), "Gemm", (W.T, None), {"transA": 1}, -2, -2),
    "Gemm from the left, transposed": ((2, 9), (6, 2), "Gemm", (W, None), {"transB": 1}, -1, -2),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_scales_fold_into_a_product_with_a_matrix_on_either_side(name, monkeypatch):
    """Too large for the norm of the run as a whole, it still gets the norm of its one block, which is exact."""
    monkeypatch.setattr("nmcheck.bounds.affine_run.has_exact_norm", lambda inputs, outputs: False)
    shape, written, op, operands, attributes, axis_in, axis_out = PRODUCTS[name]
    builder = Builder(shape)
    scaled = builder.node("Mul", "x", shape, [along(BEFORE, axis_in, len(shape))])
    product = builder.node(op, scaled, written, [next(one for one in operands if one is not None)], attributes)
    if operands[0] is not None:
        builder.nodes[-1] = replace(builder.nodes[-1], inputs=builder.nodes[-1].inputs[::-1])
    last = builder.node("Mul", product, written, [along(AFTER, axis_out, len(written))])
    graph = builder.graph(last)
    wanted = spectral_norm(torch.from_numpy(AFTER[:, None] * W * BEFORE))
    assert run_bound(graph, "x", last) == pytest.approx(wanted, rel=2e-6)
    assert exact(graph, "x", last) == pytest.approx(wanted, rel=1e-9)


def along(scale: np.ndarray, axis: int, rank: int) -> np.ndarray:
    return scale.reshape([-1 if place == rank + axis else 1 for place in range(rank)])


def test_dense_layers_merge_with_normalization_and_bias():
    builder = Builder((1, 9))
    product = builder.node("MatMul", "x", (1, 6), [weights(0, 9, 6)])
    biased = builder.node("Add", product, (1, 6), [weights(1, 6)])
    last = normalized(builder, biased, 2, 6)
    graph = builder.graph(last)
    assert run_bound(graph, "x", last) == pytest.approx(exact(graph, "x", last), rel=2e-6)
    assert run_bound(graph, product, biased) == 1.0
    assert run_bound(graph, product, last) == pytest.approx(exact(graph, product, last), rel=2e-6)


def test_a_small_run_of_several_layers_has_its_exact_norm():
    builder = Builder((1, 2, 7, 7))
    convolved = builder.conv("x", weights(0, 3, 2, 3, 3), pad=1)
    second = builder.conv(convolved, weights(1, 2, 3, 3, 3), stride=2)
    dense = builder.dense(builder.flatten(second), weights(2, 5, 18))
    graph = builder.graph(dense)
    assert run_bound(graph, "x", dense) == pytest.approx(exact(graph, "x", dense), rel=2e-6)


@pytest.mark.parametrize("outputs", [3, 30])
def test_the_matrix_of_a_stretch_is_its_jacobian(outputs):
    builder = Builder((1, 2, 3, 3))
    dense = builder.dense(builder.flatten("x"), weights(0, outputs, 18), weights(1, outputs))
    graph = builder.graph(dense)
    matrix = affine_matrix(double(graph), "x", dense)
    np.testing.assert_allclose(matrix.numpy(), graph.constants["Gemm_1_w0"], rtol=1e-12)
    np.testing.assert_array_equal(affine_matrix(double(graph), "x", "x").numpy(), np.eye(18))


def test_uniform_factors_and_shifts_only_scale_the_rest():
    builder = Builder((1, 1, 5, 5))
    scaled = builder.node("Mul", "x", builder.input_shape, [np.array(-255.0)], index=-1)
    convolved = builder.conv(scaled, weights(0, 2, 1, 3, 3))
    graph = builder.graph(convolved)
    assert run_bound(graph, "x", convolved) == pytest.approx(255 * run_bound(graph, scaled, convolved), rel=1e-12)


def test_a_run_of_more_nodes_than_python_calls_deep():
    builder = Builder((1, 4))
    value = "x"
    for index in range(1500):
        value = builder.node("Mul", value, (1, 4), [np.array(1.001 if index % 2 else 1 / 1.001)], index=-1)
    graph = builder.graph(builder.dense(value, weights(0, 3, 4)))
    bound = run_bound(graph, "x", graph.logits)
    assert 1 <= bound / exact(graph, value, graph.logits) <= 1 + 2e-6


def test_every_tail_of_a_run_has_the_constant_it_has_by_itself():
    builder = Builder((1, 4))
    value, sources = "x", ["x"]
    for factor in (2.0, -0.5, 3.0):
        value = builder.node("Mul", value, (1, 4), [np.array(factor)], index=-1)
        sources.append(value)
    graph = builder.graph(builder.dense(value, weights(0, 3, 4)))
    together = LayerConstants(graph, double(graph))
    for source in sources:
        found = together.run(affine_run(graph, graph.logits, (source,))).value
        np.testing.assert_allclose(found, run_bound(graph, source, graph.logits), rtol=1e-12)
        assert 1 <= found / exact(graph, source, graph.logits) <= 1 + 2e-6


def test_too_many_logits_for_a_matrix_of_their_distances():
    builder = Builder((1, 4))
    graph = builder.graph(builder.dense("x", weights(0, 2**16, 4)))
    with pytest.raises(UnsupportedError, match="65,536 logits"):
        LayerConstants(graph, double(graph)).logit_distances("x")


def test_distances_at_the_logits_themselves_are_those_of_the_identity():
    builder = Builder((1, 4))
    graph = builder.graph(builder.relu(builder.dense("x", weights(0, 7, 4))))
    found = LayerConstants(graph, double(graph)).logit_distances(graph.logits)
    slow = pair_distances(torch.eye(7, dtype=torch.float64)) * (1 + ALLOWANCE)
    assert torch.equal(found, slow)
