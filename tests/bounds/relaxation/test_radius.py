"""Laws of certified radii."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from bounds.attack import adversarial_norm
from bounds.networks import Builder, double, weights
from bounds.relaxation.zoo import NETWORKS, dense_between, head, image, relaxation_of

from nmcheck.bounds.relaxation.radius import Images, RelaxedRadii
from nmcheck.bounds.relaxation.search import Search, search_radii
from nmcheck.bounds.softmax_margin import softmax_margin
from nmcheck.errors import UnsupportedError
from nmcheck.graph.ir import Graph

INF = math.inf
THOROUGH = Search(tests=30, accuracy=1e-7)


def radius(
    graph: Graph,
    x: torch.Tensor,
    norm: float = 2.0,
    box: tuple[float, float] | None = None,
    search: Search = THOROUGH,
    *,
    tighten: bool = True,
) -> torch.Tensor:
    relaxation, program = relaxation_of(graph)
    logits = program(x)
    found = RelaxedRadii(relaxation, tighten=tighten).at(
        Images(x, logits, norm, box), torch.zeros_like(logits), search=search
    )
    return found.amin(dim=1)


def linear(seed: int = 0) -> Graph:
    builder = Builder((1, 2, 4, 4))
    value = builder.conv("x", weights(seed, 3, 2, 3, 3), weights(seed + 1, 3), pad=1)
    value = builder.node("AveragePool", value, (1, 3, 2, 2), (), {"kernel_shape": (2, 2), "strides": (2, 2)})
    flat = builder.flatten(value)
    return builder.graph(builder.dense(flat, weights(seed + 2, 4, 12), 0.1 * weights(seed + 3, 4)))


@pytest.mark.parametrize("norm", [2.0, INF])
@pytest.mark.parametrize("tighten", [False, True])
def test_a_linear_network_has_the_radius_of_theorem_3_6(norm: float, tighten: bool) -> None:
    graph = linear()
    program, x = double(graph), image(graph, 0, 6)
    function = program.function(graph.input, graph.logits)
    rows = torch.func.jacrev(lambda u: function(u).flatten())(torch.zeros_like(x[0])).flatten(1)
    exact = softmax_margin(program(x), rows, norm)
    torch.testing.assert_close(radius(graph, x, norm, tighten=tighten), exact, rtol=1e-6, atol=0)
    assert (radius(graph, x, norm, tighten=tighten) <= exact).all()


def test_norms_of_a_linear_network_are_ordered() -> None:
    graph = linear(5)
    x = image(graph, 1, 6)
    l2, linf = radius(graph, x), radius(graph, x, INF)
    assert (linf <= l2).all()
    assert (l2 <= math.sqrt(32) * linf).all()


@pytest.mark.parametrize(
    "name", ["Relu", "Tanh", "pool", "pool-overlapping", "residual", "lrn", "branches", "normalized"]
)
@pytest.mark.parametrize("norm", [2.0, INF])
def test_no_adversarial_example_is_nearer(name: str, norm: float) -> None:
    graph = NETWORKS[name](11)
    program, x = double(graph), image(graph, 2, 3)
    function = program.function(graph.input, graph.logits)
    found = radius(graph, x, norm, search=Search())
    for one in range(len(x)):
        attack = adversarial_norm(function, x[one])
        # The attack measures in L2, and a change is never longer in Linf.
        assert found[one] <= attack
    assert (found > 0).any()


@pytest.mark.parametrize("norm", [2.0, INF])
def test_a_box_does_not_cost_radius(norm: float) -> None:
    graph = NETWORKS["pool"](12)
    x = image(graph, 3, 8)
    free, boxed = radius(graph, x, norm, search=Search()), radius(graph, x, norm, (0.0, 1.0), search=Search())
    # Not image by image: which line is taken depends on the intervals, and a smaller one may take the worse.
    assert boxed.mean() >= free.mean() * (0.99 if norm == 2 else 1.01)


def scaled(scale: float) -> Graph:
    """A ReLU network without biases but in the last layer."""
    builder = Builder((1, 2, 6, 6))
    value = builder.relu(builder.conv("x", scale * weights(0, 4, 2, 3, 3)))
    flat = builder.flatten(builder.max_pool(value))
    hidden = builder.relu(builder.dense(flat, 2 * weights(1, 8, 16)))
    return builder.graph(builder.dense(hidden, weights(2, 4, 8) / scale))


def test_scaling_a_layer_and_the_next_back_changes_no_radius() -> None:
    x = image(scaled(1), 4, 4)
    reference = radius(scaled(1), x)
    assert (reference > 0).all()
    for scale in (0.01, 7.0, 1000.0):
        torch.testing.assert_close(radius(scaled(scale), x), reference, rtol=1e-5, atol=0)


def network(first: float, second: float, *, biases: bool) -> Graph:
    """A ReLU network whose first layer, bias included, is multiplied by ``first``, and the next one's weights too."""
    builder = Builder((1, 2, 6, 6))
    value = builder.relu(builder.conv("x", first * weights(0, 4, 2, 3, 3), first * biases * 0.3 * weights(1, 4)))
    flat = builder.flatten(builder.max_pool(value))
    hidden = builder.relu(builder.dense(flat, 2 * second * weights(2, 8, 16), biases * 0.3 * weights(3, 8)))
    return builder.graph(builder.dense(hidden, weights(4, 4, 8), biases * 0.1 * weights(5, 4)))


BOTH_METHODS = pytest.mark.parametrize("tighten", [False, True], ids=["crown-ibp", "crown"])


@BOTH_METHODS
@pytest.mark.parametrize("norm", [2.0, INF])
def test_scaling_a_layer_with_its_bias_and_the_next_back_changes_no_radius(norm: float, tighten: bool) -> None:
    x = image(network(1, 1, biases=True), 4, 2)
    reference = radius(network(1, 1, biases=True), x, norm, tighten=tighten)
    assert (reference > 0).all()
    for scale in (0.01, 1000.0):
        found = radius(network(scale, 1 / scale, biases=True), x, norm, tighten=tighten)
        torch.testing.assert_close(found, reference, rtol=1e-5, atol=0)
    # Not so if the bias is left behind.
    other = network(7.0, 1 / 7.0, biases=True)
    left = replace(other, constants={**other.constants, "Conv_0_w1": other.constants["Conv_0_w1"] / 7})
    assert not torch.allclose(radius(left, x, norm, tighten=tighten), reference, rtol=1e-3)


@BOTH_METHODS
@pytest.mark.parametrize("norm", [2.0, INF])
def test_scaling_a_layer_of_a_network_without_biases_changes_no_radius(norm: float, tighten: bool) -> None:
    # Section 5.4 of the thesis concludes that the radius would grow without end as the scale goes to zero.
    x = image(network(1, 1, biases=False), 4, 2)
    reference = radius(network(1, 1, biases=False), x, norm, tighten=tighten)
    assert (reference > 0).all()
    for first, second in ((0.01, 1.0), (3.0, 500.0)):
        found = radius(network(first, second, biases=False), x, norm, tighten=tighten)
        torch.testing.assert_close(found, reference, rtol=1e-5, atol=0)


def with_norm(*, folded: bool) -> Graph:
    pick = np.random.default_rng(6)
    scale, shift, mean, variance = *pick.normal(size=(3, 3)), pick.uniform(0.2, 1, size=3)
    builder = Builder((1, 2, 5, 5))
    weight, bias = weights(3, 3, 2, 3, 3), 0.3 * weights(4, 3)
    factor = scale / np.sqrt(variance)
    if folded:
        value = builder.conv("x", weight * factor.reshape(-1, 1, 1, 1), (bias - mean) * factor + shift)
    else:
        value = builder.batch_norm(builder.conv("x", weight, bias), scale, shift, mean, variance)
    value = builder.relu(value)
    inner = 2 * weights(5, 4, 3, 2, 2)
    if folded:
        value = builder.conv(value, inner * 0.5)
    else:
        ones = np.ones(4)
        value = builder.batch_norm(builder.conv(value, inner), 0.5 * ones, 0 * ones, 0 * ones, ones)
    return head(builder, builder.relu(value), 20)


@pytest.mark.parametrize("norm", [2.0, INF])
def test_folding_a_normalization_changes_no_radius(norm: float) -> None:
    x = image(with_norm(folded=True), 5, 4)
    folded = radius(with_norm(folded=True), x, norm)
    assert (folded > 0).all()
    torch.testing.assert_close(radius(with_norm(folded=False), x, norm), folded, rtol=1e-5, atol=0)


def test_permuting_units_changes_no_radius() -> None:
    graph = dense_between(3, "Relu")
    order = np.random.default_rng(0).permutation(7)
    first, _, second, _, last = graph.nodes
    constants = dict(graph.constants)
    for position in (1, 2):
        constants[first.inputs[position]] = constants[first.inputs[position]][order]
    constants[second.inputs[1]] = constants[second.inputs[1]][:, order]
    x = image(graph, 6, 3)
    torch.testing.assert_close(radius(replace(graph, constants=constants), x), radius(graph, x), rtol=1e-6, atol=0)
    assert last.op == "Gemm"


def test_an_upper_bound_that_is_wrong_does_not_hide_a_certificate_beyond_it() -> None:
    """What is known of attacks only says where to look; else no comparison of the two could ever fail."""
    graph = linear()
    relaxation, program = relaxation_of(graph)
    x = image(graph, 0, 3)
    asked = Images(x, program(x), 2.0)
    radii = RelaxedRadii(relaxation, tighten=True)
    nothing = torch.zeros_like(asked.logits)
    free = radii.at(asked, nothing).amin(dim=1)
    wrong = 0.9 * free
    assert (radii.at(asked, nothing, wrong).amin(dim=1) > wrong).all()


def test_a_known_radius_is_never_lost_and_an_upper_one_never_passed() -> None:
    graph = NETWORKS["pool"](13)
    relaxation, program = relaxation_of(graph)
    x = image(graph, 7, 3)
    logits = program(x)
    radii = RelaxedRadii(relaxation, tighten=True)
    images = Images(x, logits, 2.0)
    known = torch.full_like(logits, 0.7)
    assert (radii.at(images, known) >= known).all()
    calls: list[torch.Tensor] = []

    def test(epsilon: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        calls.append(epsilon)
        return radii.reach(images, epsilon, chosen)

    upper = torch.tensor([1e-3, 1e-2, 0.1], dtype=torch.float64)
    search_radii(test, torch.zeros_like(logits), 2 * upper, upper, Search())
    assert all((epsilon <= upper.max()).all() for epsilon in calls)


def test_only_what_a_test_has_shown_is_certified() -> None:
    # F(epsilon) = 1 up to epsilon = 0.5 and useless beyond: no more than 0.5 may come out, whatever F says below.
    seen: list[float] = []

    def test(epsilon: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        seen.extend(epsilon.tolist())
        reach = torch.where(epsilon <= 0.5, 1.0, -1.0)
        return torch.stack([torch.full_like(reach, torch.inf), reach], dim=1)

    known = torch.tensor([[torch.inf, 0.0]], dtype=torch.float64)
    first, upper = torch.tensor([0.1], dtype=torch.float64), torch.tensor([torch.inf], dtype=torch.float64)
    found = search_radii(test, known, first, upper, Search(tests=25, accuracy=1e-3))
    assert found[0, 1].item() == max(epsilon for epsilon in seen if epsilon <= 0.5)
    assert found[0, 1].item() == pytest.approx(0.5, rel=2e-3)


def test_the_search_finds_the_crossing_of_a_steep_curve_in_few_tests() -> None:
    def test(epsilon: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.full_like(epsilon, torch.inf), 2.5 - 2.2 * (epsilon / 0.13) ** 3], dim=1)

    crossing = 0.13 * (2.37 / 2.2) ** (1 / 3)
    known = torch.tensor([[torch.inf, 0.06]], dtype=torch.float64)
    first, upper = torch.tensor([0.09], dtype=torch.float64), torch.tensor([torch.inf], dtype=torch.float64)
    found = search_radii(test, known, first, upper, Search(tests=6, accuracy=0.01))[0, 1].item()
    assert 0.98 * crossing <= found <= crossing * 1.001


def test_what_has_no_line_is_refused_by_name() -> None:
    builder = Builder((1, 4))
    value = builder.node("LayerNormalization", "x", (1, 4), [np.ones(4), np.zeros(4)])
    graph = builder.graph(builder.dense(value, weights(0, 3, 4)))
    with pytest.raises(UnsupportedError, match=r"LayerNormalization_0 \(LayerNormalization\).*layer normalization"):
        relaxation_of(graph)
    builder = Builder((1, 4))
    value = builder.node("Softmax", "x", (1, 4), (), {"axis": -1})
    graph = builder.graph(builder.dense(value, weights(0, 3, 4)))
    with pytest.raises(UnsupportedError, match="Softmax_0"):
        relaxation_of(graph)
