"""Pixels that share a row lose nothing: colored tangents dealt out are those with one row a pixel."""

from pathlib import Path

import pytest
import torch
from models import node, weights
from moments.propagation.networks import network_from, point, recorded, residual_images

from nmcheck.moments.gaussian import Diagonal, Factored, GaussianInput
from nmcheck.moments.propagation.tangents import Tangents, of_pixels

SIZES = pytest.mark.parametrize("size", [(11, 8), (6, 13)], ids=str)


def assert_same(colored: Tangents, dense: Tangents) -> None:
    units = torch.arange(dense.rows[0].numel())
    scale = float(dense.variance().max())
    assert dense.coloring is None
    assert len(colored.rows) <= len(dense.rows)
    torch.testing.assert_close(colored.variance(), dense.variance(), rtol=1e-12, atol=1e-12 * scale)
    for found in (colored.columns(units), colored.full().rows.flatten(1), colored.full().columns(units)):
        torch.testing.assert_close(found, dense.columns(units), rtol=1e-12, atol=1e-12 * scale**0.5)


@SIZES
def test_colored_tangents_are_the_dense_ones(size: tuple[int, int], tmp_path: Path, monkeypatch) -> None:
    nodes, arrays, shape = residual_images(*size)
    network, _ = network_from(nodes, shape, arrays, tmp_path)
    mean = point(network)
    found, colored = recorded(network, GaussianInput(mean, 0.3), monkeypatch)
    identity = torch.eye(len(mean), dtype=mean.dtype)
    expected, dense = recorded(network, GaussianInput(mean, 0.3, Factored(identity)), monkeypatch)
    assert list(colored) == [name for step in network.steps for name in step.outputs]
    # The first layers do share rows, or nothing is shown.
    for name in ("c0", "h0", "c1"):
        assert len(colored[name].tangents.rows) < len(mean) // 2
    for name, value in colored.items():
        assert_same(value.tangents, dense[name].tangents)
        torch.testing.assert_close(value.mean, dense[name].mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.mean, expected.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.covariance, expected.covariance, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(found.jacobian, expected.jacobian, rtol=1e-11, atol=1e-12)


def test_uneven_noise_colors_like_even_noise(tmp_path: Path, monkeypatch) -> None:
    nodes, arrays, shape = residual_images()
    network, _ = network_from(nodes, shape, arrays, tmp_path)
    mean = point(network)
    scale = torch.rand(len(mean), generator=torch.Generator().manual_seed(3), dtype=mean.dtype)
    _, colored = recorded(network, GaussianInput(mean, 0.3, Diagonal(scale)), monkeypatch)
    _, dense = recorded(network, GaussianInput(mean, 0.3, Factored(torch.diag(scale))), monkeypatch)
    for name, value in colored.items():
        assert_same(value.tangents, dense[name].tangents)


@pytest.mark.parametrize("stride", [3, 4])
def test_windows_that_skip_pixels(stride: int, tmp_path: Path, monkeypatch) -> None:
    """Strides beyond the window, padding beyond it, and fields that lie outside the image altogether."""
    nodes = [
        node("Conv", ["x", "K"], ["a"], strides=[stride, 2], pads=[3, 4, 5, 3]),
        node("MaxPool", ["a"], ["b"], kernel_shape=[2, 3], dilations=[2, 1], pads=[1, 1, 1, 1]),
        node("Conv", ["b", "L"], ["y"], pads=[1, 0, 0, 1]),
    ]
    arrays = {"K": weights(2, 1, 2, 3), "L": weights(2, 2, 2, 2)}
    network, _ = network_from(nodes, (1, 1, 9, 14), arrays, tmp_path)
    mean = point(network)
    _, colored = recorded(network, GaussianInput(mean, 0.5), monkeypatch)
    _, dense = recorded(
        network, GaussianInput(mean, 0.5, Factored(torch.eye(len(mean), dtype=mean.dtype))), monkeypatch
    )
    for name, value in colored.items():
        assert_same(value.tangents, dense[name].tangents)


@pytest.mark.parametrize("shape", [(1, 2, 3, 4), (3, 2), (5,), (1, 1, 7), (2, 2, 2)])
def test_tangents_of_the_input_are_its_noise(shape: tuple[int, ...]) -> None:
    deviation = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    tangents = of_pixels(deviation)
    torch.testing.assert_close(tangents.variance(), deviation.square())
    torch.testing.assert_close(tangents.full().rows.flatten(1), torch.diag(deviation.flatten()))
