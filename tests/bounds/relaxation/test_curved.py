"""Quadratic bounds of everything behind a first layer of ReLUs or maxima, against points of the ball."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, replace

import pytest
import torch
from bounds.networks import double
from bounds.relaxation.curved_networks import NETWORKS, combinations, layer_of, least_found
from bounds.relaxation.zoo import image
from torch import Tensor

from nmcheck.bounds.relaxation import curved
from nmcheck.bounds.relaxation.curved import CurvedLayer, Quadratics
from nmcheck.bounds.relaxation.region import Region

EVERY = list(NETWORKS)
BOXED = ["perceptron", "relu-and-pool", "pool-overlapping-signed", "min-channels"]


def check_below(
    name: str,
    epsilon: tuple[float, ...],
    box: tuple[float, float] | None = None,
    seed: int = 0,
) -> int:
    """Curved bounds of all values behind the layer are below what is found; how many are above the linear ones."""
    graph = NETWORKS[name](seed)
    network, layer = layer_of(graph)
    program, generator = double(graph), torch.Generator().manual_seed(seed)
    region = Region(image(graph, seed + 1, len(epsilon)), torch.tensor(epsilon, dtype=torch.float64), 2.0, box)
    relaxed = network.relax(region, tighten=True, then=layer.lowest)
    better = 0
    for step in network.steps:
        value = step.outputs[0]
        if value not in graph.shapes or layer._position not in network.steps_behind(value):
            continue
        seeds, owner = combinations(len(epsilon), math.prod(graph.shapes[value]), generator)
        bound = layer.lowest(relaxed, value, seeds, owner)
        straight = network.substituted(relaxed, value, seeds, owner)
        # Of what is constant in the ball there is none; linear bounds are exact then.
        assert (torch.isfinite(bound) | (straight.slope == 0).all(dim=1)).all(), (value, "absent")
        better += int((bound > straight.lowest(region)).sum())
        found = least_found(program.function(graph.input, value), region, seeds, owner, generator)
        assert (bound <= found).all(), (value, (bound - found).max())
    return better


@pytest.mark.parametrize("name", EVERY)
def test_bounds_are_below_all_points_of_the_ball(name: str) -> None:
    better = check_below(name, (0.03, 0.3, 1.0)) + check_below(name, (0.1, 2.0, 1e-4), seed=40)
    assert better > 4


@pytest.mark.parametrize("name", BOXED)
def test_bounds_are_below_all_points_of_the_ball_in_a_box(name: str) -> None:
    check_below(name, (0.05, 0.4, 1.5), (0.0, 1.0))


def test_without_a_matrix_they_are_below_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curved, "MOST_ELEMENTS", 0)
    for name in ("perceptron", "relu-and-pool", "pool-overlapping"):
        assert check_below(name, (0.05, 0.4, 1.0), seed=3) > 0


Fault = Callable[[pytest.MonkeyPatch], None]


def changed(field: str, factor: float) -> Fault:
    def break_it(monkeypatch: pytest.MonkeyPatch) -> None:
        right = CurvedLayer.bounds

        def wrong(self: CurvedLayer, *arguments: object) -> Quadratics:
            found = right(self, *arguments)  # pyright: ignore[reportArgumentType]
            return replace(found, **{field: factor * getattr(found, field)})

        monkeypatch.setattr(CurvedLayer, "bounds", wrong)

    return break_it


def lower_parabolas(monkeypatch: pytest.MonkeyPatch) -> None:
    right = curved.parabola

    def wrong(*arguments: object) -> tuple[Tensor, Tensor]:
        slopes, height = right(*arguments)  # pyright: ignore[reportArgumentType]
        return slopes, height / 2

    monkeypatch.setattr(curved, "parabola", wrong)


FAULTS: Mapping[str, Fault] = {
    "largest": changed("largest", 0.5),
    "square": changed("square", 0.5),
    "height": lower_parabolas,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_check_notices_a_fault(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    epsilon = (0.3, 0.5, 0.8)
    check_below("narrow", epsilon)
    FAULTS[fault](monkeypatch)
    with pytest.raises(AssertionError):
        check_below("narrow", epsilon)


@pytest.mark.parametrize("name", ["perceptron", "relu-and-pool", "pool-overlapping", "normalized", "min-channels"])
def test_the_two_routes_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = NETWORKS[name](6)
    network, layer = layer_of(graph)
    region = Region(image(graph, 2, 3), torch.tensor([0.05, 0.3, 1.0], dtype=torch.float64), 2.0)
    relaxed = network.relax(region, tighten=True, then=layer.lowest)
    seeds, owner = combinations(3, network.classes, torch.Generator().manual_seed(0))
    found = []
    for most in (0, 10**6):
        monkeypatch.setattr(curved, "MOST_ELEMENTS", most)
        found.append(layer.bounds(relaxed, graph.logits, seeds, owner))
    for field in fields(Quadratics):
        one, other = (getattr(each, field.name) for each in found)
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(found[0].lowest(), found[1].lowest(), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(found[0].reach(), found[1].reach(), rtol=1e-5, atol=1e-7)
