"""What the thesis says of the fast gradient methods, and where it is wrong (docs/errata.md)."""

import math
from collections.abc import Callable

import pytest
import torch
from attacks.networks import Linear, rand
from torch import Tensor

from nmcheck.attacks.deepfool import deepfool
from nmcheck.attacks.fast_gradient import fgs
from nmcheck.attacks.norms import Norm
from nmcheck.attacks.problem import Problem


def two_classes(first: list[float], second: list[float]) -> Linear:
    return Linear(torch.tensor([first, second], dtype=torch.float64), torch.zeros(2, dtype=torch.float64))


def at(x: list[float], network: Callable[[Tensor], Tensor], norm: Norm = Norm.L2, reach: float = 8.0) -> Problem:
    return Problem(network, torch.tensor([x], dtype=torch.float64), torch.tensor([0]), norm, reach=reach)


def algorithm_2_1(flips: Callable[[float], bool], most: float, tests: int) -> tuple[float, float, float] | None:
    """The search as printed, whose l, u and epsilon after ``tests`` steps are returned; None if it has ended."""
    low, high = 0.0, most
    epsilon = high / 2
    for _ in range(tests):
        if not high - low > 0:
            return None
        if flips(epsilon):
            high = epsilon
        else:
            low = epsilon
        epsilon = low + (high - low) / 2
    return low, high, epsilon


def test_the_published_search_never_ends_and_returns_what_it_never_tested() -> None:
    untested = 0
    for least in [0.3, *rand(200, seed=1).tolist()]:
        stuck = algorithm_2_1(lambda epsilon, least=least: epsilon >= least, 1.0, 2000)
        assert stuck is not None
        # Where it stands no step changes anything: the middle of two neighboring numbers is one of them.
        assert stuck == algorithm_2_1(lambda epsilon, least=least: epsilon >= least, 1.0, 2001)
        low, high, epsilon = stuck
        assert math.nextafter(low, math.inf) == high
        untested += epsilon < least
    assert untested > 20
    stuck = algorithm_2_1(lambda epsilon: epsilon >= 0.3, 1.0, 2000)
    assert stuck == (math.nextafter(0.3, 0), 0.3, math.nextafter(0.3, 0))


def test_a_failed_published_search_ends_at_the_largest_epsilon() -> None:
    tried: list[float] = []

    def never(epsilon: float) -> bool:
        tried.append(epsilon)
        return False

    assert algorithm_2_1(never, 1.0, 60) is None
    assert len(tried) == 54
    assert max(tried) == 1.0


def test_our_search_says_that_it_failed() -> None:
    asked = at([1.0, 1.0], two_classes([3.0, 1.0], [0.0, 0.0]), reach=0.99)
    assert fgs(asked).norms.isinf().all()


def test_fast_gradient_sign_is_not_exact_for_a_linear_classifier() -> None:
    network = two_classes([3.0, 1.0], [0.0, 0.0])
    asked = at([1.0, 1.0], network)
    # Along (-1, -1) the boundary 3 x1 + x2 = 0 is reached at epsilon 1; its nearest point is (-0.2, 0.6).
    assert fgs(asked).norms.item() == pytest.approx(math.sqrt(2), rel=1e-5)
    assert deepfool(asked).norms.item() == pytest.approx(4 / math.sqrt(10), rel=1e-5)
    boundary = network(torch.tensor([[-0.2, 0.6]], dtype=torch.float64))[0]
    assert boundary[0].item() == pytest.approx(boundary[1].item(), abs=1e-15)
    assert fgs(at([1.0, 1.0], network, Norm.LINF)).norms.item() == pytest.approx(1.0, rel=1e-5)


def loss_slope(network: Linear, dtype: torch.dtype) -> Tensor:
    x = torch.tensor([[1.0, 0.0]], dtype=dtype, requires_grad=True)
    logits = x @ network.weight.T.to(dtype)
    (slope,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, torch.tensor([0])), x)
    return slope[0]


def test_the_gradient_of_a_softmax_loss_vanishes_where_the_network_is_sure() -> None:
    network = two_classes([60.0, 0.0], [-60.0, 0.0])
    assert loss_slope(network, torch.float32).tolist() == [0.0, 0.0]
    assert fgs(at([1.0, 0.0], network)).norms.item() == pytest.approx(1.0, rel=1e-5)


def test_and_points_elsewhere_before_it_does() -> None:
    # p_c is 1 in float64 from a margin of 37: what is left is the slope of the other class alone.
    network = two_classes([40.0, 0.0], [0.0, 1.0])
    slope = loss_slope(network, torch.float64)
    assert slope[0] == 0
    assert 0 < slope[1] < 1e-17
    # Along (0, 1) the boundary 40 x1 = x2 is at 40; along the sign of the difference's slope at 40/41.
    along = network(torch.tensor([[1.0, 39.9], [1.0, 40.1]], dtype=torch.float64)).argmax(dim=1)
    assert along.tolist() == [0, 1]
    assert fgs(at([1.0, 0.0], network, Norm.LINF)).norms.item() == pytest.approx(40 / 41, rel=1e-5)
