"""Certified kappa is below whatever flips the label from a layer's input."""

from functools import partial

import pytest
import torch
from models import residual, write
from tied_networks import PIXELS, network

from nmcheck.attacks.ddn import ddn
from nmcheck.attacks.layerwise import attack_layer, held_values
from nmcheck.bounds.network import network_bounds
from nmcheck.bounds.propagation import input_sources
from nmcheck.bounds.softmax_margin import softmax_margin
from nmcheck.data import read_data
from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph

NAMES = ["lenet", "lenet_bn", "lenet_lrn1", "lenet_lrn2", "lenet_lrn3", "lenet_relu3", "mlp"]


@pytest.mark.parametrize("name", NAMES)
def test_no_certified_kappa_is_above_the_attack_on_its_sub_network(sample_models, name):
    graph = load_graph(sample_models / f"{name}.onnx")
    program = Program(graph, torch.float64)
    dataset = read_data("mnist", None)
    pixels = dataset.pixels(torch.arange(0, 300, 150).numpy())
    x = torch.from_numpy(pixels).reshape(-1, *graph.shapes[graph.input])
    bounds = network_bounds(graph, program, x)
    for layer in bounds.layers:
        norms = attack_layer(program, input_sources(graph, graph.by_name[layer.node]), x, partial(ddn, steps=30))
        assert layer.kappa_certified is not None
        assert torch.isfinite(norms).all()
        assert (layer.kappa_certified <= norms).all(), layer.node


def test_at_an_affine_last_layer_the_attack_meets_theorem_3_6(sample_models):
    graph = load_graph(sample_models / "mlp.onnx")
    program = Program(graph, torch.float64)
    x = torch.rand(4, *graph.shapes[graph.input], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    last = graph.nodes[-1]
    source = graph.live_inputs(last)[0]
    activation = program.activations(x, [source])[source].flatten(1)
    function = torch.func.vmap(program.function(source, graph.logits))
    shape = graph.shapes[source]
    origin = function(torch.zeros(1, *shape, dtype=torch.float64)).flatten(1)
    unit = torch.eye(activation.shape[1], dtype=torch.float64).reshape(-1, *shape)
    weight = (function(unit).flatten(1) - origin).T
    exact = softmax_margin(activation @ weight.T + origin, weight)
    torch.testing.assert_close(attack_layer(program, (source,), x), exact, rtol=0.01, atol=0)


def test_what_a_change_leaves_alone_keeps_its_clean_value(tmp_path):
    """A change behind the branch point does not move the path around it."""
    graph = load_graph(write(residual(), tmp_path))
    program = Program(graph, torch.float64)
    assert held_values(graph, ("z1",)) == ("h0",)
    assert held_values(graph, ("h0",)) == ()
    assert held_values(graph, ("x",)) == ()
    x = torch.randn(3, *graph.shapes["x"], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    norms = attack_layer(program, ("z1",), x)
    assert torch.isfinite(norms).any()
    # The joint change of both inputs of the sum may use the path around as well: never farther.
    joint = attack_layer(program, ("h0", "h1"), x)
    assert (joint <= norms * 1.02).all()
    bounds = network_bounds(graph, program, x)
    relu = next(layer for layer in bounds.layers if layer.node == "r1")
    assert relu.kappa_certified is not None
    assert (relu.kappa_certified <= norms).all()


def test_the_equal_of_a_class_hides_no_other_in_front_of_the_last_layer(tmp_path):
    """In front of equal rows it is never predicted; the logits themselves may move apart."""
    x = torch.rand(2, *PIXELS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plain, doubled = (
        Program(load_graph(network(tmp_path, order, leading=0)), torch.float64) for order in ([0, 1, 2], [0, 1, 0, 2])
    )
    for sources in (("x",), ("h",)):
        torch.testing.assert_close(
            attack_layer(doubled, sources, x), attack_layer(plain, sources, x), rtol=1e-6, atol=0
        )
    # A tie: of the logits alone, the least change flips.
    assert (attack_layer(doubled, ("y",), x) < 1e-6).all()
