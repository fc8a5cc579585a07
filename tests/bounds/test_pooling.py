import math
import random

import numpy as np
import pytest
import torch

from nmcheck.bounds.pooling import (
    average_pool_bound,
    global_average_pool_bound,
    global_lp_pool_bound,
    lp_pool_bound,
    max_pool_bound,
)
from nmcheck.bounds.sliding_window import SlidingWindow, window_of
from nmcheck.graph.ir import Node


def random_window(seed: int, dilated: bool) -> tuple[SlidingWindow, bool]:
    """Windows of a pooling layer and whether it uses ceil_mode."""
    pick = random.Random(seed)
    while True:
        size, kernel = [pick.randint(3, 9) for _ in range(2)], [pick.randint(1, 4) for _ in range(2)]
        strides, dilations = [pick.randint(1, 3) for _ in range(2)], [pick.randint(1, 2) if dilated else 1] * 2
        pads, ceil = [pick.randint(0, k // 2) for k in kernel], pick.random() < 0.5
        extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
        if min(side - extent for side, extent in zip(size, extents, strict=True)) < 0:
            continue
        pooled = torch.nn.functional.max_pool2d(
            torch.zeros((1, 1, *size)), kernel, strides, pads, dilations, ceil_mode=ceil
        )
        output = tuple(pooled.shape[2:])
        return SlidingWindow(
            tuple(size), output, tuple(kernel), tuple(strides), tuple(dilations), tuple(pads), tuple(pads)
        ), ceil


def largest_ratio(function, size, seed: int) -> float:
    """The steepest change found by following the gradient of the change from random pairs of points."""
    generator = torch.Generator().manual_seed(seed)
    best = 0.0
    for _ in range(6):
        x = torch.randn((1, 1, *size), generator=generator, dtype=torch.float64)
        step = torch.randn(x.shape, generator=generator, dtype=torch.float64) * 1e-3
        for _ in range(25):
            step.requires_grad_(True)
            ratio = torch.linalg.vector_norm(function(x + step) - function(x)) / torch.linalg.vector_norm(step)
            best = max(best, ratio.item())
            (gradient,) = torch.autograd.grad(ratio, step)
            scale = torch.linalg.vector_norm(step) / torch.linalg.vector_norm(gradient).clamp(min=1e-30)
            step = (step + 0.3 * scale * gradient).detach()
    return best


@pytest.mark.parametrize("seed", range(12))
def test_max_pooling(seed):
    window, ceil = random_window(seed, dilated=True)

    def pool(x):
        return torch.nn.functional.max_pool2d(
            x, window.kernel, window.strides, window.pads_begin, window.dilations, ceil_mode=ceil
        )

    bound = max_pool_bound(window).value
    assert largest_ratio(pool, window.input_size, seed) <= bound
    # The bound is reached where the pixel that most windows read is the largest of all.
    ones = torch.ones((1, 1, *window.input_size), dtype=torch.float64)
    counts = torch.zeros(window.input_size)
    for row in range(counts.shape[0]):
        for column in range(counts.shape[1]):
            peak = ones * -1
            peak[0, 0, row, column] = 1
            counts[row, column] = (pool(peak) == 1).sum()
    assert bound == pytest.approx(math.sqrt(counts.max().item()), rel=2e-6)


def test_disjoint_windows_have_constant_one_exactly():
    assert max_pool_bound(SlidingWindow((8, 8), (4, 4), (2, 2), (2, 2), (1, 1), (0, 0), (0, 0))).value == 1.0


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("includes_padding", [False, True])
def test_average_pooling_is_the_exact_norm(seed, includes_padding):
    window, ceil = random_window(100 + seed, dilated=False)
    pixels = math.prod(window.input_size)
    images = torch.nn.functional.avg_pool2d(
        torch.eye(pixels, dtype=torch.float64).reshape(pixels, 1, *window.input_size),
        window.kernel, window.strides, window.pads_begin, ceil, includes_padding,
    )  # fmt: skip
    exact = np.linalg.norm(images.flatten(1).numpy(), 2)
    bound = average_pool_bound(window, includes_padding).value
    assert exact <= bound <= exact * 1.00001


def test_average_pooling_known_values():
    disjoint = SlidingWindow((9, 9), (3, 3), (3, 3), (3, 3), (1, 1), (0, 0), (0, 0))
    assert average_pool_bound(disjoint, False).value == pytest.approx(1 / 3, rel=2e-6)
    assert global_average_pool_bound(49).value == pytest.approx(1 / 7, rel=2e-6)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("seed", range(4))
def test_lp_pooling(p, seed):
    window, _ = random_window(200 + seed, dilated=False)
    bare = SlidingWindow(
        window.input_size,
        tuple((n - k) // s + 1 for n, k, s in zip(window.input_size, window.kernel, window.strides, strict=True)),
        window.kernel, window.strides, (1, 1), (0, 0), (0, 0),
    )  # fmt: skip

    def pool(x):
        patches = torch.nn.functional.unfold(x, bare.kernel, stride=bare.strides)
        return torch.linalg.vector_norm(patches, ord=p, dim=1)

    assert largest_ratio(pool, bare.input_size, seed) <= lp_pool_bound(bare, p).value


def test_lp_pooling_below_one_is_refused():
    window = SlidingWindow((4, 4), (2, 2), (2, 2), (2, 2), (1, 1), (0, 0), (0, 0))
    with pytest.raises(ValueError, match="not Lipschitz"):
        lp_pool_bound(window, 0.5)
    with pytest.raises(ValueError, match="not Lipschitz"):
        global_lp_pool_bound(16, 0.5)
    assert global_lp_pool_bound(16, 1.0).value == pytest.approx(4.0, rel=2e-6)


@pytest.mark.parametrize(("auto_pad", "begin", "end"), [("SAME_UPPER", 1, 2), ("SAME_LOWER", 2, 1), ("VALID", 0, 0)])
def test_auto_pad_is_resolved(auto_pad, begin, end):
    output = 4 if auto_pad == "VALID" else 6
    node = Node("p", "MaxPool", "", 12, ("x",), ("y",), {"auto_pad": auto_pad, "strides": (2,)}, 0)
    window = window_of(node, (12,), (output,), (5,))
    assert (window.pads_begin, window.pads_end) == ((begin,), (end,))
