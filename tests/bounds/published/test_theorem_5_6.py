import pytest
import torch

from nmcheck.bounds.batch_normalization import batch_normalization_bound
from nmcheck.bounds.published.theorem_5_6 import STATEMENT, NormalizedComponents, deltas, theorem_5_6

ONE = torch.ones(1, dtype=torch.float64)


def layer(scale: list[float]) -> NormalizedComponents:
    gamma = torch.tensor(scale, dtype=torch.float64)
    return NormalizedComponents(gamma, 0 * gamma, 0 * gamma, torch.ones_like(gamma))


def certified(scale: list[float]) -> float:
    gamma = torch.tensor(scale, dtype=torch.float64)
    return 1 / batch_normalization_bound(gamma, torch.ones_like(gamma), 0.0).value


def test_the_maximum_over_components_exceeds_an_actual_change():
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    found = deltas(ONE, x, layer([1.0, 0.01]))[0]
    assert found.tolist() == pytest.approx([0.581, 122.5], rel=1e-3)
    assert theorem_5_6(ONE, x, layer([1.0, 0.01])).item() == pytest.approx(122.5, rel=1e-3)
    # A change of norm 1 along the first component moves the output by kappa = 1.
    assert certified([1.0, 0.01]) <= 1.0
    assert certified([1.0, 0.01]) == pytest.approx(1.0, rel=2e-6)
    assert not STATEMENT.sound


def test_the_minimum_would_be_false_too():
    # Output (0, 100): x = (0, 1000) under the scales (1, .1).
    x = torch.tensor([[0.0, 1000.0]], dtype=torch.float64)
    found = deltas(ONE, x, layer([1.0, 0.1]))[0]
    assert found.min().item() == pytest.approx(5.01, abs=5e-3)
    assert certified([1.0, 0.1]) == pytest.approx(1.0, rel=2e-6)


def test_deltas_solve_their_quadratic():
    generator = torch.Generator().manual_seed(0)
    scale, shift, mean = (torch.randn(6, generator=generator, dtype=torch.float64) for _ in range(3))
    parameters = NormalizedComponents(scale, shift, mean, torch.rand(6, generator=generator, dtype=torch.float64) + 0.1)
    x = torch.randn((3, 6), generator=generator, dtype=torch.float64)
    kappa = torch.tensor([0.1, 1.0, 7.0], dtype=torch.float64)
    found = deltas(kappa, x, parameters)
    output = scale * (x - mean) / parameters.variance.sqrt() + shift
    psi = ((2 * kappa * torch.linalg.vector_norm(output, dim=1) + kappa**2) / 6).unsqueeze(1)
    phi = scale / parameters.variance
    chi = 2 * scale * (x - mean) + 2 * shift * parameters.variance.sqrt()
    values = [phi * scale * r**2 + phi * chi * r - psi for r in (found, -found)]
    nearest = torch.minimum(values[0].abs(), values[1].abs()) / psi
    assert nearest.max() < 1e-9
    # Nothing closer to zero satisfies the inequality.
    assert all(((phi * scale * r**2 + phi * chi * r) < psi).all() for r in (0.99 * found, -0.99 * found))


def test_a_component_that_is_switched_off_has_no_part():
    found = deltas(ONE, torch.ones((1, 2), dtype=torch.float64), layer([1.0, 0.0]))[0]
    assert found[1] == 0
    assert found[0] > 0
