import numpy as np
import pytest
import torch
from bounds.attack import adversarial_norm
from bounds.networks import Builder, double, weights

from nmcheck.bounds.network import LayerResult, NetworkBounds, network_bounds
from nmcheck.bounds.published.theorem_4_2 import algorithm_4_1, jacobian_norm, theorem_4_2
from nmcheck.bounds.softmax_margin import softmax_margin
from nmcheck.graph.ir import Graph


def bounds_of(graph: Graph, x: torch.Tensor) -> NetworkBounds:
    return network_bounds(graph, double(graph), x)


def layers_of(found: NetworkBounds) -> dict[str, LayerResult]:
    return {layer.node: layer for layer in found.layers}


def kappa(layer: LayerResult) -> torch.Tensor:
    assert layer.kappa_published is not None, layer.kappa_published_reason
    return layer.kappa_published


def lenet() -> tuple[Graph, torch.Tensor]:
    builder = Builder((1, 1, 12, 12))
    value = builder.max_pool(builder.conv("x", weights(0, 3, 1, 3, 3)))
    value = builder.relu(builder.conv(value, weights(1, 4, 3, 2, 2)))
    hidden = builder.relu(builder.dense(builder.flatten(value), weights(2, 7, 64), weights(3, 7)))
    graph = builder.graph(builder.dense(hidden, weights(4, 3, 7), weights(5, 3)))
    return graph, torch.rand((4, 1, 1, 12, 12), generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_thesis_s_own_recursion_on_a_small_lenet():
    graph, x = lenet()
    program = double(graph)
    found = bounds_of(graph, x)
    layers = layers_of(found)
    weight, last = (torch.from_numpy(graph.constants[f"Gemm_{k}_w0"]) for k in (5, 7))
    kappa_6 = softmax_margin(found.logits, last)
    pre = program.activations(x, ["v5"])["v5"].reshape(4, 7)
    norms = torch.tensor([jacobian_norm([weight], [(row > 0).double()]) for row in pre], dtype=torch.float64)
    kappa_5 = theorem_4_2(norms, algorithm_4_1([weight], ["Relu"]), 7, kappa_6)
    kappa_3 = kappa_5 / float(np.linalg.norm(graph.constants["Conv_2_w0"]))
    kappa_2 = kappa_3 / 5
    kappa_1 = kappa_2 / float(np.linalg.norm(graph.constants["Conv_0_w0"]))
    expected = {
        "Gemm_7": kappa_6, "Gemm_5": kappa_5, "Relu_3": kappa_5, "Conv_2": kappa_3, "MaxPool_1": kappa_2,
        "Conv_0": kappa_1,
    }  # fmt: skip
    for name, value in expected.items():
        torch.testing.assert_close(kappa(layers[name]), value, rtol=1e-9, atol=0)
    assert found.radius_published is not None
    torch.testing.assert_close(found.radius_published, kappa_1, rtol=1e-9, atol=0)
    assert not found.radius_published_sound
    assert {name: layer.published_sound for name, layer in layers.items()} == {
        "Conv_0": False, "MaxPool_1": True, "Conv_2": False, "Relu_3": True, "Gemm_5": False, "Relu_6": False,
        "Gemm_7": True,
    }  # fmt: skip
    assert layers["Gemm_7"].published_chain_sound
    assert not layers["MaxPool_1"].published_chain_sound
    assert layers["Relu_6"].kappa_published is None


def test_theorem_5_1_end_to_end_exceeds_an_adversarial_change():
    # A 2x2 kernel of ones on a 3x3 image, a ReLU, and a margin of 1 on the sum: bound 0.25, actual 1/6.
    builder = Builder((1, 1, 3, 3))
    value = builder.relu(builder.conv("x", np.ones((1, 1, 2, 2)), np.ones(1)))
    last = builder.dense(builder.flatten(value), np.array([[0.5] * 4, [-0.5] * 4]), np.array([-1.5, 1.5]))
    graph = builder.graph(last)
    x = torch.zeros((1, 1, 1, 3, 3), dtype=torch.float64)
    found = bounds_of(graph, x)
    assert found.radius_published is not None
    assert found.radius_certified is not None
    actual = adversarial_norm(double(graph).function("x", last), x[0])
    assert found.radius_published.item() == pytest.approx(0.25)
    assert actual == pytest.approx(1 / 6, rel=1e-6)
    assert found.radius_certified.item() <= actual
    assert not found.radius_published_sound


@pytest.mark.parametrize("kind", ["normalization", "lrn"])
def test_normalization_makes_the_published_bound_exceed_adversarial_changes(kind):
    builder = Builder((1, 2, 1, 1))
    if kind == "lrn":
        value = builder.lrn("x", 1, 1e-4)
        x = torch.tensor([10.0, 0.0], dtype=torch.float64).reshape(1, 1, 2, 1, 1)
    else:
        one, zero = np.ones(2), np.zeros(2)
        value = builder.batch_norm("x", np.array([1.0, 0.01]), zero, zero, one)
        x = torch.tensor([1.0, 0.0], dtype=torch.float64).reshape(1, 1, 2, 1, 1)
    last = builder.dense(builder.flatten(value), np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([0.0, -11.0]))
    graph = builder.graph(last)
    found = bounds_of(graph, x)
    actual = adversarial_norm(double(graph).function("x", last), x[0])
    assert found.radius_published is not None
    assert found.radius_certified is not None
    assert found.radius_published.item() > actual >= found.radius_certified.item()
    assert not found.layers[0].published_sound


def test_kappa_of_a_hidden_layer_uses_the_layers_from_there_on():
    builder = Builder((1, 6))
    first = builder.relu(builder.dense("x", weights(0, 8, 6), weights(1, 8)))
    second = builder.node("Tanh", builder.dense(first, weights(2, 5, 8), weights(3, 5)), (1, 5))
    graph = builder.graph(builder.dense(second, weights(4, 3, 5)))
    x = torch.randn((3, 1, 6), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = bounds_of(graph, x)
    layers = layers_of(found)
    program = double(graph)
    delta = kappa(layers["Gemm_4"])
    for name, value in [("Gemm_0", "x"), ("Gemm_2", "v1")]:
        points = program.activations(x, [value])[value] if value != "x" else x
        stretch = program.function(value, "v3")
        norms = torch.stack([
            torch.linalg.matrix_norm(torch.func.jacrev(stretch)(point).reshape(5, -1), ord=2) for point in points
        ])  # fmt: skip
        matrices = [torch.from_numpy(graph.constants[f"Gemm_{k}_w0"]) for k in (0, 2)]
        operators = ["Relu", "Tanh"]
        start = 0 if value == "x" else 1
        second_derivative = algorithm_4_1(matrices[start:], operators[start:])
        torch.testing.assert_close(
            kappa(layers[name]), theorem_4_2(norms, second_derivative, 5, delta), rtol=1e-9, atol=0
        )
    assert not layers["Gemm_2"].published_sound


def test_smooth_activations_are_sound():
    builder = Builder((1, 6))
    hidden = builder.node("Sigmoid", builder.dense("x", 3 * weights(0, 8, 6)), (1, 8))
    graph = builder.graph(builder.dense(hidden, weights(1, 3, 8)))
    x = torch.randn((5, 1, 6), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = bounds_of(graph, x)
    assert found.radius_published_sound
    function = double(graph).function("x", graph.logits)
    assert found.radius_published is not None
    assert all(
        adversarial_norm(function, image) >= bound for image, bound in zip(x, found.radius_published, strict=True)
    )


def test_where_the_thesis_has_no_formula():
    builder = Builder((1, 6))
    trunk = builder.relu(builder.dense("x", weights(0, 6, 6)))
    joined = builder.node("Add", (trunk, builder.dense(trunk, weights(1, 6, 6))), (1, 6))
    graph = builder.graph(builder.dense(joined, weights(2, 3, 6)))
    x = torch.rand((2, 1, 6), dtype=torch.float64)
    found = bounds_of(graph, x)
    layers = layers_of(found)
    assert found.radius_published is None
    assert "Add_3" in (found.radius_published_reason or "")
    assert kappa(layers["Gemm_4"]).shape == (2,)
    assert layers["Gemm_0"].kappa_published is None
    assert "Add_3" in (layers["Gemm_0"].kappa_published_reason or "")
    builder = Builder((1, 3))
    found = bounds_of(builder.graph(builder.relu("x")), torch.rand((2, 1, 3), dtype=torch.float64))
    assert "linear last layer" in (found.radius_published_reason or "")
