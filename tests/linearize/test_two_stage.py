"""At any ReLU of any graph, the (Affine, ReLU, Affine) model with a skip term is the network to first order."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from models import mlp, model, node, weights, write
from onnx import ModelProto
from residual_network import CUTS, RELUS, SKIPS, residual_network
from torch import Tensor

from nmcheck.affine import AffineReluAffine
from nmcheck.errors import UsageError
from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph
from nmcheck.linearize import budget
from nmcheck.linearize.jacobian import jacobian
from nmcheck.linearize.two_stage import TwoStageLinearizer, nodes_between
from nmcheck.moments.affine_relu_affine import GaussianInput, gram_matrix, output_covariance, output_mean

ALL = pytest.mark.parametrize("name", RELUS)


def program_of(made: ModelProto, folder: Path) -> Program:
    return Program(load_graph(write(made, folder)), torch.float64)


@pytest.fixture(scope="module")
def residual(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return program_of(residual_network(), tmp_path_factory.mktemp("residual"))


def linearizer(program: Program, name: str) -> TwoStageLinearizer:
    return TwoStageLinearizer(program, program.graph.by_name[name])


def image(program: Program, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(program.graph.shapes[program.graph.input], generator=generator, dtype=torch.float64)


def pattern(program: Program, x: Tensor) -> list[Tensor]:
    """Which units are on and which entry each pool takes: the linear piece that x lies in."""
    values = program.activations(x[None], [*(f"{name}.z" for name in RELUS), "both"])
    _, places = torch.nn.functional.max_pool2d(values.pop("both")[0], 2, return_indices=True)
    return [*(value > 0 for value in values.values()), places]


def nearby(program: Program, x: Tensor) -> Tensor:
    """A point in a random direction, well inside the linear piece that x lies in."""
    generator = torch.Generator().manual_seed(9)
    step = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    here = pattern(program, x)
    while not all(torch.equal(a, b) for a, b in zip(here, pattern(program, x + step), strict=True)):
        step = step / 2
    return x + step / 2


@ALL
def test_reproduces_the_network_at_the_point(residual: Program, name: str) -> None:
    for seed in range(5):
        x = image(residual, seed)
        found = linearizer(residual, name).at(x)
        torch.testing.assert_close(found(x.flatten()), residual(x[None])[0], rtol=1e-10, atol=1e-10)


@ALL
def test_reproduces_the_network_as_long_as_no_mask_flips(residual: Program, name: str) -> None:
    x = image(residual)
    found, there = linearizer(residual, name).at(x), nearby(residual, x)
    exact = residual(there[None])[0]
    assert (found(there.flatten()) - exact).abs().max() < 1e-6 * (exact - residual(x[None])[0]).abs().max()
    torch.testing.assert_close(found(there.flatten()), exact, rtol=0, atol=1e-10)


@ALL
def test_its_jacobian_is_the_networks(residual: Program, name: str) -> None:
    x = image(residual, 3)
    _, whole = jacobian(residual.function("x", "y"), x)
    torch.testing.assert_close(linearizer(residual, name).at(x).jacobian(x.flatten()), whole, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", CUTS)
def test_a_cut_has_no_skip_term_and_zero_if_one_is_computed(residual: Program, name: str) -> None:
    x = image(residual)
    assert not linearizer(residual, name).is_skip
    assert linearizer(residual, name).at(x).skip is None
    h = residual.function("x", f"{name}.h")(x)
    _, derivative = jacobian(lambda v: residual.function_of(("x", f"{name}.h"), "y")(v, h), x)
    assert not derivative.any()


@pytest.mark.parametrize("name", SKIPS)
def test_a_skip_has_a_skip_term_that_matters(residual: Program, name: str) -> None:
    assert linearizer(residual, name).is_skip
    for seed in range(5):
        x = image(residual, seed)
        found = linearizer(residual, name).at(x)
        assert found.skip is not None
        assert found.skip.norm() > 0.2 * found.jacobian(x.flatten()).norm()


@pytest.mark.parametrize("name", SKIPS)
def test_derivatives_are_those_of_the_rest_of_the_network_with_the_relus_output_held(
    residual: Program, name: str
) -> None:
    """Central differences, inside one linear piece of the rest: where all units of a pool are off, its slope jumps."""
    x = image(residual, 1)
    found = linearizer(residual, name).at(x)
    rest, h = residual.function_of(("x", f"{name}.h"), "y"), residual.function("x", f"{name}.h")(x)
    assert found.skip is not None
    generator = torch.Generator().manual_seed(2)
    dx = 1e-7 * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    dh = 1e-7 * torch.randn(h.shape, generator=generator, dtype=torch.float64) * (h > 0)
    along_x, along_h = (rest(x + dx, h) - rest(x - dx, h)) / 2, (rest(x, h + dh) - rest(x, h - dh)) / 2
    torch.testing.assert_close(found.skip @ dx.flatten(), along_x.flatten(), rtol=1e-6, atol=1e-14)
    torch.testing.assert_close(found.outer.weight @ dh.flatten(), along_h.flatten(), rtol=1e-6, atol=1e-14)


@ALL
def test_a_part_is_called_constant_exactly_if_it_is(residual: Program, name: str) -> None:
    """And then reused; otherwise made anew at every point."""
    points = [3 * image(residual, seed) for seed in range(6)]
    models = [linearizer(residual, name).at(x) for x in points]
    reused = linearizer(residual, name)

    def same(a: Tensor | None, b: Tensor | None) -> bool:
        return a is b or (a is not None and b is not None and torch.allclose(a, b, rtol=1e-9, atol=1e-9))

    def same_outer(one: AffineReluAffine, two: AffineReluAffine) -> bool:
        pairs = ((one.outer.weight, two.outer.weight), (one.outer.bias, two.outer.bias), (one.skip, two.skip))
        return all(same(a, b) for a, b in pairs)

    assert reused.inner_is_constant == all(same(found.inner.weight, models[0].inner.weight) for found in models)
    assert reused.outer_is_constant == all(same_outer(found, models[0]) for found in models)
    for x, found in zip(points, models, strict=True):
        again = reused.at(x)
        assert same(again.inner.weight, found.inner.weight)
        assert same(again.inner.bias, found.inner.bias)
        assert same_outer(again, found)


def affine_relu_affine_with_skip(folder: Path) -> Program:
    nodes = [
        node("Gemm", ["x", "A", "c"], ["z"]),
        node("Relu", ["z"], ["h"]),
        node("Gemm", ["h", "B"], ["through"]),
        node("Gemm", ["x", "C"], ["past"]),
        node("Add", ["through", "past"]),
    ]
    arrays = {"A": weights(6, 8), "c": weights(8), "B": weights(8, 3), "C": weights(6, 3)}
    return program_of(model(nodes, ("N", 6), arrays), folder)


def test_affine_relu_affine_with_a_skip_is_its_own_model_everywhere(tmp_path: Path) -> None:
    program = affine_relu_affine_with_skip(tmp_path)
    fixed = linearizer(program, "Relu_1")
    assert fixed.is_skip
    assert fixed.inner_is_constant
    assert fixed.outer_is_constant
    found = fixed.at(image(program))
    assert found.skip is not None
    assert np.array_equal(found.skip.numpy(), weights(6, 3).T)
    assert np.array_equal(found.outer.weight.numpy(), weights(8, 3).T)
    far = 10 * torch.randn(50, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(found(far), program(far[:, None]), rtol=1e-12, atol=1e-12)
    assert fixed.at(image(program, 1)).skip is found.skip


def test_affine_in_each_of_two_inputs_is_not_affine_in_both(tmp_path: Path) -> None:
    nodes = [
        node("Gemm", ["x", "A"], ["z"]),
        node("Relu", ["z"], ["h"]),
        node("Gemm", ["x", "C"], ["gate"]),
        node("Mul", ["h", "gate"]),
    ]
    program = program_of(model(nodes, ("N", 6), {"A": weights(6, 3), "C": weights(6, 3, seed=1)}), tmp_path)
    assert not linearizer(program, "Relu_1").outer_is_constant
    x = image(program)
    torch.testing.assert_close(linearizer(program, "Relu_1").at(x)(x.flatten()), program(x[None])[0])


def sampled(network: AffineReluAffine | Program, x: Tensor, sigma: float, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    noisy = x + sigma * torch.randn(count, *x.shape, generator=generator, dtype=torch.float64)
    return network(noisy.flatten(1)) if isinstance(network, AffineReluAffine) else network(noisy)


@pytest.mark.parametrize("name", SKIPS)
def test_moments_agree_with_sampling_of_the_model(residual: Program, name: str) -> None:
    x, sigma, count = image(residual, 2), 0.3, 100_000
    network = linearizer(residual, name).at(x)
    noise, gram = GaussianInput(x.flatten(), sigma), gram_matrix(network.inner)
    mean, covariance = output_mean(network, noise, gram), output_covariance(network, noise, gram)
    f = sampled(network, x, sigma, count)
    assert ((f.mean(0) - mean) / (f.std(0) / count**0.5)).abs().max() < 4
    products = (f - mean)[:, :, None] * (f - mean)[:, None, :]
    assert ((products.mean(0) - covariance) / (products.std(0) / count**0.5)).abs().max() < 4.5


@pytest.mark.parametrize("name", SKIPS)
def test_the_skip_term_brings_the_variance_to_the_networks(residual: Program, name: str) -> None:
    """Noise so small that the linearization is good: what is left is the sampling error of 2 %."""
    errors: dict[bool, list[Tensor]] = {True: [], False: []}
    for seed in range(4):
        x = image(residual, seed)
        network = linearizer(residual, name).at(x)
        noise, gram = GaussianInput(x.flatten(), 0.005), gram_matrix(network.inner)
        real = sampled(residual, x, 0.005, 4000).var(0)
        for kept, found in ((True, network), (False, replace(network, skip=None))):
            errors[kept].append((output_covariance(found, noise, gram).diagonal() / real - 1).abs())
    kept, dropped = (float(torch.stack(errors[key]).mean()) for key in (True, False))
    assert kept < 0.05
    assert dropped > 3 * kept


def test_matrices_too_large_are_refused_with_figures(residual: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = residual.graph
    assert all(budget.budget_refusal(graph, graph.by_name[name]) is None for name in RELUS)
    monkeypatch.setattr(budget, "LARGEST_MATRIX", 100_000)
    with pytest.raises(UsageError, match=r"stem has 144 units and the input 36 .*144 x 144.*0\.00 GiB.*a later one"):
        linearizer(residual, "stem")
    linearizer(residual, "left")


@pytest.mark.parametrize("shape", [(50_000, 6), (6, 50_000)], ids=["wide input", "many units"])
def test_the_largest_matrix_decides(tmp_path: Path, shape: tuple[int, int]) -> None:
    n, p = shape
    nodes = [
        node("Gemm", ["x", "A"], ["z"]),
        node("Relu", ["z"], ["h"], name="relu"),
        node("Gemm", ["h", "B"]),
    ]
    graph = load_graph(write(model(nodes, ("N", n), {"A": weights(n, p), "B": weights(p, 2)}), tmp_path))
    refusal = budget.budget_refusal(graph, graph.by_name["relu"])
    assert (refusal is not None) == (p > n)
    if refusal is not None:
        assert "A A' (50,000 x 50,000) takes 18.63 GiB in float64, more than the 2 GiB allowed" in refusal


def test_other_nodes_are_refused(tmp_path: Path) -> None:
    program = program_of(mlp(), tmp_path)
    with pytest.raises(ValueError, match=r"'dense0' \(Gemm\) is no ReLU"):
        linearizer(program, "dense0")
    assert [each.name for each in nodes_between(program.graph, "h0", "z1")] == ["dense1"]
