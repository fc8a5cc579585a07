"""ECLipsE-Fast's pair constants and the radii by class that use them."""

import math

import numpy as np
import pytest
import torch
from bounds.attack import adversarial_norm
from bounds.networks import Builder, double, weights

from nmcheck.bounds.affine_run import LayerConstants
from nmcheck.bounds.dense_chain import dense_tail, pair_constants, tail_constants
from nmcheck.bounds.pair_radius import PairRadii
from nmcheck.bounds.radius import CertifiedRadii
from nmcheck.bounds.softmax_margin import pair_distances, predicted_class
from nmcheck.graph.ir import Graph

SIZES = (6, 9, 8, 4)


def matrices(seed: int, sizes: tuple[int, ...] = SIZES) -> list[torch.Tensor]:
    shapes = [(*pair,) for pair in zip(sizes[1:], sizes, strict=False)]
    return [torch.from_numpy(weights(seed + k, *shape)) for k, shape in enumerate(shapes)]


@pytest.mark.parametrize("seed", range(5))
def test_no_slopes_of_the_activations_make_a_pair_steeper(seed: int) -> None:
    chain = matrices(10 * seed)
    found = pair_constants(chain)
    product = math.prod(torch.linalg.matrix_norm(w, 2).item() for w in chain[:-1]) * pair_distances(chain[-1])
    assert (found <= product * (1 + 1e-5)).all()
    assert (found < 0.95 * product)[~torch.eye(4, dtype=torch.bool)].any()
    pick = torch.Generator().manual_seed(seed)
    for sharp in (True, False) * 150:
        slopes = [torch.rand(len(w), generator=pick, dtype=torch.float64) for w in chain[:-1]]
        slopes = [slope.round() if sharp else slope for slope in slopes]
        jacobian = torch.eye(SIZES[0], dtype=torch.float64)
        for weight, slope in zip(chain, [*slopes, torch.ones(4, dtype=torch.float64)], strict=True):
            jacobian = slope.unsqueeze(1) * (weight @ jacobian)
        assert (pair_distances(jacobian) <= found).all()


def test_one_layer_is_exact_and_none_of_its_weights_gives_zero() -> None:
    (weight,) = matrices(3, (6, 4))
    torch.testing.assert_close(pair_constants([weight]), pair_distances(weight), rtol=2e-6, atol=0)
    assert (pair_constants([torch.zeros((5, 6), dtype=torch.float64), matrices(0, (5, 4))[0]]) == 0).all()


@pytest.mark.parametrize("exponents", [(-300, -300, -300), (-90, -90, -90), (0, 200, -250), (400, -200, -100)])
def test_factors_of_the_layers_are_a_factor_of_the_constants(exponents: tuple[int, ...]) -> None:
    chain = matrices(5)
    scaled = [weight * 2.0**exponent for weight, exponent in zip(chain, exponents, strict=True)]
    expected = pair_constants(chain) * 2.0 ** sum(exponents)
    torch.testing.assert_close(pair_constants(scaled), expected, rtol=1e-9, atol=0)


def test_what_is_too_small_or_too_large_for_a_number_is_rounded_up() -> None:
    chain = matrices(5)
    others = ~torch.eye(4, dtype=torch.bool)
    vanishing = pair_constants([weight * 2.0**-400 for weight in chain])
    assert (vanishing[others] > 0).all()
    assert (vanishing.diagonal() == 0).all()
    assert torch.isinf(pair_constants([weight * 2.0**400 for weight in chain])[others]).all()
    # Rows whose difference has a square that is no number any more: their distance is 1e-200.
    last = torch.tensor([[1.0, 1e-200], [1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    found = pair_constants([torch.eye(2, dtype=torch.float64), last])
    assert found[0, 1] >= 1e-200
    assert found[1, 2] == 0


@pytest.mark.parametrize("depth", [3, 9])
def test_a_network_whose_slopes_all_but_vanish_is_bounded(depth: int) -> None:
    builder = Builder((1, 6))
    value = "x"
    for layer in range(depth):
        value = builder.relu(builder.dense(value, 1e-27 * weights(layer, 6, 6), weights(20, 6)))
    graph = builder.graph(builder.dense(value, weights(30, 4, 6), weights(31, 4)))
    radii = PairRadii(LayerConstants(graph, double(graph))).at(torch.ones((1, *graph.shapes["x"]), dtype=torch.float64))
    assert (radii.amin(dim=1) > 1e70).all()


def convolutional(op: str = "Relu", **attributes: float) -> Graph:
    builder = Builder((1, 2, 6, 6))
    value = builder.max_pool(builder.relu(builder.conv("x", weights(0, 4, 2, 3, 3))))
    flat = builder.flatten(value)
    hidden = builder.node(op, builder.dense(flat, weights(1, 8, 16), weights(2, 8)), (1, 8), (), attributes)
    hidden = builder.node(op, builder.dense(hidden, weights(3, 8, 8), weights(4, 8)), (1, 8), (), attributes)
    return builder.graph(builder.dense(hidden, weights(5, 4, 8)))


def test_the_tail_ends_at_what_is_no_monotone_activation() -> None:
    tail = dense_tail(convolutional())
    assert tail is not None
    assert [len(run.nodes) for run in tail.runs] == [2, 1, 1]
    assert dense_tail(convolutional("Gelu")) is None
    assert dense_tail(convolutional("LeakyRelu", alpha=0.3)) is not None
    assert dense_tail(convolutional("LeakyRelu", alpha=1.3)) is None
    assert dense_tail(convolutional("LeakyRelu", alpha=-0.1)) is None
    builder = Builder((1, 6))
    hidden = builder.relu(builder.dense("x", weights(0, 6, 6)))
    total = builder.node("Add", [hidden, builder.relu(builder.dense(hidden, weights(1, 6, 6)))], (1, 6))
    skipped = builder.graph(builder.dense(total, weights(2, 4, 6)))
    assert dense_tail(skipped) is None


@pytest.mark.parametrize("op", ["Relu", "Tanh"])
def test_radii_by_class_are_sound_and_no_smaller(op: str) -> None:
    graph = convolutional(op)
    program = double(graph)
    constants = LayerConstants(graph, program)
    x = torch.from_numpy(np.random.default_rng(0).random((6, *graph.shapes["x"])))
    logits = program(x)
    plain = CertifiedRadii(constants, logits, predicted_class(logits), {}).from_values((graph.input,))
    pairs = PairRadii(constants).at(x)
    assert (pairs.amin(dim=1) >= plain).all()
    assert (pairs.amin(dim=1) > 1.02 * plain).any()
    for one in range(len(x)):
        assert pairs[one].amin() <= adversarial_norm(program.function(graph.input, graph.logits), x[one])
        assert torch.isinf(pairs[one, int(logits[one].argmax())])
    tail = dense_tail(graph)
    assert tail is not None
    assert tail_constants(constants, tail) is not None
