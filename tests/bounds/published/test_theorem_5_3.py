import pytest
import torch

from nmcheck.bounds.pooling import lp_pool_bound, max_pool_bound
from nmcheck.bounds.published.theorem_5_3 import STATEMENT, STATEMENT_BELOW_ONE, theorem_5_3, theorem_5_3_lp
from nmcheck.bounds.sliding_window import SlidingWindow

ONE = torch.ones(1, dtype=torch.float64)


def window(size: int, kernel: int, stride: int) -> SlidingWindow:
    output = (size - kernel) // stride + 1
    return SlidingWindow((size,) * 2, (output,) * 2, (kernel,) * 2, (stride,) * 2, (1, 1), (0, 0), (0, 0))


def test_step_5_4_of_the_proof_forgets_the_channels():
    # Four channels, one window each: ||Z|| = 1 though no |z| reaches kappa / t = 1.
    z = torch.full((4, 1, 1), 0.5, dtype=torch.float64)
    assert torch.linalg.vector_norm(z) == 1
    assert z.max() < theorem_5_3(ONE, 1)


def test_max_pooling_of_a_change_says_nothing_about_the_change_of_the_maximum():
    x = torch.tensor([[0.0, -1.0], [-1.0, -1.0]], dtype=torch.float64)
    r = torch.tensor([[-1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    assert (x + r).max().abs() - x.max().abs() == 1
    assert r.max() == 0
    # The certified constant covers it: a change of norm 1 moved the output by 1.
    assert max_pool_bound(window(2, 2, 2)).value >= 1


@pytest.mark.parametrize(("size", "kernel", "stride"), [(24, 2, 2), (8, 2, 2), (9, 3, 2), (7, 3, 1)])
def test_the_statement_is_true_but_loose(size, kernel, stride):
    shape = window(size, kernel, stride)
    windows = shape.output_size[0] * shape.output_size[1]
    assert theorem_5_3(ONE, windows).item() <= 1 / max_pool_bound(shape).value * 1.00001
    for p in (1.0, 2.0, 3.0):
        lp = theorem_5_3_lp(ONE, windows, kernel**2, p).item()
        assert lp <= 1 / lp_pool_bound(shape, p).value * 1.00001
    assert STATEMENT.sound
    if stride == kernel:
        assert 1 / theorem_5_3(ONE, windows).item() == pytest.approx(shape.output_size[0])


def test_below_one_it_is_false():
    # p = 1/2, X = (1, 0, 0, 0) and a change of 1e-4 at a zero: the output rises by (1 + 0.01)^2 - 1.
    x = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    r = torch.tensor([0.0, 1e-4, 0.0, 0.0], dtype=torch.float64)
    kappa = (x + r).sqrt().sum() ** 2 - x.sqrt().sum() ** 2
    claimed = theorem_5_3_lp(kappa * ONE, 1, 4, 0.5).item()
    assert claimed == pytest.approx(1.26e-3, rel=5e-3)
    assert claimed > torch.linalg.vector_norm(r).item()
    assert not STATEMENT_BELOW_ONE.sound
    with pytest.raises(ValueError, match="not Lipschitz"):
        lp_pool_bound(window(2, 2, 2), 0.5)
