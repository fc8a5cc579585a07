import pytest
import torch

from nmcheck.bounds.dense import dense_bound, spectral_norm


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (7, 30), (30, 7), (20, 20)])
@pytest.mark.parametrize("scale", [1e-160, 1.0, 1e160])
def test_is_the_largest_singular_value(shape, scale):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = torch.linalg.svdvals(matrix)[0].item() * scale
    assert spectral_norm(matrix * scale) == pytest.approx(exact, rel=1e-12)
    assert exact < dense_bound(matrix * scale).value < exact * 1.00001


def test_an_empty_or_zero_matrix_moves_nothing():
    assert dense_bound(torch.zeros((3, 4), dtype=torch.float64)).value == 0
    assert dense_bound(torch.zeros((0, 4), dtype=torch.float64)).value == 0
