"""Products of jointly Gaussian values: mean, slopes and variance, exact."""

from pathlib import Path

import numpy as np
import pytest
import torch
from models import node, weights
from moments.propagation.networks import network_from, point, recorded
from torch import Tensor

from nmcheck.moments.gaussian import GaussianInput
from nmcheck.moments.propagation.propagate import propagate
from nmcheck.steps import Network

SIGMA = 0.6


def factors(folder: Path, *, square: bool = False) -> tuple[Network, Tensor, Tensor, Tensor, Tensor]:
    """y = (A x) (B x), and A, B, A mu, B mu."""
    nodes = [node("Gemm", ["x", "A"], ["a"]), node("Gemm", ["x", "B"], ["b"])]
    nodes.append(node("Mul", ["a", "a" if square else "b"], ["y"]))
    arrays = {"A": weights(6, 4), "B": weights(6, 4, seed=2)}
    network, _ = network_from(nodes, (1, 6), arrays, folder)
    mean = point(network)
    a, b = (torch.from_numpy(arrays[key]).double().mT for key in ("A", "A" if square else "B"))
    return network, a, b, a @ mean, b @ mean


@pytest.mark.parametrize("square", [False, True], ids=["product", "square"])
def test_two_gaussians(square: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """E ab = E a E b + c; Var ab = Eb^2 Va + Ea^2 Vb + 2 Ea Eb c + Va Vb + c^2 (Isserlis), averaged slopes Eb, Ea."""
    network, A, B, a, b = factors(tmp_path, square=square)
    covariance = SIGMA**2 * (A * B).sum(dim=1)
    one, two = SIGMA**2 * A.square().sum(dim=1), SIGMA**2 * B.square().sum(dim=1)
    found, values = recorded(network, GaussianInput(point(network), SIGMA), monkeypatch)
    torch.testing.assert_close(found.mean, a * b + covariance, rtol=1e-12, atol=1e-12)
    variance = b**2 * one + a**2 * two + 2 * a * b * covariance + one * two + covariance**2
    torch.testing.assert_close(found.covariance.diagonal(), variance, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.jacobian, b[:, None] * A + a[:, None] * B, rtol=1e-12, atol=1e-12)
    tangents = values["y"].tangents.full().rows.reshape(6, 4)
    torch.testing.assert_close(tangents.mT, SIGMA * found.jacobian, rtol=1e-12, atol=1e-12)


def test_a_square_by_either_operator_is_the_same(tmp_path: Path) -> None:
    networks = [
        network_from(
            [node("Gemm", ["x", "A"], ["a"]), last],
            (1, 6),
            {"A": weights(6, 4), "e": np.array(2, np.float32)},
            tmp_path,
        )
        for last in (node("Mul", ["a", "a"], ["y"]), node("Pow", ["a", "e"], ["y"]))
    ]
    one, two = (propagate(network, GaussianInput(point(network), SIGMA), second_order=True) for network, _ in networks)
    torch.testing.assert_close(one.mean, two.mean, rtol=1e-11, atol=1e-11)
    # Elements of a product are not paired, those of a power are: variances only.
    torch.testing.assert_close(one.covariance.diagonal(), two.covariance.diagonal(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(one.jacobian, two.jacobian, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("gate", [(1, 3, 1, 1), (3, 1, 1), (4,), (1, 1, 1, 1)], ids=str)
def test_a_gate_that_is_broadcast(gate: tuple[int, ...], tmp_path: Path) -> None:
    """Squeeze and excitation: a value of fewer elements, or axes, against the same one expanded."""
    shape = (1, 3, 5, 4)
    size = int(np.prod(gate))
    nodes = [node("Flatten", ["x"], ["f"]), node("Gemm", ["f", "W"], ["s"]), node("Reshape", ["s", "to"], ["g"])]
    arrays = {"W": weights(60, size) / 8, "to": np.array(gate), "full": np.array(shape)}
    short, _ = network_from([*nodes, node("Mul", ["x", "g"], ["y"])], shape, arrays, tmp_path)
    wide = [*nodes, node("Expand", ["g", "full"], ["h"]), node("Mul", ["x", "h"], ["y"])]
    long, _ = network_from(wide, shape, arrays, tmp_path)
    x = GaussianInput(point(short), SIGMA)
    one, two = (propagate(network, x, second_order=True) for network in (short, long))
    torch.testing.assert_close(one.mean, two.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(one.covariance, two.covariance, rtol=1e-11, atol=1e-12)
    # And it is not the product of the means.
    assert (one.mean - (x.mean.reshape(shape) * expanded(x, arrays, gate)).flatten()).abs().max() > 1e-3


def expanded(x: GaussianInput, arrays: dict[str, np.ndarray], gate: tuple[int, ...]) -> Tensor:
    return (x.mean @ torch.from_numpy(arrays["W"]).double()).reshape(gate)
