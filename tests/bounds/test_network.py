import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from bounds.attack import adversarial_norm
from bounds.networks import Builder, double, weights

from nmcheck.bounds.network import NetworkBounds, network_bounds
from nmcheck.graph.ir import Graph


def images(graph: Graph, count: int = 6, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((count, *graph.shapes["x"]), generator=generator, dtype=torch.float64)


def bounds_of(graph: Graph, x: torch.Tensor | None = None) -> NetworkBounds:
    return network_bounds(graph, double(graph), images(graph) if x is None else x)


def radius(graph: Graph, x: torch.Tensor | None = None) -> torch.Tensor:
    found = bounds_of(graph, x).radius_certified
    assert found is not None
    return found


def head(builder: Builder, value: str, seed: int, classes: int = 4) -> Graph:
    flat = builder.flatten(value)
    hidden = builder.relu(builder.dense(flat, weights(seed, 12, builder.shapes[flat][1]), weights(seed + 1, 12)))
    return builder.graph(builder.dense(hidden, weights(seed + 2, classes, 12), 0.02 * weights(seed + 3, classes)))


def balanced(graph: Graph) -> Graph:
    """The network with its last bias moved so that the classes tie at the grey image."""
    grey = torch.full((1, *graph.shapes["x"]), 0.5, dtype=torch.float64)
    bias = graph.producers[graph.logits].inputs[2]
    moved = graph.constants[bias] - double(graph)(grey)[0].numpy()
    return replace(graph, constants={**graph.constants, bias: moved})


def plain(scale: float = 1.0) -> Graph:
    builder = Builder((1, 2, 8, 8))
    value = builder.relu(builder.conv("x", scale * weights(0, 4, 2, 3, 3)))
    return head(builder, builder.max_pool(value), 10)


def normalized() -> Graph:
    builder = Builder((1, 2, 8, 8))
    pick = np.random.default_rng(5)
    value = builder.conv("x", weights(0, 4, 2, 3, 3), weights(1, 4))
    parameters = [pick.normal(size=4), pick.normal(size=4), pick.normal(size=4), pick.uniform(0.05, 1, size=4)]
    return head(builder, builder.max_pool(builder.relu(builder.batch_norm(value, *parameters))), 10)


def local_response(alpha: float) -> Graph:
    builder = Builder((1, 2, 8, 8))
    value = builder.lrn(builder.max_pool(builder.conv("x", 3 * weights(0, 6, 2, 3, 3))), 3, alpha)
    value = builder.lrn(builder.relu(builder.conv(value, weights(1, 5, 6, 2, 2))), 5, alpha)
    return head(builder, value, 10)


def residual() -> Graph:
    builder = Builder((1, 3, 6, 6))
    trunk = builder.relu(builder.conv("x", weights(0, 3, 3, 3, 3), pad=1))
    branch = builder.conv(
        builder.relu(builder.conv(trunk, weights(1, 3, 3, 3, 3), pad=1)), weights(2, 3, 3, 3, 3), pad=1
    )
    joined = builder.relu(builder.node("Add", (trunk, branch), builder.shapes[trunk]))
    return head(builder, joined, 10)


def inception() -> Graph:
    builder = Builder((1, 2, 6, 6))
    left = builder.relu(builder.conv("x", weights(0, 3, 2, 3, 3), pad=1))
    right = builder.relu(builder.conv("x", weights(1, 2, 2, 1, 1)))
    stacked = builder.node("Concat", (left, right), (1, 5, 6, 6), (), {"axis": 1})
    return head(builder, stacked, 10)


NETWORKS = {
    "plain": plain,
    "normalized": normalized,
    "lrn": lambda: local_response(1e-2),
    "strong lrn": lambda: local_response(20.0),
    "residual": residual,
    "inception": inception,
}


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_no_adversarial_change_is_below_a_certified_distance(name):
    graph = balanced(NETWORKS[name]())
    program, x = double(graph), images(graph)
    found = bounds_of(graph, x)
    assert found.radius_certified is not None
    assert (found.radius_certified > 0).all()
    function = program.function("x", graph.logits)
    norms = torch.tensor([adversarial_norm(function, image) for image in x])
    assert torch.isfinite(norms).all()
    assert (norms >= found.radius_certified).all()
    for layer in found.layers:
        node = graph.by_name[layer.node]
        value = node.inputs[0]
        assert layer.kappa_certified is not None
        if len(graph.live_inputs(node)) > 1:
            continue
        try:
            inner = program.function(value, graph.logits)
        except ValueError:
            # Inside a branch the other one is held fixed, which a function of one value cannot show.
            assert name in ("residual", "inception")
            continue
        activations = program.activations(x[:2], [value])[value]
        for activation, kappa in zip(activations, layer.kappa_certified[:2], strict=True):
            assert adversarial_norm(inner, activation) >= kappa, layer.node


def test_a_linear_classifier_s_radius_is_exact():
    builder = Builder((1, 2, 5, 5))
    value = builder.conv("x", weights(0, 3, 2, 3, 3), weights(1, 3))
    graph = builder.graph(builder.dense(builder.flatten(value), weights(2, 4, 27), weights(3, 4)))
    x = images(graph)
    found = bounds_of(graph, x)
    function = double(graph).function("x", graph.logits)
    norms = [adversarial_norm(function, image) for image in x]
    assert found.radius_certified is not None
    assert found.radius_certified.tolist() == pytest.approx(norms, rel=1e-5)


def test_scaling_a_layer_without_bias_leaves_the_input_radius_alone():
    # Section 5.4 of the thesis concludes that it would grow without end.
    x = images(plain())
    biased = replace(plain(), constants={**plain().constants, "Gemm_4_w1": np.zeros(12), "Gemm_6_w1": np.zeros(4)})
    shrunk = replace(biased, constants={**biased.constants, "Conv_0_w0": 0.01 * biased.constants["Conv_0_w0"]})
    first, second = bounds_of(biased, x), bounds_of(shrunk, x)
    assert first.radius_certified is not None
    assert second.radius_certified is not None
    # The allowance on the margins and the bisection-free product leave only rounding.
    torch.testing.assert_close(first.radius_certified, second.radius_certified, rtol=1e-6, atol=0)


def test_folding_batch_normalization_by_hand_changes_nothing():
    graph = normalized()
    kernel, bias = (graph.constants[f"Conv_0_w{k}"] for k in range(2))
    scale, shift, mean, variance = (graph.constants[f"BatchNormalization_1_w{k}"] for k in range(4))
    factor = scale / np.sqrt(variance)
    builder = Builder((1, 2, 8, 8))
    value = builder.conv("x", kernel * factor.reshape(-1, 1, 1, 1), (bias - mean) * factor + shift)
    folded = head(builder, builder.max_pool(builder.relu(value)), 10)
    x = images(graph)
    torch.testing.assert_close(radius(graph, x), radius(folded, x), rtol=1e-9, atol=0)
    layers = {layer.op: layer for layer in bounds_of(graph, x).layers}
    inside, behind = layers["BatchNormalization"], layers["Relu"]
    assert inside.kappa_certified is not None
    assert inside.kappa_certified_output is not None
    assert inside.lipschitz == pytest.approx(np.abs(factor).max(), rel=2e-6)
    torch.testing.assert_close(
        inside.kappa_certified, inside.kappa_certified_output / np.abs(factor).max(), rtol=1e-5, atol=0
    )
    assert behind.op == "Relu"


def test_input_scaling_changes_units_only():
    builder = Builder((1, 2, 8, 8))
    gain, offset = np.array([2.0, 5.0]).reshape(1, 2, 1, 1), np.array([-0.5, 1.0]).reshape(1, 2, 1, 1)
    scaled = builder.node("Mul", "x", builder.input_shape, [gain], index=-1)
    shifted = builder.node("Add", scaled, builder.input_shape, [offset], index=-1)
    value = builder.relu(builder.conv(shifted, weights(0, 4, 2, 3, 3)))
    graph = head(builder, builder.max_pool(value), 10)
    folded = Builder((1, 2, 8, 8))
    kernel = weights(0, 4, 2, 3, 3)
    bias = (kernel * offset).sum(axis=(1, 2, 3))
    value = folded.relu(folded.conv("x", kernel * gain, bias))
    other = head(folded, folded.max_pool(value), 10)
    x = images(graph)
    torch.testing.assert_close(radius(graph, x), radius(other, x), rtol=1e-9, atol=0)
    published = bounds_of(graph, x)
    first, last = published.radius_published, published.layers[2].kappa_published
    assert first is not None
    assert last is not None
    torch.testing.assert_close(first, last / 5, rtol=1e-12, atol=0)


@pytest.mark.parametrize("alpha", [1e-3, 0.3])
def test_local_lrn_constants_help_and_never_pass_the_optimum(alpha):
    builder = Builder((1, 2, 6, 6))
    graph = head(builder, builder.lrn(builder.conv("x", weights(0, 6, 2, 3, 3)), 3, alpha), 10)
    found = bounds_of(graph)
    assert found.radius_certified is not None
    layer = next(layer for layer in found.layers if layer.op == "LRN")
    behind = layer.kappa_certified_output
    assert behind is not None
    assert layer.kappa_certified is not None
    assert layer.lipschitz == pytest.approx(1.9146, rel=1e-4)
    # bias^-beta = 1 is the least a constant can be at a pixel without activity; it may be less elsewhere.
    gained = layer.kappa_certified / (behind / 1.9146)
    assert (gained >= 1 - 1e-4).all()
    if alpha == 1e-3:
        assert (gained > 1.85).all()
        assert (layer.kappa_certified <= behind * 1.01).all()


def test_distances_are_those_of_a_sum_and_a_concatenation():
    builder = Builder((1, 5))
    matrix = weights(0, 5, 5)
    branch = builder.relu(builder.dense("x", matrix))
    joined = builder.node("Add", ("x", branch), (1, 5))
    graph = builder.graph(builder.relu(joined))
    first = bounds_of(graph).layers[0]
    assert first.lipschitz_to_logits == pytest.approx(1 + np.linalg.norm(matrix, 2), rel=2e-6)
    builder = Builder((1, 5))
    left, right = builder.dense("x", matrix), builder.relu("x")
    stacked = builder.node("Concat", (left, right), (1, 10), (), {"axis": 1})
    graph = builder.graph(builder.relu(stacked))
    found = bounds_of(graph)
    assert found.layers[0].lipschitz_to_logits == pytest.approx(np.hypot(1, np.linalg.norm(matrix, 2)), rel=2e-6)
    concatenation = next(layer for layer in found.layers if layer.op == "Concat")
    assert concatenation.lipschitz_to_logits == 1.0


def test_a_network_that_ends_in_no_affine_layer_uses_the_logits_distance():
    builder = Builder((1, 3))
    graph = builder.graph(builder.relu("x"))
    x = torch.tensor([[[5.0, 2.0, 1.0]]], dtype=torch.float64)
    assert radius(graph, x).item() == pytest.approx(3 / math.sqrt(2), rel=2e-6)


def test_what_has_no_constant_leaves_a_reason_and_what_follows_its_bounds():
    builder = Builder((1, 6))
    hidden = builder.relu(builder.dense("x", weights(0, 6, 6)))
    squared = builder.node("Mul", (hidden, hidden), (1, 6))
    graph = builder.graph(builder.dense(squared, weights(1, 3, 6)))
    found = bounds_of(graph)
    assert found.radius_certified is None
    assert found.radius_certified_reason is not None
    assert "Mul_2" in found.radius_certified_reason
    layers = {layer.node: layer for layer in found.layers}
    assert layers["Mul_2"].lipschitz is None
    assert "Mul_2" in (layers["Mul_2"].lipschitz_reason or "")
    assert layers["Gemm_0"].lipschitz is not None
    assert layers["Gemm_0"].kappa_certified is None
    assert layers["Gemm_0"].lipschitz_to_logits is None
    assert layers["Gemm_3"].kappa_certified is not None
    assert layers["Mul_2"].kappa_certified_output is not None


@pytest.mark.parametrize("broken", [np.nan, np.inf])
@pytest.mark.parametrize("weight", ["Conv_0_w0", "Gemm_4_w0", "Gemm_6_w0"])
def test_weights_that_are_no_numbers_certify_nothing(broken, weight):
    graph = plain()
    spoilt = graph.constants[weight].copy()
    spoilt.flat[0] = broken
    found = bounds_of(replace(graph, constants={**graph.constants, weight: spoilt}))
    assert found.radius_certified is None
    assert "not finite" in (found.radius_certified_reason or "")


def test_logits_that_are_no_numbers_certify_nothing():
    graph = plain()
    spoilt = np.array([np.nan, 0.0, 0.0, 0.0])
    assert radius(replace(graph, constants={**graph.constants, "Gemm_6_w1": spoilt})).tolist() == [0.0] * 6


def test_a_single_output_has_no_boundary_between_classes():
    builder = Builder((1, 6))
    found = bounds_of(builder.graph(builder.dense("x", weights(0, 1, 6))))
    assert found.radius_certified is None
    assert "single output" in (found.radius_certified_reason or "")
    assert found.layers[0].lipschitz_to_logits == pytest.approx(np.linalg.norm(weights(0, 1, 6)), rel=2e-6)


def test_an_image_s_bounds_do_not_depend_on_the_batch():
    graph = local_response(0.5)
    x = images(graph, count=40)
    together = bounds_of(graph, x)
    alone = [bounds_of(graph, x[k : k + 1]) for k in (0, 31, 32, 39)]
    for k, single in zip((0, 31, 32, 39), alone, strict=True):
        assert together.radius_certified is not None
        assert single.radius_certified is not None
        torch.testing.assert_close(together.radius_certified[k : k + 1], single.radius_certified, rtol=1e-9, atol=0)


def test_certified_bounds_need_double_precision():
    graph = plain()
    program = double(graph)
    with pytest.raises(ValueError, match="float64"):
        network_bounds(graph, type(program)(graph, torch.float32), images(graph))
