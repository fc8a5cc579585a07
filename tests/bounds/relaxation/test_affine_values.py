"""Affine values of a network against the Jacobian of its program."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from bounds.networks import Builder, double, weights
from bounds.relaxation.zoo import relaxation_of
from torch import Tensor

from nmcheck.bounds.relaxation.affine_values import AffineValues, steps_behind, writers
from nmcheck.bounds.relaxation.interval import ROUNDING
from nmcheck.bounds.relaxation.relaxation import Relaxation
from nmcheck.graph.ir import Graph

INF = float("inf")


def chain(seed: int) -> Graph:
    """Convolution, batch normalization, dense, ReLU, dense."""
    scale, shift, mean, variance = np.random.default_rng(seed).uniform(-1, 1, size=(4, 3))
    builder = Builder((1, 2, 5, 5))
    value = builder.conv("x", weights(seed, 3, 2, 3, 3), 0.3 * weights(seed + 1, 3), pad=1, stride=2)
    value = builder.batch_norm(value, scale, shift, mean, 0.1 + variance**2)
    value = builder.dense(builder.flatten(value), weights(seed + 2, 7, 27), weights(seed + 3, 7))
    return builder.graph(builder.dense(builder.relu(value), weights(seed + 4, 4, 7)))


def added(seed: int) -> Graph:
    """A value, twice itself and a convolution of it, added; then a mean and a ReLU."""
    builder = Builder((1, 2, 4, 4))
    shape = (1, 3, 4, 4)
    first = builder.conv("x", weights(seed, 3, 2, 3, 3), weights(seed + 1, 3), pad=1)
    doubled = builder.node("Mul", first, shape, [np.array([2.0, -1.0, 0.5]).reshape(1, 3, 1, 1)])
    other = builder.conv(first, weights(seed + 2, 3, 3, 3, 3), weights(seed + 3, 3), pad=1)
    total = builder.node("Sub", [builder.node("Add", [first, other], shape), doubled], shape)
    attributes = {"kernel_shape": (2, 2), "strides": (2, 2)}
    mean = builder.node("AveragePool", total, (1, 3, 2, 2), (), attributes)
    flat = builder.flatten(builder.relu(mean))
    return builder.graph(builder.dense(flat, weights(seed + 4, 4, 12)))


NETWORKS = {"chain": chain, "added": added}
each = pytest.mark.parametrize("name", NETWORKS)


def dense(graph: Graph, value: str) -> tuple[Tensor, Tensor]:
    """The Jacobian of a value and what it is at zero, (elements, inputs) and (elements,)."""
    function = double(graph).function(graph.input, value)
    zero = torch.zeros(graph.shapes[graph.input], dtype=torch.float64)
    return torch.func.jacrev(lambda x: function(x).flatten())(zero).flatten(1), function(zero).flatten()


def affine(graph: Graph) -> tuple[Relaxation, list[str]]:
    """All values before the ReLU."""
    network = relaxation_of(graph)[0]
    place = next(position for position, step in enumerate(network.steps) if not step.affine)
    return network, [name for step in network.steps[:place] for name in step.outputs]


def close(mine: Tensor, exact: Tensor) -> None:
    torch.testing.assert_close(mine, exact, rtol=1e-12, atol=1e-13)


@each
def test_they_are_the_values_before_the_first_curved_step(name: str) -> None:
    graph = NETWORKS[name](0)
    network, values = affine(graph)
    assert len(values) >= 4
    assert all(value in network.affine for value in values)
    assert graph.input not in network.affine
    assert graph.logits not in network.affine
    assert network.steps[len(values)].outputs[0] not in network.affine


@each
def test_matrix_gram_and_norms_are_those_of_the_jacobian(name: str) -> None:
    graph = NETWORKS[name](1)
    network, values = affine(graph)
    for value in values:
        W, _ = dense(graph, value)
        close(network.affine.matrix(value), W)
        close(network.affine.gram(value), W @ W.T)
        for norm, exact in ((2.0, W.norm(dim=1)), (INF, W.abs().sum(dim=1))):
            found = network.affine.dual_norms(value, norm)
            assert found.shape == (1, *graph.shapes[value])
            torch.testing.assert_close(found.flatten(), exact, rtol=2 * ROUNDING, atol=0)
            assert (found.flatten() >= exact).all()


@each
def test_a_few_rows_at_a_time_are_the_same(name: str) -> None:
    graph = NETWORKS[name](2)
    network, values = affine(graph)
    few = AffineValues(network.network, network.steps, lambda _value: 5)
    for value in values:
        close(few.matrix(value), network.affine.matrix(value))
        close(few.dual_norms(value, INF), network.affine.dual_norms(value, INF))


@each
def test_pulled_and_pushed_are_products_with_the_jacobian(name: str) -> None:
    graph = NETWORKS[name](3)
    network, values = affine(graph)
    pick = torch.Generator().manual_seed(0)
    for value in values:
        W, _ = dense(graph, value)
        coefficients = torch.randn((6, *graph.shapes[value]), generator=pick, dtype=torch.float64)
        changes = torch.randn((6, *graph.shapes[graph.input]), generator=pick, dtype=torch.float64)
        pulled, pushed = network.affine.pulled(value, coefficients), network.affine.pushed(value, changes)
        assert pulled.shape == changes.shape
        assert pushed.shape == coefficients.shape
        close(pulled.flatten(1), coefficients.flatten(1) @ W)
        close(pushed.flatten(1), changes.flatten(1) @ W.T)
        # What is pulled and what is pushed are transposes of each other.
        close((pulled * changes).flatten(1).sum(dim=1), (pushed * coefficients).flatten(1).sum(dim=1))


@each
@pytest.mark.parametrize("offset", [1.0, 1e9])
def test_pushed_is_within_the_rounding_told(name: str, offset: float) -> None:
    """Also where offsets are so large that almost nothing is left of the change."""
    graph = NETWORKS[name](4)
    biases = {node.inputs[2] for node in graph.nodes if node.op in ("Conv", "Gemm")}
    constants = {key: array * (offset if key in biases else 1) for key, array in graph.constants.items()}
    graph = replace(graph, constants=constants)
    network, values = affine(graph)
    pick = torch.Generator().manual_seed(1)
    missed = []
    for value in values:
        W, _ = dense(graph, value)
        alone, without = network.affine.pushed_size(value)
        assert (alone >= W.abs().sum(dim=1) * (1 - 1e-12)).all()
        assert (without >= 0).all()
        for scale in (1e-6, 1.0, 1e6):
            changes = scale * (2 * torch.rand((20, W.shape[1]), generator=pick, dtype=torch.float64) - 1)
            largest = changes.abs().amax(dim=1, keepdim=True)
            pushed = network.affine.pushed(value, changes.reshape(-1, *graph.shapes[graph.input])).flatten(1)
            off = (pushed - changes @ W.T).abs()
            # 1e-14 allows for the reference, a sum of at most 50 products.
            allowed = ROUNDING * (alone * largest + without) + 1e-14 * (changes.abs() @ W.T.abs())
            assert (off <= allowed).all()
            missed.append((off / (W.norm(dim=1) * scale).clamp(min=1e-300)).max())
    if offset > 1:
        # Without the part for the offsets this would not have held.
        assert max(missed) > 10 * ROUNDING


@each
def test_the_size_of_a_chain_is_the_product_of_absolute_matrices(name: str) -> None:
    """No less than |W| 1, and for a single convolution just that, with twice the offset for the other part."""
    graph = NETWORKS[name](5)
    network, values = affine(graph)
    W, zero = dense(graph, values[0])
    alone, without = network.affine.pushed_size(values[0])
    close(alone, W.abs().sum(dim=1))
    close(without, 2 * zero.abs())
    last = dense(graph, values[-1])[0]
    assert (network.affine.pushed_size(values[-1])[0] > 1.01 * last.abs().sum(dim=1)).any()


def test_steps_behind_a_value_are_those_it_is_computed_by() -> None:
    graph = added(0)
    network, values = affine(graph)
    written = writers(network.steps)
    assert {name: network.steps[place].outputs.count(name) for name, place in written.items()} == dict.fromkeys(
        written, 1
    )
    first = values[0]
    assert steps_behind(network.steps, first) == [written[first]]
    for value in values:
        behind = steps_behind(network.steps, value)
        assert behind == sorted(behind, reverse=True)
        moved = {graph.input}.union(*(network.steps[place].outputs for place in behind))
        assert all(set(network.steps[place].inputs) <= moved for place in behind)
        assert value in moved
    assert steps_behind(network.steps, graph.input) == []
