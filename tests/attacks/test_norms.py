import pytest
import torch
from attacks.networks import randn

from nmcheck.attacks.norms import Norm, per_image


@pytest.mark.parametrize("norm", Norm)
def test_the_steepest_direction_has_norm_one_and_attains_the_dual_norm(norm):
    slope = randn(7, 3, 4)
    direction = norm.steepest(slope)
    torch.testing.assert_close(norm.of(direction), torch.ones(7).double())
    torch.testing.assert_close((slope * direction).flatten(1).sum(1), norm.dual(slope))


@pytest.mark.parametrize("norm", Norm)
def test_no_direction_of_norm_one_is_steeper(norm):
    slope, others = randn(200, 6), randn(200, 6, seed=1)
    others = others / norm.of(others)[:, None]
    assert ((slope * others).sum(1) <= norm.dual(slope) * (1 + 1e-12)).all()


def test_slopes_whose_squares_vanish_have_a_direction_too():
    slope = torch.tensor([[3e-30, 4e-30], [0.0, 0.0]])
    torch.testing.assert_close(Norm.L2.steepest(slope), torch.tensor([[0.6, 0.8], [0.0, 0.0]]))


@pytest.mark.parametrize("norm", Norm)
def test_projection_lies_in_the_ball_and_nothing_in_it_is_nearer(norm):
    change, radius = 2 * randn(50, 8), randn(50, seed=1).abs() + 0.1
    projected = norm.project(change, radius)
    assert (norm.of(projected) <= radius * (1 + 1e-12)).all()
    inside = randn(50, 8, seed=2)
    inside = inside * (radius / norm.of(inside))[:, None]
    distance = torch.linalg.vector_norm(change - projected, dim=1)
    assert (distance <= torch.linalg.vector_norm(change - inside, dim=1)).all()
    small = change * (radius / norm.of(change) / 2)[:, None]
    torch.testing.assert_close(norm.project(small, radius), small)


def test_one_number_an_image_is_shaped_to_multiply_images():
    assert (per_image(torch.arange(2.0), torch.ones(2, 3, 4)) * torch.ones(2, 3, 4))[1].eq(1).all()
