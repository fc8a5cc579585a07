"""Bounds against points of the region: sampled ones, corners, and those a gradient search drives to a violation."""

import math
from collections.abc import Callable

import pytest
import torch
from bounds.relaxation.zoo import NETWORKS, image, relaxation_of

from nmcheck.bounds.relaxation.radius import margins
from nmcheck.bounds.relaxation.region import Region
from nmcheck.bounds.relaxation.relaxation import LinearBounds
from nmcheck.execute.program import Program

NORMS = [2.0, math.inf]
POINTS = 30


def inside(region: Region, x: torch.Tensor) -> torch.Tensor:
    """Points moved into the region of its one image."""
    centre, epsilon = region.centre, region.epsilon[0]
    for _ in range(4 if region.box else 1):
        step = x - centre
        if region.norm == 2:
            length = torch.linalg.vector_norm(step.flatten(1), dim=1).reshape(-1, *[1] * (x.ndim - 1))
            step = step * (epsilon / length.clamp(min=1e-300)).clamp(max=1)
        else:
            step = step.clamp(-epsilon, epsilon)
        x = centre + step
        if region.box:
            x = x.clamp(*region.box)
    return x


def scattered(region: Region, seed: int) -> torch.Tensor:
    """Points on the boundary and inside."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((POINTS, *region.centre.shape[1:]), generator=generator, dtype=torch.float64)
    if region.norm != 2:
        noise[::2] = noise[::2].sign()
    length = torch.linalg.vector_norm(noise.flatten(1), dim=1) if region.norm == 2 else noise.flatten(1).abs().amax(1)
    noise = noise / length.reshape(-1, *[1] * (noise.ndim - 1)) * region.epsilon[0]
    noise[::5] *= 0.5
    return inside(region, region.centre + noise)


def gap_function(
    program: Program, region: Region, seeds: torch.Tensor, bounds: LinearBounds
) -> Callable[[torch.Tensor], torch.Tensor]:
    """From points to logit differences minus the linear functions below them, (points, specs)."""
    logits = torch.func.vmap(program.function(program.graph.input, program.graph.logits))

    def gaps(x: torch.Tensor) -> torch.Tensor:
        return logits(x).flatten(1) @ seeds.T - bounds.value - (x - region.centre).flatten(1) @ bounds.slope.T

    return gaps


@pytest.mark.parametrize("norm", NORMS, ids=["l2", "linf"])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_point_of_the_region_breaks_a_bound(name: str, norm: float) -> None:
    for seed, epsilon, box in ((1, 0.2, (0.0, 1.0)), (2, 0.6, None)):
        graph = NETWORKS[name](100 * seed)
        relaxation, program = relaxation_of(graph)
        size = epsilon if norm == 2 else epsilon / 2
        region = Region(image(graph, seed), torch.tensor([size], dtype=torch.float64), norm, box)
        for tighten in (False, True):
            relaxed = relaxation.relax(region, tighten=tighten)
            seeds, owner, _ = margins(program(region.centre))
            bounds = relaxation.lower_bounds(relaxed, graph.logits, seeds, owner)

            gaps = gap_function(program, region, seeds, bounds)
            points = scattered(region, seed)
            names = [value for value in relaxed.intervals if value in graph.shapes]
            for value, found in program.activations(points, names).items():
                assert (found >= relaxed.intervals[value].low).all(), value
                assert (found <= relaxed.intervals[value].high).all(), value
            assert (gaps(points) >= 0).all()
            x = points.clone()
            for _ in range(6):
                x.requires_grad_()
                (slope,) = torch.autograd.grad(gaps(x).amin(dim=1).sum(), x)
                length = torch.linalg.vector_norm(slope.flatten(1), dim=1).reshape(-1, *[1] * (x.ndim - 1))
                x = inside(region, (x - size / 4 * slope / length.clamp(min=1e-300)).detach())
                assert (gaps(x) >= 0).all()
            lowest = (program(x) @ seeds.T).amin(dim=0)
            assert (bounds.lowest(region) <= lowest).all()


@pytest.mark.parametrize("norm", NORMS, ids=["l2", "linf"])
def test_tightening_helps_and_images_do_not_disturb_each_other(norm: float) -> None:
    graph = NETWORKS["pool"](7)
    relaxation, program = relaxation_of(graph)
    x = image(graph, 3, count=5)
    region = Region(x, torch.linspace(0.02, 0.2, 5, dtype=torch.float64), norm)
    seeds, owner, _ = margins(program(x))
    lowest = {}
    for tighten in (False, True):
        relaxed = relaxation.relax(region, tighten=tighten)
        lowest[tighten] = relaxation.lower_bounds(relaxed, graph.logits, seeds, owner).lowest(region)
        for one in range(5):
            alone = region.only(torch.tensor([one]))
            single = relaxation.relax(alone, tighten=tighten)
            mine = owner == one
            bounds = relaxation.lower_bounds(single, graph.logits, seeds[mine], torch.zeros(3, dtype=torch.long))
            torch.testing.assert_close(bounds.lowest(alone), lowest[tighten][mine], rtol=1e-9, atol=1e-9)
    assert (lowest[True] >= lowest[False] - 1e-9).all()
    assert (lowest[True] > lowest[False] + 1e-6).any()


def test_the_memory_budget_changes_nothing() -> None:
    graph = NETWORKS["residual"](3)
    x = image(graph, 1, count=2)
    region = Region(x, torch.tensor([0.1, 0.2], dtype=torch.float64), 2.0)
    found = []
    for budget in (1, 2**30):
        relaxation, program = relaxation_of(graph, budget)
        seeds, owner, _ = margins(program(x))
        relaxed = relaxation.relax(region, tighten=True)
        found.append(relaxation.lower_bounds(relaxed, graph.logits, seeds, owner).lowest(region))
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-10)
