import pytest
import torch
from bounds.attack import adversarial_norm
from bounds.networks import double

from nmcheck.bounds.network import network_bounds
from nmcheck.graph.load import load_graph
from nmcheck.graph.rewrite import with_batch_norm_folded

NAMES = ["lenet", "lenet_bn", "lenet_lrn1", "lenet_lrn2", "lenet_lrn3", "lenet_relu3", "mlp"]


def strokes(count: int) -> torch.Tensor:
    """Images of a few bright lines on black, for networks trained on digits."""
    generator = torch.Generator().manual_seed(4)
    x = torch.zeros((count, 1, 1, 28, 28), dtype=torch.float64)
    for image in x:
        for _ in range(3):
            row, column = (int(torch.randint(5, 22, (), generator=generator)) for _ in range(2))
            image[0, 0, row : row + 2, 5:22] = 1
            image[0, 0, 5:22, column : column + 2] = 1
    return x


@pytest.mark.parametrize("name", NAMES)
def test_no_adversarial_change_is_below_the_certified_radius(sample_models, name):
    graph = load_graph(sample_models / f"{name}.onnx")
    program, x = double(graph), strokes(3)
    found = network_bounds(graph, program, x)
    assert found.radius_certified is not None
    assert (found.radius_certified > 0).all()
    function = program.function(graph.input, graph.logits)
    norms = [adversarial_norm(function, image, steps=30) for image in x]
    assert min(norms) < float("inf")
    assert all(norm >= radius for norm, radius in zip(norms, found.radius_certified.tolist(), strict=True))


def test_folding_lenet_bn_changes_no_radius(sample_models):
    graph = load_graph(sample_models / "lenet_bn.onnx")
    folded = graph
    for node in graph.nodes:
        if node.op == "BatchNormalization":
            folded = with_batch_norm_folded(folded, node.name)
    x = strokes(3)
    with_layers, without = (network_bounds(network, double(network), x) for network in (graph, folded))
    assert with_layers.radius_certified is not None
    assert without.radius_certified is not None
    torch.testing.assert_close(with_layers.radius_certified, without.radius_certified, rtol=1e-6, atol=0)
