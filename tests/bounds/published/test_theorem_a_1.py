"""Theorem A.1's remainder, Theorem 4.4 and Equation 5.13 of the thesis (docs/errata.md)."""

import math
from itertools import accumulate

import pytest
import torch

from nmcheck.bounds.published.theorem_4_2 import TABLE_4_1, algorithm_4_1, theorem_4_2


@pytest.mark.parametrize("n", [2, 3, 10, 100])
def test_the_remainder_is_too_small_by_the_input_s_dimension(n: int) -> None:
    # f(x) = (x1 + ... + xn)^2 / 2: every second derivative is 1, so M = 1; there is one output, so m = 1.
    x, r = torch.zeros(n, dtype=torch.float64), torch.ones(n, dtype=torch.float64)

    def f(point: torch.Tensor) -> torch.Tensor:
        return point.sum() ** 2 / 2

    hessian = torch.func.hessian(f)(x)
    assert (hessian == 1).all()
    remainder = (f(x + r) - f(x) - torch.func.grad(f)(x) @ r).item()
    claimed = 1 / 2 * math.sqrt(1) * r.square().sum().item()
    assert remainder == n * claimed
    # What holds: the Hessian's norm in the place of M.
    assert remainder == pytest.approx(torch.linalg.matrix_norm(hessian, 2).item() / 2 * r.square().sum().item())


@pytest.mark.parametrize("op", ["Sigmoid", "Softplus"])
def test_theorem_4_4_s_recursions_bound_all_first_and_second_derivatives(op: str) -> None:
    generator = torch.Generator().manual_seed(2)
    weights = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in [(4, 3), (5, 4), (2, 5)]]
    activation = {"Sigmoid": torch.sigmoid, "Softplus": torch.nn.functional.softplus}[op]

    def hidden(x: torch.Tensor) -> torch.Tensor:
        for weight in weights:
            x = activation(weight @ x)
        return x

    first = math.prod(TABLE_4_1[op][0] * weight.abs().sum(dim=1).max().item() for weight in weights)
    second = algorithm_4_1(weights, [op] * len(weights))
    points = 3 * torch.randn((200, 3), generator=generator, dtype=torch.float64)
    slopes = torch.func.vmap(torch.func.jacrev(hidden))(points)
    curvatures = torch.func.vmap(torch.func.hessian(hidden))(points)
    assert 0 < slopes.abs().max().item() <= first
    assert 0 < curvatures.abs().max().item() <= second


def test_a_jacobian_s_norm_by_power_iteration_makes_the_bound_too_large() -> None:
    # A linear hidden layer diag(1, 0.9), the boundary at first coordinate 1: the distance is 1.
    layer = torch.diag(torch.tensor([1.0, 0.9], dtype=torch.float64))
    vector = torch.ones(2, dtype=torch.float64)
    estimates = []
    for _ in range(4):
        vector = vector / torch.linalg.vector_norm(vector)
        estimates.append(torch.linalg.vector_norm(layer @ vector).item())
        vector = layer.T @ layer @ vector
    assert estimates == sorted(estimates)
    assert all(estimate < 1 for estimate in estimates)
    one = torch.ones(1, dtype=torch.float64)
    bounds = [theorem_4_2(estimate * one, 0.0, 2, one).item() for estimate in estimates]
    assert bounds[0] == pytest.approx(1.051, abs=5e-4)
    assert all(bound > 1 for bound in bounds)


@pytest.mark.parametrize("layers", [1, 3, 10, 40])
def test_equation_5_13_is_right_and_its_gain_does_not_grow_with_depth(layers: int) -> None:
    # Figure 5.13: kappa_l = alpha kappa_(l+1), 0.1 added at every layer, kappa_L = 2.
    alpha, delta, last = 0.01, 0.1, 2.0
    kappas = [last * alpha**depth for depth in range(layers)]
    (*_, raised) = accumulate(range(layers - 1), lambda kappa, _: alpha * kappa + delta, initial=last + delta)
    assert raised / kappas[-1] == pytest.approx(1 + delta * sum(1 / kappa for kappa in kappas))
    gain = raised - kappas[-1]
    assert delta * (1 - 1e-12) <= gain <= delta / (1 - alpha)
