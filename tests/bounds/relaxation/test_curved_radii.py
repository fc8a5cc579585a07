"""Radii with curved bounds, and where there are any."""

from __future__ import annotations

import math

import pytest
import torch
from bounds.attack import adversarial_norm
from bounds.networks import Builder, double, weights
from bounds.relaxation.curved_networks import INPUTS, NETWORKS, cancelling, perceptron
from bounds.relaxation.zoo import NETWORKS as ZOO
from bounds.relaxation.zoo import image, relaxation_of
from torch import Tensor

from nmcheck.bounds.relaxation import relaxation as relaxation_module
from nmcheck.bounds.relaxation import tightening
from nmcheck.bounds.relaxation.curved import CurvedLayer
from nmcheck.bounds.relaxation.interval import Interval
from nmcheck.bounds.relaxation.quadratic import QuadraticLayer
from nmcheck.bounds.relaxation.radius import Images, RelaxedRadii
from nmcheck.bounds.relaxation.region import Region
from nmcheck.bounds.relaxation.relaxation import Relaxed
from nmcheck.graph.ir import Graph

WORTH = 0.97
"""Mean width at which some of these images are gone on with and others not, by one and the same call."""


def attacked(graph: Graph, x: Tensor) -> Tensor:
    function = double(graph).function(graph.input, graph.logits)
    return torch.tensor([adversarial_norm(function, one) for one in x], dtype=torch.float64)


def radii_of(graph: Graph, x: Tensor, norm: float = 2.0) -> Tensor:
    relaxation, program = relaxation_of(graph)
    logits = program(x)
    return RelaxedRadii(relaxation, tighten=True).at(Images(x, logits, norm), torch.zeros_like(logits)).amin(dim=1)


def without(monkeypatch: pytest.MonkeyPatch, *kinds: type) -> None:
    for kind in kinds:
        monkeypatch.setattr(kind, "of", classmethod(lambda _cls, _relaxation: None))


@pytest.mark.parametrize("name", ["relu-and-pool", "pool", "perceptron"])
def test_radii_grow_in_the_mean_and_are_below_attacks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = NETWORKS[name](8)
    x = image(graph, 4, 6)
    bent = radii_of(graph, x)
    assert (bent <= attacked(graph, x)).all()
    without(monkeypatch, CurvedLayer)
    straight = radii_of(graph, x)
    assert bent.mean() > 1.01 * straight.mean()
    # The search goes other ways, to within half a percent.
    assert (bent >= straight * 0.994).all()


@pytest.mark.parametrize("name", ["residual", "lrn", "pool-overlapping-signed", "min-channels", "scaled-input"])
def test_curved_radii_alone_are_below_attacks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, QuadraticLayer)
    graph = NETWORKS[name](9)
    x = image(graph, 5, 3)
    found = radii_of(graph, x)
    assert (found > 0).all()
    assert (found <= attacked(graph, x)).all()


def around(seed: int) -> Graph:
    """A skip path past the only layer of ReLUs."""
    builder = Builder((1, INPUTS))
    hidden = builder.dense("x", weights(seed, INPUTS, INPUTS), weights(seed + 1, INPUTS))
    both = builder.node("Add", [builder.relu(hidden), "x"], (1, INPUTS))
    return builder.graph(builder.dense(both, weights(seed + 2, 4, INPUTS)))


def straight_line(seed: int) -> Graph:
    builder = Builder((1, INPUTS))
    return builder.graph(builder.dense(builder.dense("x", weights(seed, 7, INPUTS)), weights(seed + 1, 4, 7)))


def test_there_is_none_but_of_a_first_layer_of_relus_or_maxima_that_everything_goes_through() -> None:
    for graph in (
        perceptron(0, "Sigmoid"),
        perceptron(0, "Abs"),
        around(0),
        straight_line(0),
        ZOO["branches"](0),
        ZOO["lrn-signed"](0),
        # Of 36 values, more than are looked at in pairs.
        ZOO["pool-global"](0),
    ):
        assert CurvedLayer.of(relaxation_of(graph)[0]) is None
    for make in NETWORKS.values():
        assert CurvedLayer.of(relaxation_of(make(0))[0]) is not None


def test_linf_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> Tensor:
        raise AssertionError("curved bounds are of an L2 ball")

    graph = NETWORKS["pool"](0)
    x = image(graph, 1, 2)
    for name in ("lowest", "reach"):
        with monkeypatch.context() as patched:
            patched.setattr(CurvedLayer, name, refuse)
            assert (radii_of(graph, x, math.inf) > 0).all()
            with pytest.raises(AssertionError, match="of an L2 ball"):
                radii_of(graph, x)


def test_a_value_that_is_not_computed_from_the_layer_has_no_curved_bound() -> None:
    graph = perceptron(0)
    relaxation = relaxation_of(graph)[0]
    layer = CurvedLayer.of(relaxation)
    assert layer is not None
    relaxed = Relaxed(_ball(graph))
    units = math.prod(graph.shapes["v0"])
    bound = layer.lowest(relaxed, "v0", torch.eye(units, dtype=torch.float64), torch.zeros(units, dtype=torch.long))
    assert (bound == -math.inf).all()


def _ball(graph: Graph) -> Region:
    return Region(image(graph, 0), torch.ones(1, dtype=torch.float64), 2.0)


@pytest.mark.parametrize("worth", ["both", "never", "always"])
def test_a_radius_does_not_depend_on_the_other_images(worth: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a few elements tried first, and the others only of those images where that pays."""
    graph = NETWORKS["perceptron"](17)
    monkeypatch.setattr(tightening, "_PROBED", 2)
    monkeypatch.setattr(tightening, "_MANY_MORE", 1)
    monkeypatch.setattr(tightening, "_WORTH", {"both": WORTH, "never": 0.0, "always": 1.0}[worth])
    outcomes: set[str] = set()
    mixed = 0
    right = tightening.tightened

    def spied(interval: Interval, todo: Tensor, least: tightening.Least, rows: int, *, probe: bool) -> Interval:
        asked = torch.zeros(len(todo), dtype=torch.long)

        def counted(seeds: Tensor, owner: Tensor) -> Tensor:
            asked.add_(torch.bincount(owner, minlength=len(asked)) // 2)
            return least(seeds, owner)

        nonlocal mixed
        found = right(interval, todo, counted, rows, probe=probe)
        marked = todo.sum(dim=1)
        tried = marked > 2
        if probe:
            assert (asked[~tried] == marked[~tried]).all()
            assert ((asked == 2) | (asked == marked))[tried].all()
            these = {"left" if one == 2 else "went on" for one in asked[tried].tolist()}
            mixed += len(these) > 1
            outcomes.update(these)
        return found

    monkeypatch.setattr(relaxation_module, "tightened", spied)
    x = image(graph, 6, 5 if worth == "both" else 2)
    together = radii_of(graph, x)
    assert outcomes == {"both": {"left", "went on"}, "never": {"left"}, "always": {"went on"}}[worth]
    assert (mixed > 0) == (worth == "both")
    alone = torch.cat([radii_of(graph, one.unsqueeze(0)) for one in x])
    torch.testing.assert_close(alone, together, rtol=1e-9, atol=0)


def test_rows_that_cancel_each_other_leave_no_radius_beyond_a_change_of_the_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without(monkeypatch, QuadraticLayer)
    for power in (8, 24):
        graph, norm = cancelling(power)
        relaxation, program = relaxation_of(graph)
        assert CurvedLayer.of(relaxation) is not None
        x = torch.zeros(1, 1, 8, dtype=torch.float64)
        images = Images(x, program(x), 2.0)
        radii = RelaxedRadii(relaxation, tighten=True)
        for share in (1e-3, 0.5, 0.8, 0.95, 1.0, 1.02, 1.1):
            epsilon = torch.tensor([share * norm], dtype=torch.float64)
            reach = radii.reach(images, epsilon, torch.tensor([0])).amin()
            assert min(float(reach), share * norm) < norm
