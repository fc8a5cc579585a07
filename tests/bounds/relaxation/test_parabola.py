"""A parabola above a maximum of several values."""

import math

import pytest
import torch

from nmcheck.bounds.relaxation.parabola import Compared, parabola

PLACES = 400
SCALES = [1e-3, 1.0, 1e3]
OFF = 1e-11
"""Of the magnitudes that are summed: above what rounding makes of the gap, and of the height's own allowance."""


def compared(seed: int, taps: int, scale: float) -> tuple[Compared, torch.Tensor]:
    """Values of that scale with q of its inverse times 1e-3 to 1e3; some constants, some that cannot win, some ties."""
    pick = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.rand(shape, generator=pick, dtype=torch.float64)  # noqa: E731
    middle = scale * (2 * draw(taps, PLACES) - 1)
    half = scale * 10 ** (4 * draw(taps, PLACES) - 3)
    # Near each other, so that the kink is well inside the parabola, and equal.
    middle[:, ::4] = middle[:1, ::4] + 0.05 * middle[:, ::4]
    middle[:, ::20] = middle[:1, ::20]
    variable = draw(taps, PLACES) > 0.2
    variable[0, ~variable.any(dim=0)] = True
    half = torch.where(variable, half, 0)
    # Padding: a constant far below.
    far = (draw(taps, PLACES) < 0.15) & (torch.arange(taps) > 1).unsqueeze(1)
    middle, half, variable = torch.where(far, -1e30, middle), torch.where(far, 0, half), variable & ~far
    q = 10 ** (6 * draw(PLACES) - 3) / scale
    return Compared.between(middle - half, middle, middle + half, variable), q


def gaps(values: Compared, q: torch.Tensor, slopes: torch.Tensor, height: torch.Tensor, v: torch.Tensor):
    """Right side less left side at changes v, (points, taps, places), as (points, places)."""
    above = height + (slopes * v).sum(dim=1) + q * v.square().sum(dim=1)
    return above - (values.middle + v).amax(dim=1)


def candidates(values: Compared, q: torch.Tensor, slopes: torch.Tensor) -> torch.Tensor:
    """For every k the changes at which the sides are nearest, (taps, taps, places)."""
    winner = torch.eye(len(slopes), dtype=torch.float64).unsqueeze(2)
    return torch.minimum(torch.maximum((winner - slopes) / (2 * q), -values.half), values.half)


def magnitude(values: Compared, q: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Of the terms of the gap, for slopes of at most one."""
    near = torch.where(values.possible, values.middle.abs(), 0).amax(dim=0)
    return near + values.half.sum(dim=0) + (v.abs() + q * v.square()).sum(dim=1)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("taps", [2, 3, 5])
def test_it_is_above_the_maximum_everywhere_in_the_box(taps: int, scale: float) -> None:
    values, q = compared(taps, taps, scale)
    slopes, height = parabola(values, q)
    pick = torch.Generator().manual_seed(10 + taps)
    inside = 2 * torch.rand((200, taps, PLACES), generator=pick, dtype=torch.float64) - 1
    inside[:60] = inside[:60].sign()
    inside[60:120] *= 10 ** (-3 * torch.rand((60, 1, PLACES), generator=pick, dtype=torch.float64))
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)] * taps)
    v = torch.cat([inside * values.half, corners.unsqueeze(2) * values.half, candidates(values, q, slopes)])
    gap = gaps(values, q, slopes, height, v)
    assert (gap >= -1e-15 * magnitude(values, q, v)).all()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("taps", [2, 3, 5])
def test_no_lower_height_will_do(taps: int, scale: float) -> None:
    values, q = compared(20 + taps, taps, scale)
    slopes, height = parabola(values, q)
    v = candidates(values, q, slopes)
    # Of a value that cannot be the largest no point is asked for.
    gap = torch.where(values.possible, gaps(values, q, slopes, height, v), torch.inf)
    least, at = gap.min(dim=0)
    assert (least <= OFF * magnitude(values, q, v).gather(0, at.unsqueeze(0)).squeeze(0)).all()


@pytest.mark.parametrize("taps", [2, 3, 5])
def test_slopes_are_weights_of_two_values_and_none_of_constants(taps: int) -> None:
    values, q = compared(40 + taps, taps, 1.0)
    slopes, _ = parabola(values, q)
    assert (~values.variable).any()
    assert (slopes[~values.variable] == 0).all()
    assert (slopes[~values.possible] == 0).all()
    assert ((slopes >= 0) & (slopes <= 1)).all()
    assert ((slopes > 0).sum(dim=0) <= 2).all()
    assert (slopes.sum(dim=0)[values.variable.all(dim=0)] - 1).abs().max() < 1e-12


def test_slopes_are_the_best_for_two_values_in_a_wide_box() -> None:
    """No slopes p, 1 - p of the two make the height lower; with a constant, no slope p of the other."""
    pick = torch.Generator().manual_seed(0)
    middle = 2 * torch.rand((2, 200), generator=pick, dtype=torch.float64) - 1
    q = 10 ** (2 * torch.rand(200, generator=pick, dtype=torch.float64) - 1)
    for constant in (False, True):
        half = torch.full_like(middle, 1e3)
        half[1] *= not constant
        values = Compared(middle, half, torch.ones_like(middle) > 0, half > 0)
        _, height = parabola(values, q)
        best = torch.full_like(q, torch.inf)
        for p in torch.linspace(0, 1, 2001, dtype=torch.float64):
            # In a box without ends, phi(a) = a^2 / (4 q).
            first, second = ((1 - p) ** 2, p**2) if constant else (2 * (1 - p) ** 2, 2 * p**2)
            reached = torch.maximum(middle[0] + first / (4 * q), middle[1] + second / (4 * q))
            best = torch.minimum(best, reached)
        assert (height <= best + 1e-9).all()
        assert (height >= best - 2e-3 / q).all()


def test_with_zero_it_is_the_parabola_above_relu() -> None:
    """q (v + (1/2 + 2 q z) / (2 q))^2 moved up where the vertex allows: above ReLU, touching it on either side."""
    z = torch.linspace(-0.4, 0.4, 17, dtype=torch.float64)
    q = torch.full_like(z, 0.5)
    zeros = torch.zeros_like(z)
    middle, half = torch.stack([z, zeros]), torch.stack([zeros + 10, zeros])
    values = Compared.between(middle - half, middle, middle + half, half > 0)
    slopes, height = parabola(values, q)
    t = slopes[0]
    # Touching 0 and z + v: M = t^2 / (4 q) = z + (1 - t)^2 / (4 q).
    torch.testing.assert_close(height, t**2 / (4 * q), rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(height, z + (1 - t) ** 2 / (4 * q), rtol=1e-10, atol=1e-11)


def test_what_cannot_be_the_largest_is_told() -> None:
    low = torch.tensor([[0.0], [-2.0], [-1.0], [-math.inf]], dtype=torch.float64)
    high = torch.tensor([[1.0], [-0.5], [0.0], [-math.inf]], dtype=torch.float64)
    middle = torch.where(low.isfinite(), (low + high) / 2, -math.inf)
    values = Compared.between(low, middle, high, low.isfinite())
    assert values.possible.flatten().tolist() == [True, False, False, False]
    assert not values.contested.any()
    same = Compared.between(low[:1].repeat(2, 1), middle[:1].repeat(2, 1), high[:1].repeat(2, 1), low[:2].isfinite())
    assert same.contested.all()
