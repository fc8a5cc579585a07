"""A network with one layer of LeakyRelu, PRelu, Clip or Max is its own two-stage model, or to first order."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from models import model, node, weights, write
from scipy import stats
from torch import Tensor

from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph
from nmcheck.linearize.two_stage import TwoStageLinearizer, two_stage_at
from nmcheck.moments.affine_relu_affine import GaussianInput, gram_matrix, output_covariance, output_mean

SIGMA, SAMPLES = 0.4, 200_000
ACTIVATIONS = {
    "LeakyRelu": (node("LeakyRelu", ["z"], ["h"], name="act", alpha=0.2), {}),
    "PRelu": (node("PRelu", ["z", "slope"], ["h"], name="act"), {"slope": weights(8)}),
    "Max": (node("Max", ["z", "floor"], ["h"], name="act"), {"floor": weights(8, seed=2)}),
    "Min": (node("Min", ["z", "floor"], ["h"], name="act"), {"floor": weights(8, seed=2)}),
    "Clip from below": (node("Clip", ["z", "low"], ["h"], name="act"), {"low": np.array(-0.3, np.float32)}),
    "Clip from above": (node("Clip", ["z", "", "low"], ["h"], name="act"), {"low": np.array(0.3, np.float32)}),
}
EXACT = pytest.mark.parametrize("name", ACTIVATIONS)


def network(folder: Path, name: str) -> Program:
    """Gemm, activation, Gemm: 6 inputs, 8 units, 3 logits."""
    activation, arrays = ACTIVATIONS[name]
    nodes = [node("Gemm", ["x", "A", "a"], ["z"]), activation, node("Gemm", ["h", "B", "b"])]
    own = {"A": weights(6, 8) / 2, "a": weights(8) / 2, "B": weights(8, 3), "b": weights(3)}
    return Program(load_graph(write(model(nodes, ("N", 6), {**own, **arrays}), folder)), torch.float64)


def at(program: Program) -> TwoStageLinearizer:
    return two_stage_at(program, program.graph.by_name["act"])


def point(program: Program, seed: int = 0) -> Tensor:
    return torch.from_numpy(weights(*program.graph.shapes[program.graph.input], seed=seed)).double() / 2


@EXACT
def test_one_layer_is_reproduced_everywhere(tmp_path: Path, name: str) -> None:
    program = network(tmp_path, name)
    linearizer = at(program)
    assert linearizer.inner_is_constant
    assert linearizer.outer_is_constant
    assert linearizer.is_skip == (name in ("LeakyRelu", "PRelu"))
    found = linearizer.at(point(program))
    assert (found.skip is not None) == linearizer.is_skip
    far = 5 * torch.from_numpy(weights(100, 1, 6)).double()
    torch.testing.assert_close(found(far[:, 0]), program(far), rtol=1e-12, atol=1e-12)


@EXACT
def test_moments_agree_with_sampling_of_the_network(tmp_path: Path, name: str) -> None:
    program = network(tmp_path, name)
    x = point(program, 3)
    found = at(program).at(x)
    noise, gram = GaussianInput(x.flatten(), SIGMA), gram_matrix(found.inner)
    mean, covariance = output_mean(found, noise, gram), output_covariance(found, noise, gram)
    generator = torch.Generator().manual_seed(5)
    f = program(x + SIGMA * torch.randn(SAMPLES, *x.shape, generator=generator, dtype=torch.float64))
    assert ((f.mean(0) - mean) / (f.std(0) / SAMPLES**0.5)).abs().max() < 4
    products = (f - mean)[:, :, None] * (f - mean)[:, None, :]
    assert ((products.mean(0) - covariance) / (products.std(0) / SAMPLES**0.5)).abs().max() < 4


@pytest.mark.parametrize("name", ["LeakyRelu", "PRelu"])
def test_moments_are_the_closed_form(tmp_path: Path, name: str) -> None:
    """E leaky(u) = a mu + (1 - a) E relu(u); Cov(leaky(u), leaky(v)) by an integral over v's mean given u."""
    program = network(tmp_path, name)
    graph = program.graph
    x = point(program, 1)
    found = at(program).at(x)
    A, a, B, b = (graph.constants[key].astype(np.float64) for key in ("A", "a", "B", "b"))
    slope = graph.constants["slope"].astype(np.float64) if name == "PRelu" else np.full(8, float(np.float32(0.2)))
    mu, gram = x.numpy().ravel() @ A + a, SIGMA**2 * A.T @ A
    s = np.sqrt(np.diag(gram))
    mean = slope * mu + (1 - slope) * (mu * stats.norm.cdf(mu / s) + s * stats.norm.pdf(mu / s))

    def leaky(u: np.ndarray, unit: int) -> np.ndarray:
        return np.where(u < 0, slope[unit] * u, u)

    def conditional(u: np.ndarray, i: int, j: int) -> np.ndarray:
        """E of unit j given u of unit i."""
        rho = gram[i, j] / (s[i] * s[j])
        m, t = mu[j] + rho * s[j] / s[i] * (u - mu[i]), s[j] * math.sqrt(max(1e-300, 1 - rho**2))
        return slope[j] * m + (1 - slope[j]) * (m * stats.norm.cdf(m / t) + t * stats.norm.pdf(m / t))

    def second(i: int, j: int) -> float:
        """E leaky(u_i) leaky(u_j): a fine rule on either side of the kink."""
        low, high = mu[i] - 12 * s[i], mu[i] + 12 * s[i]
        total = 0.0
        for left, right in ((low, min(max(0.0, low), high)), (max(min(0.0, high), low), high)):
            places, w = np.polynomial.legendre.leggauss(200)
            u = (right - left) / 2 * places + (right + left) / 2
            other = leaky(u, j) if i == j else conditional(u, i, j)
            density = stats.norm.pdf(u, mu[i], s[i])
            total += float((w * (right - left) / 2 * leaky(u, i) * other * density).sum())
        return total

    products = np.array([[second(i, j) for j in range(8)] for i in range(8)])
    covariance = B.T @ (products - np.outer(mean, mean)) @ B
    noise, matrix = GaussianInput(x.flatten(), SIGMA), gram_matrix(found.inner)
    np.testing.assert_allclose(output_mean(found, noise, matrix).numpy(), mean @ B + b, rtol=1e-10)
    np.testing.assert_allclose(output_covariance(found, noise, matrix).numpy(), covariance, rtol=1e-8, atol=1e-10)


def deep(folder: Path) -> Program:
    """ReLU6, then LeakyRelu, then ReLU6 beside a shortcut: every kind of skip, none of them a Relu."""
    nodes = [
        node("Gemm", ["x", "A"], ["z0"]),
        node("Clip", ["z0", "zero", "six"], ["h0"], name="relu6"),
        node("Gemm", ["h0", "M", "m"], ["z1"]),
        node("LeakyRelu", ["z1"], ["h1"], name="leaky", alpha=0.1),
        node("Gemm", ["h1", "M", "m"], ["z2"]),
        node("Clip", ["z2", "low", "high"], ["h2"], name="clip"),
        node("Add", ["h2", "h1"], ["s"]),
        node("Gemm", ["s", "B"]),
    ]
    bounds = {"zero": 0, "six": 1.5, "low": -1, "high": 1}
    arrays = {"A": weights(6, 8), "M": weights(8, 8) / 3, "m": weights(8), "B": weights(8, 3)}
    arrays |= {name: np.array(value, np.float32) for name, value in bounds.items()}
    return Program(load_graph(write(model(nodes, ("N", 6), arrays), folder)), torch.float64)


@pytest.mark.parametrize("name", ["relu6", "leaky", "clip"])
def test_a_deep_one_is_reproduced_at_the_point_and_near_it(tmp_path: Path, name: str) -> None:
    program = deep(tmp_path)
    linearizer = two_stage_at(program, program.graph.by_name[name])
    assert linearizer.is_skip
    for seed in range(10):
        x = 2 * point(program, seed)
        found = linearizer.at(x)
        torch.testing.assert_close(found(x.flatten()), program(x[None])[0], rtol=1e-12, atol=1e-12)
        step = 1e-9 * torch.from_numpy(weights(1, 6, seed=seed + 50)).double()
        change = found((x + step).flatten()) - found(x.flatten())
        exact = program((x + step)[None])[0] - program(x[None])[0]
        torch.testing.assert_close(change, exact, rtol=1e-5, atol=1e-14)


def test_beyond_the_upper_bound_the_clip_is_flat(tmp_path: Path) -> None:
    """There the upper ReLU is on and takes back what the lower one gives."""
    nodes = [node("Clip", ["x", "zero", "six"], ["h"], name="act"), node("Gemm", ["h", "B"])]
    arrays = {"zero": np.array(0, np.float32), "six": np.array(6, np.float32), "B": weights(4, 3)}
    program = Program(load_graph(write(model(nodes, ("N", 4), arrays), tmp_path)), torch.float64)
    x = torch.tensor([[7.0, 3.0, -1.0, 9.0]], dtype=torch.float64)
    jacobian = at(program).at(x).jacobian(x.flatten())
    torch.testing.assert_close(jacobian[:, 1], torch.from_numpy(weights(4, 3)[1]).double())
    assert not jacobian[:, [0, 2, 3]].any()
