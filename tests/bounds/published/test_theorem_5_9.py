import pytest
import torch

from nmcheck.bounds.lrn import LocalResponseNormalization, global_bound
from nmcheck.bounds.published.theorem_5_9 import (
    STATEMENT,
    gradient_norms,
    lemma_5_11,
    theorem_5_9,
)


def test_the_maximum_over_components_exceeds_an_actual_change():
    layer = LocalResponseNormalization(1, 1e-4, 0.75, 1.0)
    x = torch.tensor([[[10.0], [0.0]]], dtype=torch.float64)
    kappa = torch.ones(1, dtype=torch.float64)
    assert theorem_5_9(kappa, layer, x).item() == pytest.approx(7.59, abs=5e-3)
    # Raising the first channel by 1.026 raises the output's norm by kappa.
    change = torch.tensor([[[1.026], [0.0]]], dtype=torch.float64)
    raised = torch.linalg.vector_norm(layer(x + change)) - torch.linalg.vector_norm(layer(x))
    assert raised.item() == pytest.approx(1.0, abs=2e-3)
    certified = 1 / global_bound(layer, 2).value
    assert certified <= 1.026
    assert not STATEMENT.sound


def test_lemma_5_11_s_mixed_derivative_is_not_zero():
    # The thesis's alpha is ONNX's alpha over the size.
    layer = LocalResponseNormalization(5, 5.0, 0.75, 1.0)
    x = torch.ones(5, dtype=torch.float64)
    hessian = torch.func.hessian(lambda row: layer(row[None])[0, 2])(x)
    assert hessian[1, 3].item() == pytest.approx(0.0380, abs=5e-5)
    # 4 a^2 b (b + 1) x_a x_i x_j D^(-b-2), with a = 1, b = 3/4 and D = 6.
    assert hessian[1, 3].item() == pytest.approx(4 * 0.75 * 1.75 * 6**-2.75, rel=1e-12)


def test_gradients_are_exact_and_lemma_5_11_is_its_formula():
    layer = LocalResponseNormalization(3, 0.6, 0.75, 2.0)
    x = torch.randn((1, 4, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    jacobian = torch.func.jacrev(lambda image: layer(image[None])[0])(x[0])
    expected = torch.linalg.vector_norm(jacobian.flatten(2), dim=2)
    torch.testing.assert_close(gradient_norms(layer, x)[0], expected, rtol=1e-12, atol=0)
    largest, a, b, k = 2.0, 0.2, 0.75, 2.0
    by_hand = 4 * largest * a * b * (largest**2 * a * (b + 1) * k ** (-b - 2) + k ** (-b - 1))
    by_hand += 2 * largest * a * b * k ** (-b - 1)
    assert lemma_5_11(layer, torch.tensor([largest], dtype=torch.float64)).item() == pytest.approx(by_hand)


def test_a_dead_input_has_a_finite_bound():
    layer = LocalResponseNormalization(3, 1.0, 0.75, 1.0)
    x = torch.zeros((1, 4, 3), dtype=torch.float64)
    # With M = 0 the bound is its limit: kappa over the root of the number of components.
    assert theorem_5_9(torch.ones(1, dtype=torch.float64), layer, x).item() == pytest.approx(12**-0.5)
