"""The response with a known mean: its mean is zero, and it is most of what is not linear."""

from pathlib import Path

import pytest
import torch
from models import mlp, node, weights
from moments.propagation.networks import network_from, point, program_of, residual_images

from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph
from nmcheck.linearize.steps import network_of
from nmcheck.moments.gaussian import GaussianInput
from nmcheck.moments.propagation.passes import pass_forward
from nmcheck.moments.propagation.propagate import propagate
from nmcheck.moments.propagation.surrogate import Surrogate
from nmcheck.moments.propagation.tangents import of_pixels
from nmcheck.steps import Network

SIGMA = 0.4


def network(name: str, folder: Path) -> Network:
    match name:
        case "mlp":
            return network_of(program_of(mlp((30, 20, 10, 3)), folder))
        case "images":
            nodes, arrays, shape = residual_images()
            return network_from(nodes, shape, arrays, folder)[0]
        case "product":
            nodes = [
                node("Gemm", ["x", "W"], ["a"]),
                node("Sigmoid", ["a"], ["s"]),
                node("Mul", ["a", "s"], ["p"]),
                node("Gemm", ["p", "V"], ["y"]),
            ]
            return network_from(nodes, (1, 8), {"W": weights(8, 6), "V": weights(6, 3)}, folder)[0]
        case _:
            raise ValueError(name)


def drawn(steps: Network, x: GaussianInput, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Linear response and bends of the output, a row a draw."""
    shape = steps.shapes[steps.input]
    tangents = of_pixels(torch.full(shape, SIGMA, dtype=torch.float64))
    output, _ = pass_forward(steps, x, tangents, x.draws(count, 7))
    assert output.response.bend is not None
    return output.response.linear.flatten(1), output.response.bend.flatten(1)


@pytest.mark.parametrize("name", ["mlp", "images", "product"])
def test_bends_have_mean_zero_and_no_correlation_with_the_linear_response(name: str, tmp_path: Path) -> None:
    """Behind max-pools, kinks, curves, products and where paths meet again."""
    steps, count = network(name, tmp_path), 20_000
    x = GaussianInput(point(steps), SIGMA)
    linear, bend = drawn(steps, x, count)
    assert (bend.std(0) > 0.05 * linear.std(0)).all()
    assert (bend.mean(0) / (bend.std(0) / count**0.5)).abs().max() < 4
    products = linear * bend
    assert (products.mean(0) / (products.std(0) / count**0.5)).abs().max() < 4
    paired = surrogate_of(steps, x).bends(x.draws(count // 2, 8))
    assert (paired.mean(0) / (paired.std(0) / len(paired) ** 0.5)).abs().max() < 4


def surrogate_of(steps: Network, x: GaussianInput) -> Surrogate:
    found = propagate(steps, x).surrogate
    assert found is not None
    return found


def test_one_hidden_layer_is_all_told(tmp_path: Path) -> None:
    """Then a pair's average less its bends is the mean itself."""
    program = program_of(mlp((12, 9, 4)), tmp_path)
    steps = network_of(program)
    x = GaussianInput(point(steps, 3), SIGMA)
    noise = x.draws(50, 1)
    pair = 0.5 * (program((x.mean + noise)[:, None]) + program((x.mean - noise)[:, None])).flatten(1)
    found = propagate(steps, x)
    assert found.surrogate is not None
    torch.testing.assert_close(pair - found.surrogate.bends(noise), found.mean.expand_as(pair), rtol=1e-12, atol=1e-12)
    assert float(pair.std(0).min()) > 1e-3


def test_draws_in_parts_have_the_same_bends(tmp_path: Path) -> None:
    steps = network("images", tmp_path)
    x = GaussianInput(point(steps), SIGMA)
    noise, surrogate = x.draws(9, 1), surrogate_of(steps, x)
    torch.testing.assert_close(
        torch.cat([surrogate.bends(part) for part in noise.split(2)]), surrogate.bends(noise), rtol=1e-12, atol=1e-14
    )


def test_a_convolutional_network_is_nine_tenths_told(sample_models: Path) -> None:
    """Of the variance of pairs' averages, which is the standard error of their mean."""
    program = Program(load_graph(sample_models / "lenet.onnx"), torch.float32)
    steps = network_of(program)
    shape = steps.shapes[steps.input]
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    x = GaussianInput(image.flatten(), 0.1)
    noise = x.draws(200, 1)
    pair = 0.5 * (program((x.mean + noise).reshape(-1, *shape)) + program((x.mean - noise).reshape(-1, *shape)))
    rest = pair.flatten(1) - surrogate_of(steps, x).bends(noise)
    assert float((rest.var(0) / pair.flatten(1).var(0)).max()) < 0.1


def test_random_directions_know_no_mean(tmp_path: Path) -> None:
    steps = network("mlp", tmp_path)
    x = GaussianInput(point(steps), SIGMA)
    assert propagate(steps, x, samples=32, budget=1).surrogate is None
