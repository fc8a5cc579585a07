"""Lines of single functions against the functions themselves."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from bounds.relaxation.zoo import ELEMENTWISE, dense_between

from nmcheck.bounds.relaxation.interval import Interval
from nmcheck.bounds.relaxation.lines import enclosure, hull_slope, piecewise_linear_points
from nmcheck.bounds.relaxation.preparation import prepare
from nmcheck.bounds.relaxation.prepared import PreparedElementwise
from nmcheck.bounds.relaxation.substitution import ElementwiseSubstitution
from nmcheck.execute.program import Program
from nmcheck.linearize.steps import network_of

GRID = 4001


def interval(low: torch.Tensor, high: torch.Tensor) -> Interval:
    return Interval((low + high) / 2, low, high, torch.maximum(low.abs(), high.abs()))


def prepared(name: str) -> PreparedElementwise:
    op, attributes, constants = ELEMENTWISE[name]
    graph = dense_between(0, op, attributes, constants)
    program = Program(graph, torch.float64)
    steps = prepare(graph, program, network_of(program))
    return next(step for step in steps if isinstance(step, PreparedElementwise))


def lines_of(name: str, low: torch.Tensor, high: torch.Tensor):
    step = prepared(name)
    outputs, substitution = step.advance([interval(low, high)], [])
    assert isinstance(substitution, ElementwiseSubstitution)
    return step, outputs[0], substitution.lines


def ends(seed: int, count: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Intervals of widths from 1e-6 to 20 around places from -6 to 6; seven elements each, as the zoo has."""
    pick = np.random.default_rng(seed)
    middle, width = pick.uniform(-6, 6, (count, 1, 7)), 10 ** pick.uniform(-6, 1.3, (count, 1, 7))
    return torch.from_numpy(middle - width / 2), torch.from_numpy(middle + width / 2)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_the_function_stays_between_its_lines_and_in_its_range(name: str) -> None:
    # The proof that they are sound is the module's: the grid here is far finer than the cells it speaks of, and would
    # show a wrong curvature, kink or allowance.
    low, high = ends(1)
    step, found, lines = lines_of(name, low, high)
    for weight in torch.linspace(0, 1, GRID // 20, dtype=torch.float64):
        x = torch.minimum(low + weight * (high - low), high)
        y = step.function(x)
        assert (lines.lower_slope * x + lines.lower_constant <= y).all()
        assert (lines.upper_slope * x + lines.upper_constant >= y).all()
        assert (found.low <= y).all()
        assert (found.high >= y).all()


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_the_lines_touch(name: str) -> None:
    # A line that nowhere comes near its function is sound and useless.
    low, high = ends(2)
    step, _, lines = lines_of(name, low, high)
    below, above = torch.full_like(low, torch.inf), torch.full_like(low, torch.inf)
    weights = torch.linspace(0, 1, GRID // 10, dtype=torch.float64)
    kinks = [torch.minimum(torch.maximum(torch.as_tensor(kink), low), high) for kink in step.kinks]
    for x in [*(low + weight * (high - low) for weight in weights), *kinks]:
        y = step.function(x)
        below = torch.minimum(below, y - lines.lower_slope * x - lines.lower_constant)
        above = torch.minimum(above, lines.upper_slope * x + lines.upper_constant - y)
    curvature = 0 if step.curvature is None else step.curvature(low, high)
    allowed = curvature * (high - low) ** 2 / 8 / 32**2 * 1.5 + curvature * ((high - low) / (GRID // 10)) ** 2 + 1e-9
    assert (below <= allowed).all()
    assert (above <= allowed).all()


def test_the_lines_of_a_relu_are_the_textbook_ones() -> None:
    low = torch.tensor([-1.0, -3.0, -2.0, 0.5, -0.5, -4.0, -1e-3], dtype=torch.float64).reshape(1, 1, 7)
    high = torch.tensor([3.0, 1.0, -1.0, 2.0, 0.25, 4.5, 5.0], dtype=torch.float64).reshape(1, 1, 7)
    _, found, lines = lines_of("Relu", low, high)
    unstable = (low < 0) & (high > 0)
    chord = torch.where(unstable, high / (high - low), (low >= 0).double())
    torch.testing.assert_close(lines.upper_slope, chord, rtol=1e-12, atol=0)
    torch.testing.assert_close(lines.upper_constant, torch.where(unstable, -low * chord, 0), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(lines.lower_slope, ((low + high) > 0).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(lines.lower_constant, torch.zeros_like(low), rtol=0, atol=1e-11)
    torch.testing.assert_close(found.low, low.clamp(min=0))
    torch.testing.assert_close(found.high, high.clamp(min=0))


def test_bounded_functions_get_flat_lines_on_wide_intervals() -> None:
    low, high = torch.full((1, 1, 7), -1e4, dtype=torch.float64), torch.full((1, 1, 7), 1e4, dtype=torch.float64)
    _, found, lines = lines_of("Tanh", low, high)
    assert (lines.upper_slope * 0 + lines.upper_constant <= 1 + 1e-9).all()
    assert (found.high <= 1 + 1e-9).all()


def test_hull_slope_against_all_pairs() -> None:
    pick = np.random.default_rng(3)
    points = torch.from_numpy(np.sort(pick.normal(size=(6, 50, 4)), axis=0))
    values = torch.from_numpy(pick.normal(size=(6, 50, 4)))
    middle = (points[0] + points[-1]) / 2
    slope = hull_slope(points, values, middle)
    for place in np.ndindex(50, 4):
        x, y, at = points[(slice(None), *place)], values[(slice(None), *place)], middle[place]
        heights = [
            (float(y[i] + (y[j] - y[i]) / (x[j] - x[i]) * (at - x[i])), float((y[j] - y[i]) / (x[j] - x[i])))
            for i in range(6)
            for j in range(i + 1, 6)
            if x[i] <= at <= x[j]
        ]
        assert math.isclose(max(heights)[1], slope[place].item(), rel_tol=1e-9)


def test_the_range_allows_for_the_rounding_of_its_own_ends() -> None:
    # 0.1 * 3 in float64 lies above the product of the numbers that 0.1 and 3 are there.
    slope, ends_ = 0.1, [3.0, 3.0 + 2**-40]
    low, high = (torch.full((1, 1), end, dtype=torch.float64) for end in ends_)
    points = piecewise_linear_points(low, high, ())
    found = enclosure(low, high, lambda x: slope * x, points, 0.0)
    assert Fraction(slope * ends_[0]) > Fraction(slope) * Fraction(ends_[0])
    assert Fraction(found.least.item()) <= Fraction(slope) * Fraction(ends_[0])
    assert Fraction(found.most.item()) >= Fraction(slope) * Fraction(ends_[1])


def test_what_a_relu_leaves_is_never_below_zero() -> None:
    low, high = torch.full((1, 1), -2.0, dtype=torch.float64), torch.full((1, 1), 3.0, dtype=torch.float64)
    found = enclosure(low, high, torch.relu, piecewise_linear_points(low, high, (0.0,)), 0.0)
    assert found.least.item() == 0
