"""Laws of propagation: exactness where the closure is exact, limits, invariances, gradients, honest randomness."""

from pathlib import Path

import numpy as np
import pytest
import torch
from models import mlp, model, node, weights
from moments.propagation.networks import network_from, point, program_of, residual_images
from onnx import ModelProto, NodeProto
from residual_network import residual_network
from torch import Tensor

from nmcheck.affine import AffineMap, AffineReluAffine
from nmcheck.execute.program import Program
from nmcheck.linearize.steps import network_of
from nmcheck.moments.affine_relu_affine import gram_matrix, output_covariance, output_mean
from nmcheck.moments.gaussian import Diagonal, Factored, GaussianInput, Isotropic, NoiseStructure
from nmcheck.moments.propagation import second_order
from nmcheck.moments.propagation.propagate import propagate
from nmcheck.steps import Network

N, P, D = 12, 30, 4
ARRAYS = {
    "A": weights(N, P) / 3, "a": weights(P), "B": weights(P, D) / 5, "b": weights(D), "C": weights(N, D) / 3,
}  # fmt: skip


def one_layer(*activation: NodeProto, bounds: dict[str, np.ndarray] | None = None, skip: bool = False) -> ModelProto:
    """B f(A x + a) + b, with C x beside it where asked for; the activation is from ``z`` to ``h``."""
    nodes = [node("Gemm", ["x", "A", "a"], ["z"]), *activation, node("Gemm", ["h", "B", "b"], ["v" if skip else "y"])]
    if skip:
        nodes += [node("Gemm", ["x", "C"], ["u"]), node("Add", ["u", "v"], ["y"])]
    return model(
        nodes, (1, N), {key: array for key, array in {**ARRAYS, **(bounds or {})}.items() if skip or key != "C"}
    )


def steps(made: ModelProto, folder: Path) -> Network:
    return network_of(program_of(made, folder))


def double(key: str) -> Tensor:
    return torch.from_numpy(ARRAYS[key]).double()


def closed_form(slope: float, *, skip: bool) -> AffineReluAffine:
    """The same with LeakyRelu(z) = slope z + (1 - slope) relu(z) written out."""
    A, B, C = double("A").mT, double("B").mT, double("C").mT if skip else torch.zeros(D, N, dtype=torch.float64)
    bias = double("b") + slope * B @ double("a")
    return AffineReluAffine(AffineMap(A, double("a")), AffineMap((1 - slope) * B, bias), C + slope * B @ A)


@pytest.fixture
def every_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left out for speed, and every pair of kinks is computed exactly."""
    for name in ("LEFT_OUT", "SMALL", "LARGE"):
        monkeypatch.setattr(second_order, name, 0.0)


@pytest.mark.parametrize("skip", [False, True], ids=["cut", "skip"])
@pytest.mark.parametrize("slope", [0.0, 0.3, -1.0])
@pytest.mark.parametrize("sigma", [0.05, 0.8])
def test_one_layer_of_kinks_is_exact(skip: bool, slope: float, sigma: float, tmp_path: Path, every_pair: None) -> None:
    kinked = node("LeakyRelu", ["z"], ["h"], alpha=slope) if slope else node("Relu", ["z"], ["h"])
    network = steps(one_layer(kinked, skip=skip), tmp_path)
    exact = closed_form(float(np.float32(slope)), skip=skip)
    x, gram = GaussianInput(point(network), sigma), gram_matrix(exact.inner)
    found = propagate(network, x, second_order=True)
    torch.testing.assert_close(found.mean, output_mean(exact, x, gram), rtol=1e-9, atol=1e-9)
    expected = output_covariance(exact, x, gram)
    torch.testing.assert_close(found.covariance, expected, rtol=1e-9, atol=1e-9 * float(expected.diagonal().max()))


def test_what_is_left_out_of_the_pairs_is_small(tmp_path: Path) -> None:
    """Without the fixture above: a share of 1 % of the residuals' influence, and 2e-6 of the series."""
    network, exact = steps(one_layer(node("Relu", ["z"], ["h"])), tmp_path), closed_form(0.0, skip=False)
    x = GaussianInput(point(network), 0.8)
    expected = output_covariance(exact, x, gram_matrix(exact.inner))
    error = (propagate(network, x, second_order=True).covariance - expected).abs()
    assert (error / expected.diagonal().outer(expected.diagonal()).sqrt()).max() < 1e-3


@pytest.mark.parametrize("op", ["Clip", "Sigmoid", "Elu", "HardSigmoid"])
def test_one_layer_of_other_functions_against_sampling(op: str, tmp_path: Path, every_pair: None) -> None:
    """Also where an element has two kinks, whose shared part must count once."""
    bounds = {"low": np.array(-0.5, np.float32), "high": np.array(0.4, np.float32)} if op == "Clip" else {}
    attributes = {"Elu": {"alpha": 1.7}, "HardSigmoid": {"alpha": 0.8}}.get(op, {})
    made = one_layer(node(op, ["z", *bounds], ["h"], **attributes), bounds=bounds)
    program = program_of(made, tmp_path)
    network = network_of(program)
    x, count = GaussianInput(point(network), 0.8), 200_000
    found = propagate(network, x, second_order=True)
    noise = torch.randn(count, N, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    y = program((x.mean + 0.8 * noise)[:, None])
    mean_z = (y.mean(dim=0) - found.mean) / (y.std(dim=0) / count**0.5)
    assert mean_z.abs().max() < 4
    away = y - found.mean
    products = away[:, :, None] * away[:, None, :]
    z = (products.mean(dim=0) - found.covariance) / (products.std(dim=0) / count**0.5)
    assert z.abs().max() < 4


def test_sampled_residuals_agree_within_their_error(tmp_path: Path) -> None:
    network, exact = steps(one_layer(node("Relu", ["z"], ["h"]), skip=True), tmp_path), closed_form(0.0, skip=True)
    x, gram = GaussianInput(point(network), 0.8), gram_matrix(exact.inner)
    found = propagate(network, x, samples=400)
    torch.testing.assert_close(found.mean, output_mean(exact, x, gram), rtol=1e-12, atol=1e-12)
    assert found.variance_error is not None
    z = (found.covariance - output_covariance(exact, x, gram)).diagonal() / found.variance_error
    assert z.abs().max() < 4
    # What is sampled is a part of the whole only.
    assert (found.variance_error / found.covariance.diagonal()).max() < 0.5 * (2 / 399) ** 0.5


@pytest.mark.parametrize("paired", [False, True])
def test_affine_networks_are_exact(paired: bool, tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "K"], ["c"], pads=[1, 0, 1, 2], strides=[2, 1]),
        node("AveragePool", ["c"], ["p"], kernel_shape=[2, 2]),
        node("Add", ["p", "p"], ["s"]),
        node("Flatten", ["s"], ["f"]),
        node("Gemm", ["f", "W"], ["y"]),
    ]
    arrays = {"K": weights(2, 1, 3, 3), "W": weights(20, 3)}
    network, program = network_from(nodes, (1, 1, 6, 6), arrays, tmp_path)
    mean = point(network)
    found = propagate(network, GaussianInput(mean, 0.7), second_order=paired)
    jacobian = torch.func.jacrev(lambda u: program.function("x", "y")(u.reshape(1, 1, 6, 6)).flatten())(mean)
    torch.testing.assert_close(found.mean, program(mean.reshape(1, 1, 1, 6, 6))[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.covariance, 0.49 * jacobian @ jacobian.mT, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(found.jacobian, jacobian, rtol=1e-12, atol=1e-12)


def deep(name: str, folder: Path) -> tuple[Network, Program]:
    if name == "images":
        nodes, arrays, shape = residual_images()
        return network_from(nodes, shape, arrays, folder)
    program = program_of(residual_network() if name == "residual" else mlp((6, 9, 8, 3)), folder)
    return network_of(program), program


DEEP = pytest.mark.parametrize("name", ["mlp", "residual", "images"])
PAIRED = pytest.mark.parametrize("paired", [False, True], ids=["sampled", "paired"])


@DEEP
@PAIRED
def test_small_noise_sees_the_jacobian(name: str, paired: bool, tmp_path: Path) -> None:
    network, program = deep(name, tmp_path)
    mean, sigma = point(network), 1e-7
    function = program.function(network.input, network.output)
    shape = network.shapes[network.input]
    jacobian = torch.func.jacrev(lambda u: function(u.reshape(shape)).flatten())(mean)
    found = propagate(network, GaussianInput(mean, sigma), second_order=paired)
    torch.testing.assert_close(found.covariance / sigma**2, jacobian @ jacobian.mT, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.mean, function(mean.reshape(shape)).flatten(), rtol=1e-10, atol=1e-10)


@DEEP
@PAIRED
@pytest.mark.parametrize("sigma", [0.01, 0.3, 3.0])
def test_covariance_is_symmetric_and_positive(name: str, paired: bool, sigma: float, tmp_path: Path) -> None:
    network, _ = deep(name, tmp_path)
    for seed in range(3):
        covariance = propagate(network, GaussianInput(point(network, seed), sigma), second_order=paired).covariance
        torch.testing.assert_close(covariance, covariance.mT, rtol=0, atol=1e-14 * float(covariance.trace()))
        assert torch.linalg.eigvalsh(0.5 * (covariance + covariance.mT)).min() >= -1e-12 * covariance.trace()


@DEEP
def test_no_noise_is_the_network_itself(name: str, tmp_path: Path) -> None:
    network, program = deep(name, tmp_path)
    mean = point(network)
    found = propagate(network, GaussianInput(mean, 0.0))
    function = program.function(network.input, network.output)
    expected = function(mean.reshape(network.shapes[network.input])).flatten()
    torch.testing.assert_close(found.mean, expected, rtol=1e-12, atol=1e-12)
    assert found.covariance.abs().max() <= 1e-24


@PAIRED
def test_order_and_scale_of_hidden_units_do_not_matter(paired: bool, tmp_path: Path) -> None:
    network = steps(mlp((6, 9, 8, 3)), tmp_path)
    shapes = ((9, 6), (8, 9), (3, 8))
    layers = [(weights(*shape), weights(shape[0])) for shape in shapes]
    order = np.random.default_rng(1).permutation(9)
    scale = (2.0 ** np.random.default_rng(2).integers(-3, 4, 9)).astype(np.float32)
    (A, a), (B, b), (C, c) = layers
    A, a, B = (scale[:, None] * A)[order], (scale * a)[order], (B / scale)[:, order]
    nodes = [
        node("Gemm", ["x", "A", "a"], ["z0"], transB=1), node("Relu", ["z0"], ["h0"]),
        node("Gemm", ["h0", "B", "b"], ["z1"], transB=1), node("Relu", ["z1"], ["h1"]),
        node("Gemm", ["h1", "C", "c"], ["y"], transB=1),
    ]  # fmt: skip
    other, _ = network_from(nodes, (1, 6), {"A": A, "a": a, "B": B, "b": b, "C": C, "c": c}, tmp_path)
    x = GaussianInput(point(network), 0.5)
    one, two = propagate(network, x, second_order=paired), propagate(other, x, second_order=paired)
    torch.testing.assert_close(two.mean, one.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(two.covariance, one.covariance, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(two.jacobian, one.jacobian, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("paired", [False, True])
def test_one_layer_of_convolutions_with_a_skip_against_sampling(paired: bool, tmp_path: Path, every_pair: None) -> None:
    """A strided 1x1 shortcut past one ReLU: the closure is exact, and a reference sees its own noise and no more."""
    nodes = [
        node("Conv", ["x", "K"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Relu", ["c"], ["h"]),
        node("Conv", ["h", "L"], ["d"], pads=[1, 1, 1, 1]),
        node("Conv", ["x", "S"], ["s"], strides=[2, 2]),
        node("Add", ["d", "s"], ["a"]),
        node("Flatten", ["a"], ["f"]),
        node("Gemm", ["f", "W"], ["y"]),
    ]
    arrays = {"K": weights(3, 2, 3, 3), "L": weights(2, 3, 3, 3), "S": weights(2, 2, 1, 1), "W": weights(24, 3)}
    network, program = network_from(nodes, (1, 2, 5, 7), arrays, tmp_path)
    x, count = GaussianInput(point(network), 0.7), 40_000
    found = propagate(network, x, second_order=paired, samples=300)
    noise = torch.randn(count, 70, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    y = program((x.mean + 0.7 * noise).reshape(-1, 1, 2, 5, 7))
    assert ((y.mean(dim=0) - found.mean) / (y.std(dim=0) / count**0.5)).abs().max() < 4
    away = y - found.mean
    products = away[:, :, None] * away[:, None, :]
    error = products.std(dim=0) / count**0.5
    if paired:
        assert ((products.mean(dim=0) - found.covariance) / error).abs().max() < 4
    else:
        assert found.variance_error is not None
        error = (error.diagonal() ** 2 + found.variance_error**2).sqrt()
        assert ((y.var(dim=0) - found.covariance.diagonal()) / error).abs().max() < 4


@pytest.mark.parametrize("name", ["mlp", "residual", "padded"])
@PAIRED
def test_gradients_match_finite_differences(name: str, paired: bool, tmp_path: Path) -> None:
    """Also where a pool's window lies in the padding and where noise is zero outside a window."""
    structure: NoiseStructure = Isotropic()
    if name == "padded":
        nodes = [
            node("Conv", ["x", "K"], ["c"]),
            node("MaxPool", ["c"], ["p"], kernel_shape=[3, 3], strides=[2, 2], pads=[2, 2, 2, 2]),
            node("Relu", ["p"], ["y"]),
        ]
        network, _ = network_from(nodes, (1, 1, 5, 5), {"K": weights(1, 1, 2, 2)}, tmp_path)
        window = torch.zeros(5, 5, dtype=torch.float64)
        window[1:4, :2] = 1.0
        structure = Diagonal(window.flatten())
    else:
        network, _ = deep(name, tmp_path)
    start, level = point(network, 3), torch.tensor(0.4, dtype=torch.float64)

    def summary(mean: Tensor, sigma: Tensor) -> Tensor:
        found = propagate(network, GaussianInput(mean, sigma, structure), second_order=paired)
        both = torch.cat([found.mean, found.covariance.diagonal()])
        return both @ torch.cos(torch.arange(len(both), dtype=both.dtype))

    mean, sigma = start.clone().requires_grad_(), level.clone().requires_grad_()
    by_mean, by_sigma = torch.autograd.grad(summary(mean, sigma), (mean, sigma))
    h = 1e-6
    direction = torch.sin(torch.arange(len(start), dtype=torch.float64))
    along = (summary(start + h * direction, level) - summary(start - h * direction, level)) / (2 * h)
    across = (summary(start, level + h) - summary(start, level - h)) / (2 * h)
    scale = float(by_mean.norm())
    assert float(by_mean @ direction) == pytest.approx(float(along), rel=1e-5, abs=1e-6 * scale)
    assert float(by_sigma) == pytest.approx(float(across), rel=1e-5, abs=1e-6 * scale)


@pytest.mark.parametrize("kind", ["diagonal", "factored", "window"])
def test_shaped_noise_is_a_layer_in_front(kind: str, tmp_path: Path) -> None:
    """x = mu + F' g: even noise of g through the network with F' in front."""
    generator = torch.Generator().manual_seed(4)
    if kind == "factored":
        factor = (torch.randn(5, 36, generator=generator) / 3).double()
        structure: NoiseStructure = Factored(factor)
    else:
        scale = torch.rand(6, 6, generator=generator).double()
        if kind == "window":
            scale = torch.zeros_like(scale)
            scale[1:4, 2:6] = 1.0
        factor, structure = torch.diag(scale.flatten()), Diagonal(scale.flatten())
    program = program_of(residual_network(), tmp_path)
    network = network_of(program)
    mean = point(network).float().double()
    shaped = propagate(network, GaussianInput(mean, 0.3, structure), second_order=True)
    front = [
        node("Gemm", ["g", "F", "m"], ["flat_x"]),
        node("Reshape", ["flat_x", "shape"], ["x"]),
        *residual_network().graph.node,
    ]
    arrays = {one.name: np.array(program.graph.constants[one.name]) for one in residual_network().graph.initializer
              if one.name in program.graph.constants}  # fmt: skip
    arrays |= {"F": factor.float().numpy(), "m": mean.float().numpy(), "shape": np.array([1, 1, 6, 6])}
    made = model(front, (1, len(factor)), arrays, source="g")
    folded = steps(made, tmp_path)
    even = propagate(folded, GaussianInput(torch.zeros(len(factor), dtype=torch.float64), 0.3), second_order=True)
    torch.testing.assert_close(shaped.mean, even.mean, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(shaped.covariance, even.covariance, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(shaped.jacobian @ factor.mT, even.jacobian, rtol=1e-9, atol=1e-10)


def test_random_directions_say_how_far_off_they_are(tmp_path: Path) -> None:
    network, _ = deep("images", tmp_path)
    x = GaussianInput(point(network), 0.3)
    full = propagate(network, x)
    rough = propagate(network, x, budget=1, seed=3, second_order=True)
    assert full.direction_error is None
    assert rough.directions < full.directions
    assert rough.direction_error is not None
    assert rough.variance_error is not None  # so it was sampled, not paired
    assert ((rough.mean - full.mean).abs() <= 4 * rough.direction_error.norm()).all()
    assert rough.direction_error.max() < 0.1 * full.covariance.diagonal().sqrt().max()
    again = propagate(network, x, budget=1, seed=3)
    assert torch.equal(again.mean, rough.mean)
    assert not torch.equal(propagate(network, x, budget=1, seed=4).mean, rough.mean)
