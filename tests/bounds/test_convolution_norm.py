import statistics

import pytest
import torch
from bounds.geometry import random_convolution

from nmcheck.bounds.convolution import Convolution
from nmcheck.bounds.convolution_norm import (
    analytic_bound,
    convolution_bound,
    fourier_bound,
    frobenius_bound,
    row_column_bound,
)
from nmcheck.bounds.dense import spectral_norm
from nmcheck.bounds.sliding_window import SlidingWindow

GEOMETRIES = 200


@pytest.fixture(scope="module")
def geometries():
    """Random convolutions with their exact norms; a zero operator has no ratio and is left out."""
    drawn = [random_convolution(seed) for seed in range(GEOMETRIES)]
    cases = [(case, spectral_norm(case.matrix)) for case in drawn]
    return [(case, exact) for case, exact in cases if exact > 0]


def test_the_operator_is_onnx_s_convolution(geometries):
    for case, exact in geometries:
        assert spectral_norm(case.convolution.matrix()) == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("bound", [fourier_bound, row_column_bound, frobenius_bound])
def test_no_bound_is_ever_below_the_exact_norm(geometries, bound):
    assert all(bound(case.convolution) >= exact * (1 - 1e-12) for case, exact in geometries)


def test_the_smallest_bound_is_close(geometries):
    analytic = [analytic_bound(case.convolution).value / exact for case, exact in geometries]
    ample = [ratio for ratio, (case, _) in zip(analytic, geometries, strict=True) if case.ample]
    available = [convolution_bound(case.convolution).value / exact for case, exact in geometries]
    assert len(geometries) >= 190
    assert len(ample) >= 30
    assert min(analytic) >= 1
    assert min(available) >= 1
    assert statistics.median(analytic) <= 1.15
    assert max(ample) <= 1.3
    assert statistics.median(available) <= 1.15
    assert max(available) <= 1.1


def test_one_and_three_spatial_axes():
    for seed in range(20):
        case = random_convolution(seed, axes=1, largest=40)
        exact = spectral_norm(case.matrix)
        assert exact * (1 - 1e-12) <= analytic_bound(case.convolution).value
    weight = torch.randn((2, 3, 2, 3, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    window = SlidingWindow((4, 5, 4), (3, 3, 4), (2, 3, 2), (1, 2, 1), (1, 1, 1), (0, 1, 0), (0, 1, 1))
    volume = Convolution(weight, window, 1, False)
    assert analytic_bound(volume).value >= spectral_norm(volume.matrix())
    assert volume.matrix().shape == (2 * 3 * 3 * 4, 3 * 4 * 5 * 4)


@pytest.mark.parametrize("seed", range(12))
def test_channel_scales_fold_into_the_kernel(seed):
    case = random_convolution(seed)
    convolution = case.convolution
    inputs, outputs = convolution.domain, convolution.codomain
    if convolution.is_adjoint:
        inputs, outputs = outputs, inputs
    generator = torch.Generator().manual_seed(seed)
    before = torch.randn(inputs[0], generator=generator, dtype=torch.float64)
    after = torch.randn(outputs[0], generator=generator, dtype=torch.float64)
    scaled = case.matrix.reshape(*inputs, *outputs)
    scaled = scaled * before[:, None, None, None, None, None] * after[:, None, None]
    expected = spectral_norm(scaled.reshape(case.matrix.shape))
    assert spectral_norm(convolution.scaled(before, after).matrix()) == pytest.approx(expected, rel=1e-10)
