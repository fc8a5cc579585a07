"""Lines of local response normalization."""

import math

import numpy as np
import pytest
import torch

from nmcheck.bounds.lrn import LocalResponseNormalization
from nmcheck.bounds.relaxation.interval import Interval
from nmcheck.bounds.relaxation.response import gains, response, response_lines, response_range

LAYERS = [
    LocalResponseNormalization(3, 1.0, 0.75, 1.0),
    LocalResponseNormalization(5, 1e-2, 0.75, 2.0),
    LocalResponseNormalization(2, 3.0, 0.5, 0.5),
    LocalResponseNormalization(1, 1.0, 1.2, 1.0),
]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("radius", [0.4, math.inf])
def test_points_lie_between_the_lines(layer: LocalResponseNormalization, signed: bool, radius: float) -> None:
    pick = np.random.default_rng(0)
    centre = torch.from_numpy(pick.normal(size=(5, 1, 6, 2, 2)))
    width = torch.from_numpy(pick.exponential(0.5, size=centre.shape))
    if not signed:
        centre = centre.abs()
    low, high = centre - width, centre + width
    x = Interval(centre, low if signed else low.clamp(min=0), high, centre.abs() + width)
    low_gain, high_gain = gains(layer, x, torch.full((5,), radius, dtype=torch.float64))
    lines, ends = response_lines(low_gain, high_gain, x), response_range(low_gain, high_gain, x)
    for _ in range(300):
        point = x.low + torch.from_numpy(pick.beta(0.5, 0.5, size=centre.shape)) * (x.high - x.low)
        if math.isfinite(radius):
            step = point - centre
            length = torch.linalg.vector_norm(step.flatten(1), dim=1).reshape(-1, 1, 1, 1, 1)
            point = centre + step * (radius / length).clamp(max=1)
        y = response(layer, point)
        assert (lines.lower_slope * point + lines.lower_constant <= y).all()
        assert (lines.upper_slope * point + lines.upper_constant >= y).all()
        assert (ends[0] <= y).all()
        assert (ends[1] >= y).all()


def test_on_one_side_of_zero_the_lines_are_the_gains() -> None:
    layer = LAYERS[0]
    low = torch.rand((2, 1, 4, 3, 3), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = Interval(low + 0.5, low, low + 1, low + 1)
    gain = gains(layer, x, torch.full((2,), math.inf, dtype=torch.float64))
    lines = response_lines(*gain, x)
    torch.testing.assert_close(lines.lower_slope, gain[0])
    torch.testing.assert_close(lines.upper_slope, gain[1])
    assert lines.lower_constant.abs().max() < 1e-11
    negative = Interval(-x.centre, -x.high, -x.low, x.size)
    turned = response_lines(*gain, negative)
    torch.testing.assert_close(turned.lower_slope, lines.upper_slope)


def test_a_smaller_ball_narrows_the_gain() -> None:
    layer = LAYERS[0]
    centre = torch.ones((1, 1, 5, 2, 2), dtype=torch.float64)
    x = Interval(centre, centre - 3, centre + 3, centre + 3)
    wide = gains(layer, x, torch.tensor([math.inf], dtype=torch.float64))
    narrow = gains(layer, x, torch.tensor([0.1], dtype=torch.float64))
    assert (narrow[0] > wide[0]).all()
    assert (narrow[1] < wide[1]).all()
