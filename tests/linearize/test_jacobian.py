import pytest
import torch

from nmcheck.linearize.jacobian import jacobian


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 7), (7, 3), (5, 5), (300, 150), (150, 300)])
def test_equals_the_matrix_of_an_affine_map_in_both_modes(inputs: int, outputs: int) -> None:
    weight = torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    value, found = jacobian(lambda x: weight @ x + 1, torch.ones(inputs, dtype=torch.float64))
    torch.testing.assert_close(found, weight)
    torch.testing.assert_close(value, weight.sum(1) + 1)


def test_equals_finite_differences_and_keeps_the_order_of_a_tensors_elements() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x.mT.sin(), x.mT.exp()])

    point = torch.randn(2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    _, found = jacobian(function, point)
    assert found.shape == (12, 6)
    step = 1e-6
    for index in range(6):
        shift = torch.zeros(6, dtype=torch.float64)
        shift[index] = step
        shift = shift.reshape(2, 3)
        slope = (function(point + shift) - function(point - shift)).flatten() / (2 * step)
        torch.testing.assert_close(found[:, index], slope, rtol=1e-7, atol=1e-8)
