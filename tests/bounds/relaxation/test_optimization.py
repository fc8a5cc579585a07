"""Optimized slopes: never below the first choice, and still below the network."""

import math

import pytest
import torch
from bounds.relaxation.test_soundness import gap_function, inside, scattered
from bounds.relaxation.zoo import NETWORKS, image, relaxation_of

from nmcheck.bounds.relaxation.optimization import SlopeOptimizer
from nmcheck.bounds.relaxation.radius import margins
from nmcheck.bounds.relaxation.region import Region

NAMES = [
    "Relu",
    "LeakyRelu-steep",
    "Clip",
    "Tanh",
    "Gelu",
    "pool",
    "pool-overlapping",
    "branches",
    "gated",
    "lrn-signed",
]


@pytest.mark.parametrize("norm", [2.0, math.inf], ids=["l2", "linf"])
@pytest.mark.parametrize("name", NAMES)
def test_optimized_bounds_hold_and_are_no_lower(name: str, norm: float) -> None:
    graph = NETWORKS[name](100)
    relaxation, program = relaxation_of(graph)
    size = 0.3 if norm == 2 else 0.1
    region = Region(image(graph, 1), torch.tensor([size], dtype=torch.float64), norm)
    seeds, owner, _ = margins(program(region.centre))
    plain = relaxation.lower_bounds(relaxation.relax(region, tighten=True), graph.logits, seeds, owner)
    optimizer = SlopeOptimizer(relaxation, steps=6, inner_steps=2)
    relaxed = relaxation.relax(region, tighten=True, first=optimizer.lowest)
    bounds = relaxation.lower_bounds(relaxed, graph.logits, seeds, owner, optimizer)
    assert not bounds.value.requires_grad
    # The intervals are no wider, and with them the first choice of lines could still be the worse.
    assert bounds.lowest(region).sum() >= plain.lowest(region).sum() - 1e-9
    gaps = gap_function(program, region, seeds, bounds)
    x = scattered(region, 0)
    for _ in range(6):
        assert (gaps(x) >= 0).all()
        x.requires_grad_()
        (slope,) = torch.autograd.grad(gaps(x).amin(dim=1).sum(), x)
        length = torch.linalg.vector_norm(slope.flatten(1), dim=1).reshape(-1, *[1] * (x.ndim - 1))
        x = inside(region, (x - size / 4 * slope / length.clamp(min=1e-300)).detach())
    for value, found in program.activations(x.detach(), [v for v in relaxed.intervals if v in graph.shapes]).items():
        assert (found >= relaxed.intervals[value].low).all()
        assert (found <= relaxed.intervals[value].high).all()


def test_optimization_tightens_a_relu_network() -> None:
    graph = NETWORKS["Relu"](100)
    relaxation, program = relaxation_of(graph)
    region = Region(image(graph, 1, 4), torch.full((4,), 0.4, dtype=torch.float64), 2.0)
    seeds, owner, _ = margins(program(region.centre))
    relaxed = relaxation.relax(region, tighten=True)
    plain = relaxation.lower_bounds(relaxed, graph.logits, seeds, owner).lowest(region)
    optimizer = SlopeOptimizer(relaxation, steps=10, inner_steps=0)
    better = relaxation.lower_bounds(relaxed, graph.logits, seeds, owner, optimizer).lowest(region)
    assert (better >= plain - 1e-9).all()
    assert (better > plain + 1e-3).any()
