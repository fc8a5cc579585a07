"""The averaged linearization: exact where Taylor's is, Taylor's without noise, the mean square's best fit with it."""

from pathlib import Path

import pytest
import torch
from models import mlp, model, node, small_lenet, weights, write
from onnx import ModelProto
from residual_network import RELUS, residual_network
from torch import Tensor

from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph
from nmcheck.linearize.averaged import AveragedLinearizer, averaged_at
from nmcheck.linearize.linearizer import LINEARIZERS
from nmcheck.linearize.two_stage import two_stage_at
from nmcheck.moments.affine_relu_affine import gram_matrix, output_mean
from nmcheck.moments.gaussian import GaussianInput

ALL = pytest.mark.parametrize("name", RELUS)
SIGMA = 0.2


def program_of(made: ModelProto, folder: Path) -> Program:
    return Program(load_graph(write(made, folder)), torch.float64)


@pytest.fixture(scope="module")
def residual(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return program_of(residual_network(), tmp_path_factory.mktemp("residual"))


def averaged(program: Program, name: str) -> AveragedLinearizer:
    return averaged_at(program, program.graph.by_name[name])


def image(program: Program, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(program.graph.shapes[program.graph.input], generator=generator, dtype=torch.float64)


def noise(program: Program, count: int, sigma: float = SIGMA, seed: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = program.graph.shapes[program.graph.input]
    return sigma * torch.randn(count, *shape, generator=generator, dtype=torch.float64)


def points_of(x: Tensor, draws: Tensor) -> list[Tensor]:
    return [x + sign * draw for sign in (1, -1) for draw in draws]


@ALL
def test_matrices_are_means_of_jacobians_at_the_noisy_points(residual: Program, name: str) -> None:
    x, draws = image(residual), noise(residual, 3)
    found = averaged(residual, name).at(x, draws)
    before = residual.function("x", f"{name}.z")
    behind = residual.function_of(("x", f"{name}.h"), "y")
    inner, outer, skip = [], [], []
    for point in points_of(x, draws):
        h = torch.relu(before(point))
        inner.append(torch.autograd.functional.jacobian(before, point).reshape(h.numel(), -1))  # pyright: ignore
        past, through = torch.autograd.functional.jacobian(behind, (point, h))
        outer.append(through.reshape(3, -1))  # pyright: ignore[reportAttributeAccessIssue]
        skip.append(past.reshape(3, -1))  # pyright: ignore[reportAttributeAccessIssue]
    torch.testing.assert_close(found.inner.weight, torch.stack(inner).mean(0), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.outer.weight, torch.stack(outer).mean(0), rtol=1e-9, atol=1e-12)
    past = torch.stack(skip).mean(0)
    torch.testing.assert_close(
        torch.zeros_like(past) if found.skip is None else found.skip, past, rtol=1e-9, atol=1e-12
    )


@ALL
def test_offsets_let_the_means_of_both_parts_agree(residual: Program, name: str) -> None:
    x, draws = image(residual), noise(residual, 3)
    found = averaged(residual, name).at(x, draws)
    points = torch.stack(points_of(x, draws))
    values = residual.activations(points, [f"{name}.z", f"{name}.h", "y"])
    z, h, y = (values[value].flatten(1).mean(0) for value in (f"{name}.z", f"{name}.h", "y"))
    torch.testing.assert_close(found.inner(points.flatten(1)).mean(0), z, rtol=1e-9, atol=1e-11)
    past = 0 if found.skip is None else found.skip @ x.flatten()
    torch.testing.assert_close(found.outer(h) + past, y, rtol=1e-9, atol=1e-11)


@ALL
def test_without_noise_it_is_taylors(residual: Program, name: str) -> None:
    x = image(residual, 1)
    taylor = two_stage_at(residual, residual.graph.by_name[name]).at(x)
    found = averaged(residual, name).at(x, noise(residual, 8, sigma=1e-9))
    torch.testing.assert_close(found.inner.weight, taylor.inner.weight, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.outer.weight, taylor.outer.weight, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.inner.bias, taylor.inner.bias, rtol=0, atol=1e-7)
    torch.testing.assert_close(found.outer.bias, taylor.outer.bias, rtol=0, atol=1e-7)


def test_affine_parts_are_taken_over(tmp_path: Path) -> None:
    nodes = [
        node("Gemm", ["x", "A", "c"], ["z"]),
        node("Relu", ["z"], ["h"], name="relu"),
        node("Gemm", ["h", "B"], ["through"]),
        node("Gemm", ["x", "C"], ["past"]),
        node("Add", ["through", "past"]),
    ]
    arrays = {"A": weights(6, 8), "c": weights(8), "B": weights(8, 3), "C": weights(6, 3)}
    program = program_of(model(nodes, ("N", 6), arrays), tmp_path)
    linearizer = averaged(program, "relu")
    found = linearizer.at(image(program), noise(program, 2))
    taylor = linearizer.taylor.at(image(program, 3))
    assert found.inner is taylor.inner
    assert found.outer is taylor.outer
    assert found.skip is taylor.skip
    assert linearizer.at(image(program, 1), noise(program, 2, seed=6)).inner is found.inner


@ALL
@pytest.mark.parametrize("kind", LINEARIZERS)
def test_outputs_without_matrices_are_those_with_them(residual: Program, name: str, kind: str) -> None:
    linearizer = LINEARIZERS[kind](residual, residual.graph.by_name[name])
    x, draws, inputs = image(residual, 2), noise(residual, 3), image(residual, 2) + noise(residual, 10, seed=7)
    expected = linearizer.at(x, draws)(inputs.flatten(1))
    torch.testing.assert_close(linearizer.outputs(x, draws, inputs), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kind", LINEARIZERS)
def test_a_relu_decomposable_activation(tmp_path: Path, kind: str) -> None:
    nodes = [
        node("Gemm", ["x", "A"], ["z"]),
        node("Tanh", ["z"], ["t"]),
        node("LeakyRelu", ["t"], ["h"], name="leaky", alpha=0.3),
        node("Gemm", ["h", "B"]),
    ]
    program = program_of(model(nodes, ("N", 6), {"A": weights(6, 8), "B": weights(8, 3)}), tmp_path)
    linearizer = LINEARIZERS[kind](program, program.graph.by_name["leaky"])
    assert linearizer.is_skip
    x, draws = image(program), noise(program, 3)
    inputs = image(program) + noise(program, 4, seed=7)
    expected = linearizer.at(x, draws)(inputs.flatten(1))
    torch.testing.assert_close(linearizer.outputs(x, draws, inputs), expected, rtol=1e-9, atol=1e-11)


def test_the_inner_part_is_steins_least_squares_fit(tmp_path: Path) -> None:
    """A by 10 times 50 pairs of derivatives against Cov(a, x) / sigma^2 by 100,000 pairs of values."""
    program = program_of(mlp((4, 6, 5, 3)), tmp_path)
    x, sigma = image(program), 0.7
    linearizer = averaged(program, "relu1")
    found = torch.stack(
        [linearizer.at(x, noise(program, 50, sigma, seed=20 + part)).inner.weight for part in range(10)]
    )
    e = noise(program, 100_000, sigma, seed=11).flatten(1)
    odd = (program.activations(x + e.reshape(-1, *x.shape), ["z1"])["z1"].flatten(1)
           - program.activations(x - e.reshape(-1, *x.shape), ["z1"])["z1"].flatten(1)) / 2  # fmt: skip
    terms = odd[:, :, None] * e[:, None, :] / sigma**2
    error = (terms.var(0) / len(e) + found.var(0) / 10).sqrt()
    # Ten batches tell an error with nine degrees of freedom: 6 of those are as rare as 4 of a known one.
    assert ((found.mean(0) - terms.mean(0)) / error).abs().max() < 6
    taylor = two_stage_at(program, program.graph.by_name["relu1"]).at(x).inner.weight
    assert ((taylor - terms.mean(0)) / error).abs().max() > 20


def pooled_pair(folder: Path) -> Program:
    """relu(max(x1, x2) + 1), twice."""
    nodes = [
        node("ReduceMax", ["x"], ["m"], axes=[1], keepdims=1),
        node("Gemm", ["m", "one", "bias"], ["z"]),
        node("Relu", ["z"], ["h"], name="relu"),
        node("Gemm", ["h", "two"]),
    ]
    arrays = {"one": weights(1, 1) * 0 + 1, "bias": weights(1) * 0 + 1, "two": weights(1, 2) * 0 + 1}
    return program_of(model(nodes, ("N", 2), arrays, opset=13), folder)


def test_a_maximum_at_a_tie_has_its_mean_and_half_of_each_slope(tmp_path: Path) -> None:
    """E max(e1, e2) = sigma/sqrt(pi); Taylor's model says 0 there, whichever slope it takes."""
    program, sigma = pooled_pair(tmp_path), 0.05
    x = torch.full(program.graph.shapes["x"], 0.5, dtype=torch.float64)
    gaussian = GaussianInput(x.flatten(), sigma)
    means = {}
    for kind, make in LINEARIZERS.items():
        found = make(program, program.graph.by_name["relu"]).at(x, noise(program, 2000, sigma))
        means[kind] = float(output_mean(found, gaussian, gram_matrix(found.inner))[0]) - 1.5
        if kind == "averaged":
            torch.testing.assert_close(found.inner.weight, torch.full((1, 2), 0.5).double(), rtol=0, atol=0.03)
    # The standard deviation of max(e1, e2) without its odd part is 0.6 sigma / sqrt(2000).
    assert means["averaged"] == pytest.approx(sigma / torch.pi**0.5, abs=4 * 0.6 * sigma / 2000**0.5)
    assert means["taylor"] == pytest.approx(0, abs=1e-9)


def test_it_follows_a_pooled_network_more_closely_than_taylors(tmp_path: Path) -> None:
    program = program_of(small_lenet(), tmp_path)
    errors = {}
    for kind, make in LINEARIZERS.items():
        linearizer = make(program, program.graph.by_name["relu"])
        off = []
        for seed in range(4):
            # Coarse pixels: a background with ties, as in real images.
            x = (2 * image(program, seed)).round() / 2
            inputs = x + noise(program, 300, 0.3, seed=50 + seed)
            off.append((linearizer.outputs(x, noise(program, 8, 0.3), inputs) - program(inputs)).square().mean())
        errors[kind] = float(torch.stack(off).mean().sqrt())
    assert errors["averaged"] < 0.8 * errors["taylor"]
