"""Planes around maxima."""

import itertools

import numpy as np
import pytest
import torch
from bounds.networks import Builder, double

from nmcheck.bounds.relaxation.maximum import contested, maximum_planes
from nmcheck.bounds.relaxation.selection import SelectedPlanes, selection_of
from nmcheck.bounds.relaxation.substitution import PlaneSubstitution
from nmcheck.graph.ir import Graph
from nmcheck.linearize.steps import network_of
from nmcheck.steps import MaximumStep


def intervals(seed: int, taps: int = 4, count: int = 200) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Lower ends, upper ends and a point between, (taps, count, 1); some taps are constants, some far below."""
    pick = np.random.default_rng(seed)
    low = pick.normal(size=(taps, count, 1))
    width = pick.exponential(size=(taps, count, 1)) * (pick.random((taps, count, 1)) < 0.8)
    low[0, ::7] = -1e30
    width[0, ::7] = 0
    centre = low + width * pick.random((taps, count, 1))
    return torch.from_numpy(low), torch.from_numpy(low + width), torch.from_numpy(centre)


@pytest.mark.parametrize("seed", range(4))
def test_corners_lie_between_the_planes(seed: int) -> None:
    # Both planes are linear and the maximum is convex: above, the corners decide; below, a tap is a maximum's bound.
    low, high, _ = intervals(seed)
    planes = maximum_planes(low, high)
    for corner in itertools.product((0, 1), repeat=len(low)):
        x = torch.where(torch.tensor(corner).bool().reshape(-1, 1, 1), high, low)
        largest = x.amax(dim=0)
        near = torch.where(planes.upper > 0, planes.upper * x, 0).sum(dim=0) + planes.upper_constant
        assert (near >= largest).all()
        below = torch.where(planes.lower > 0, planes.lower * x, 0).sum(dim=0) + planes.lower_constant
        assert (below <= largest).all()


@pytest.mark.parametrize("seed", range(4))
def test_above_it_is_the_line_of_the_formula(seed: int) -> None:
    low, high, centre = intervals(seed)
    planes = maximum_planes(low, high)
    winner = high.argmax(dim=0, keepdim=True)
    others = high.scatter(0, winner, -torch.inf).amax(dim=0)
    low_w, high_w, x_w = (table.gather(0, winner).squeeze(0) for table in (low, high, centre))
    c0 = torch.maximum(low_w, others)
    slope = torch.where(high_w > low_w, (torch.maximum(high_w, others) - c0) / (high_w - low_w).clamp(min=1e-300), 0)
    line = c0 + slope * (x_w - low_w)
    ours = torch.where(planes.upper > 0, planes.upper * centre, 0).sum(dim=0) + planes.upper_constant
    torch.testing.assert_close(ours, line, rtol=1e-9, atol=1e-9)


def test_a_certain_winner_is_exact() -> None:
    low = torch.tensor([[1.0], [-2.0], [0.0]], dtype=torch.float64)[..., None]
    high = torch.tensor([[2.0], [0.5], [1.0]], dtype=torch.float64)[..., None]
    planes = maximum_planes(low, high)
    assert planes.upper.squeeze().tolist() == planes.lower.squeeze().tolist() == [1.0, 0.0, 0.0]
    assert abs(planes.upper_constant.item()) < 1e-11
    assert not contested(low, high).any()


def pooling(kernel: int, stride: int, pad: int, op: str = "MaxPool") -> Graph:
    builder = Builder((1, 2, 6, 5))
    size = [(side + 2 * pad - kernel) // stride + 1 for side in (6, 5)]
    attributes = {"kernel_shape": (kernel,) * 2, "strides": (stride,) * 2, "pads": (pad,) * 4}
    return builder.graph(builder.node(op, "x", (1, 2, *size), (), attributes))


@pytest.mark.parametrize(("kernel", "stride", "pad"), [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 0)])
def test_indexing_is_the_transpose_of_the_taps(kernel: int, stride: int, pad: int) -> None:
    graph = pooling(kernel, stride, pad)
    (step,) = network_of(double(graph)).steps
    assert isinstance(step, MaximumStep)
    selection = selection_of(step.taps, graph.shapes["x"])
    assert selection is not None
    assert selection.once == (stride >= kernel)
    pick = torch.Generator().manual_seed(0)
    images, taps, output = 3, kernel**2, graph.shapes[graph.logits]
    lower, upper = (torch.rand((taps, images, *output), generator=pick, dtype=torch.float64) for _ in range(2))
    constants = [torch.rand((images, *output), generator=pick, dtype=torch.float64) for _ in range(2)]
    transposed = torch.func.vmap(torch.func.vjp(step.taps, torch.zeros(graph.shapes["x"], dtype=torch.float64))[1])
    slow = PlaneSubstitution(tuple(lower), constants[0], tuple(upper), constants[1], lambda *parts: transposed(parts))
    quick = SelectedPlanes(selection, lower, constants[0], upper, constants[1])
    coefficients = (torch.randn((8, *output), generator=pick, dtype=torch.float64),)
    for owner in (torch.tensor([0, 0, 1, 1, 1, 2, 2, 0]), torch.full((8,), 1)):
        one, other = slow(coefficients, owner), quick(coefficients, owner)
        torch.testing.assert_close(other.coefficients[0], one.coefficients[0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(other.constant, one.constant, rtol=1e-12, atol=1e-12)


def test_a_tap_that_is_neither_element_nor_constant_is_not_taken_for_one() -> None:
    assert selection_of(lambda x: (x, 0.5 * x), (1, 4)) is None
    picked = selection_of(lambda x: (-x, torch.full_like(x, 3.0)), (1, 4))
    assert picked is not None
    assert picked.sign.tolist() == [[-1.0] * 4, [0.0] * 4]
