import math

import pytest
import torch

from nmcheck.affine import AffineMap, AffineReluAffine
from nmcheck.moments.affine_relu_affine import (
    GaussianInput,
    PreActivation,
    gram_matrix,
    output_variance,
    pre_activation,
)
from nmcheck.moments.theorem2 import theorem2_variance


def maps(bias: float) -> tuple[AffineMap, AffineMap]:
    generator = torch.Generator().manual_seed(4)
    a = torch.randn(30, 12, generator=generator, dtype=torch.float64)
    b = torch.randn(3, 30, generator=generator, dtype=torch.float64)
    c = torch.randn(30, generator=generator, dtype=torch.float64)
    return AffineMap(a, bias * c), AffineMap(b, torch.full((3,), 7.0, dtype=torch.float64))


def test_it_is_the_papers_double_sum_less_the_squared_mean() -> None:
    inner, outer = maps(1.0)
    pre = pre_activation(inner, GaussianInput(torch.ones(12, dtype=torch.float64), 0.3), gram_matrix(inner))
    covariance, sd = (pre.scale * pre.covariance).tolist(), pre.sd.tolist()
    expected = []
    for weights in outer.weight.tolist():
        second = sum(0.5 * w * w * s * s for w, s in zip(weights, sd, strict=True))
        for i in range(30):
            for j in range(i):
                c, s = covariance[i][j], sd[i] * sd[j]
                lemma3 = (c * math.asin(c / s) + s * math.sqrt(1 - (c / s) ** 2)) / (2 * math.pi) + c / 4
                second += 2 * weights[i] * weights[j] * lemma3
        first = sum(w * s for w, s in zip(weights, sd, strict=True)) / math.sqrt(2 * math.pi)
        expected.append(second - first**2)
    assert theorem2_variance(outer, pre).tolist() == pytest.approx(expected, rel=1e-12)


def test_it_is_exact_for_zero_mean_and_wrong_for_any_other() -> None:
    inner, outer = maps(0.0)
    gram, network = gram_matrix(inner), AffineReluAffine(inner, outer)
    x = GaussianInput(torch.zeros(12, dtype=torch.float64), 0.3)
    published = theorem2_variance(outer, pre_activation(inner, x, gram))
    torch.testing.assert_close(published, output_variance(network, x, gram), rtol=1e-10, atol=0)
    shifted = GaussianInput(x.mean + 1.0, 0.3)
    torch.testing.assert_close(theorem2_variance(outer, pre_activation(inner, shifted, gram)), published)
    assert not torch.allclose(published, output_variance(network, shifted, gram), rtol=0.1)


def test_the_second_bias_does_not_enter() -> None:
    inner, outer = maps(1.0)
    pre = pre_activation(inner, GaussianInput(torch.ones(12, dtype=torch.float64), 0.3), gram_matrix(inner))
    assert torch.equal(theorem2_variance(AffineMap(outer.weight, 0 * outer.bias), pre), theorem2_variance(outer, pre))


def test_units_without_variance_add_nothing() -> None:
    covariance = torch.diag(torch.tensor([1.0, 0.0], dtype=torch.float64))
    pre = PreActivation(torch.tensor([0.0, 3.0], dtype=torch.float64), covariance)
    outer = AffineMap(torch.tensor([[2.0, 5.0]], dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    assert float(theorem2_variance(outer, pre)[0]) == pytest.approx(4 * (0.5 - 0.5 / math.pi))
