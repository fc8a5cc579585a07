import math

import pytest
import torch

from nmcheck.bounds.dense import spectral_norm
from nmcheck.bounds.published.theorem_4_2 import (
    TABLE_4_1,
    algorithm_4_1,
    jacobian_norm,
    slopes,
    statement,
    theorem_4_2,
)


def bound(norm: float, second: float, units: int, delta: float) -> float:
    one = torch.ones(1, dtype=torch.float64)
    return theorem_4_2(norm * one, second, units, delta * one).item()


def test_table_4_1():
    x = torch.linspace(-6, 6, 600_001, dtype=torch.float64)
    for op, activation in {"Sigmoid": torch.sigmoid, "Softplus": torch.nn.functional.softplus}.items():
        (first,) = torch.autograd.grad(activation(y := x.clone().requires_grad_(True)).sum(), y, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), y)
        assert first.abs().max().item() <= TABLE_4_1[op][0]
        assert second.abs().max().item() == pytest.approx(TABLE_4_1[op][1], rel=1e-6)
    # The true bound on tanh'' is 4 / (3 sqrt 3); the table prints half of it.
    assert TABLE_4_1["Tanh"][1] == pytest.approx(0.3849, abs=5e-5)
    assert TABLE_4_1["Tanh"][1] == pytest.approx(4 / (3 * math.sqrt(3)) / 2)


def test_entrywise_second_derivatives_do_not_do_but_algorithm_4_1_does():
    # softplus of the sum of 100 inputs, at -2, with the boundary at 1: the actual distance is 0.3.
    row = torch.ones((1, 100), dtype=torch.float64)
    z, boundary = torch.tensor(-2.0, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64)
    actual = (boundary - z).item() / 10
    delta = (torch.nn.functional.softplus(boundary) - torch.nn.functional.softplus(z)).item()
    norm = jacobian_norm([row], [torch.sigmoid(z)[None]])
    assert norm == pytest.approx(10 * torch.sigmoid(z).item())
    assert bound(norm, 0.25, 1, delta) == pytest.approx(0.909, abs=5e-4)
    assert actual == pytest.approx(0.3)
    second = algorithm_4_1([row], ["Softplus"])
    assert bound(norm, second, 1, delta) == pytest.approx(0.030, abs=5e-4)
    assert statement(["Softplus"]).sound


def test_the_table_s_tanh_makes_the_theorem_false():
    x, r = -0.6585, 0.5
    delta = math.tanh(x + r) - math.tanh(x)
    second = algorithm_4_1([torch.ones((1, 1), dtype=torch.float64)], ["Tanh"])
    assert bound(1 - math.tanh(x) ** 2, second, 1, delta) == pytest.approx(0.545, abs=5e-4)
    assert not statement(["Tanh"]).sound


@pytest.mark.parametrize(
    ("margin", "off", "published", "actual"), [(0.5, 0.01, 1.0, 0.51), (1e-4, 1e-6, 0.01414, 1.01e-4)]
)
def test_relu_violates_it_by_any_factor(margin, off, published, actual):
    # relu(x) at x = -off, with the boundary at margin.
    row = torch.ones((1, 1), dtype=torch.float64)
    slope = slopes("Relu", torch.tensor([[-off]], dtype=torch.float64))
    norm = jacobian_norm([row], [slope[0]])
    assert bound(norm, algorithm_4_1([row], ["Relu"]), 1, margin) == pytest.approx(published, rel=1e-3)
    assert margin + off == pytest.approx(actual)
    assert not statement(["Relu"]).sound


def test_algorithm_4_1_by_hand():
    first = torch.tensor([[1.0, -2.0], [0.5, 0.5]], dtype=torch.float64)
    second = torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    a, b = TABLE_4_1["Sigmoid"]
    m1, n1 = b * 9, a * 3
    assert algorithm_4_1([first, second], ["Sigmoid", "Sigmoid"]) == pytest.approx(b * n1**2 * 4 + a * m1 * 2)


@pytest.mark.parametrize("activation", sorted(TABLE_4_1))
def test_jacobian_norm_is_exact(activation):
    generator = torch.Generator().manual_seed(1)
    shapes = [(9, 6), (7, 9), (8, 7)]
    weights = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    function = {
        "Relu": torch.relu, "Tanh": torch.tanh, "Sigmoid": torch.sigmoid, "Softplus": torch.nn.functional.softplus,
    }[activation]  # fmt: skip

    def hidden(x):
        for weight in weights:
            x = function(weight @ x)
        return x

    x = torch.randn(6, generator=generator, dtype=torch.float64)
    layer_slopes, value = [], x
    for weight in weights:
        layer_slopes.append(slopes(activation, (weight @ value)[None])[0])
        value = function(weight @ value)
    expected = spectral_norm(torch.func.jacrev(hidden)(x))
    assert jacobian_norm(weights, layer_slopes) == pytest.approx(expected, rel=1e-8)


def test_limits():
    assert bound(2.0, 0.0, 5, 3.0) == pytest.approx(1.5)
    assert bound(0.0, 0.0, 5, 3.0) == math.inf
    assert bound(2.0, 1.0, 5, 0.0) == 0
    assert bound(2.0, 1.0, 5, math.inf) == math.inf
    assert jacobian_norm([torch.ones((2, 3), dtype=torch.float64)], [torch.zeros(2, dtype=torch.float64)]) == 0
