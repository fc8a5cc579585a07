import pytest
import torch

from nmcheck.bounds.convolution import Convolution
from nmcheck.bounds.convolution_norm import analytic_bound, convolution_bound
from nmcheck.bounds.published.theorem_5_1 import statement, theorem_5_1
from nmcheck.bounds.sliding_window import SlidingWindow

ONE = torch.ones(1, dtype=torch.float64)


def ones(axes: int, kernel: int, size: int, stride: int = 1) -> Convolution:
    output = (size - kernel) // stride + 1
    window = SlidingWindow(
        (size,) * axes, (output,) * axes, (kernel,) * axes, (stride,) * axes, (1,) * axes, (0,) * axes, (0,) * axes
    )
    return Convolution(torch.ones((1, 1, *(kernel,) * axes), dtype=torch.float64), window, 1, False)


@pytest.mark.parametrize(("axes", "output_norm", "claimed"), [(1, 2.828, 2.449), (2, 8.0, 6.0)])
def test_lemma_a_4_fails_where_windows_overlap(axes, output_norm, claimed):
    # W = ones of side 2 on R = ones of side 3: ||W * R|| exceeds ||W||_F ||R||_F.
    convolution = ones(axes, 2, 3)
    change = torch.ones((1, 1, *(3,) * axes), dtype=torch.float64)
    actual = torch.linalg.vector_norm(convolution.apply(change)).item()
    assert actual == pytest.approx(output_norm, abs=5e-4)
    per_unit = 1 / theorem_5_1(ONE, convolution.weight).item()
    assert per_unit * torch.linalg.vector_norm(change).item() == pytest.approx(claimed, abs=5e-4)
    for bound in (convolution_bound(convolution), analytic_bound(convolution)):
        assert bound.value * torch.linalg.vector_norm(change).item() >= actual
    assert not statement(convolution.window).sound


def test_a_stride_of_the_kernel_makes_it_true():
    convolution = ones(2, 2, 6, stride=2)
    assert statement(convolution.window).sound
    assert convolution_bound(convolution).value == pytest.approx(2.0, rel=2e-6)
    assert theorem_5_1(ONE, convolution.weight).item() == pytest.approx(0.5)
