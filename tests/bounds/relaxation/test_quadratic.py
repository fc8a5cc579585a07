"""Quadratic bounds of a first layer of ReLUs."""

import math

import numpy as np
import pytest
import torch
from bounds.attack import adversarial_norm
from bounds.networks import Builder, double, weights
from bounds.relaxation import curved_networks
from bounds.relaxation.curved_networks import INPUTS, cancelling
from bounds.relaxation.zoo import image, relaxation_of

from nmcheck.bounds.relaxation.quadratic import QuadraticLayer, parabola_height
from nmcheck.bounds.relaxation.radius import Images, RelaxedRadii, margins
from nmcheck.bounds.relaxation.region import Region
from nmcheck.graph.ir import Graph


def perceptron(seed: int, op: str = "Relu", layers: int = 2) -> Graph:
    return curved_networks.perceptron(seed, op, layers, units=40)


def attacked(graph: Graph, x: torch.Tensor) -> torch.Tensor:
    function = double(graph).function(graph.input, graph.logits)
    return torch.tensor([adversarial_norm(function, one) for one in x], dtype=torch.float64)


def test_a_parabola_of_that_height_is_above_relu_and_touches_it() -> None:
    pick = np.random.default_rng(0)
    draw = lambda low, high: torch.from_numpy(pick.uniform(low, high, 200))  # noqa: E731
    centre, reach, q, t = draw(-1, 1), draw(0, 2), 10 ** draw(-2, 1), draw(-0.5, 1.5)
    least, most = -reach - (centre.clamp(min=0)), reach + (-centre).clamp(min=0)
    k = parabola_height(centre, least, most, t, q)
    gap = torch.full_like(k, torch.inf)
    for weight in torch.linspace(0, 1, 4001, dtype=torch.float64):
        v = least + weight * (most - least)
        gap = torch.minimum(gap, k + t * v + q * v * v - torch.relu(centre + v))
    assert (gap >= -1e-12).all()
    assert (gap <= 1e-5).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("layers", [1, 2])
def test_no_point_within_reach_has_a_margin_below_zero(seed: int, layers: int) -> None:
    graph = perceptron(20 * seed, layers=layers)
    relaxation, program = relaxation_of(graph)
    x = image(graph, seed, 4)
    logits, upper = program(x), attacked(graph, x)
    layer = QuadraticLayer.of(relaxation)
    assert layer is not None
    seeds, owner, other = margins(logits)
    own = logits.argmax(dim=1)
    generator = torch.Generator().manual_seed(seed)
    useful = 0
    for share in (0.3, 0.6, 0.9, 1.5):
        epsilon = share * torch.where(torch.isfinite(upper), upper, 1.0)
        relaxed = relaxation.relax(Region(x, epsilon, 2.0), tighten=True)
        reach = torch.minimum(layer.reach(relaxed, seeds, owner), epsilon[owner])
        useful += int((reach > 0).sum())
        for spec in (reach > 0).nonzero().flatten():
            row, target = int(owner[spec]), int(other[spec])
            # From random points on the edge, and down the margin's slope from there.
            point = torch.randn(200, INPUTS, generator=generator, dtype=torch.float64)
            for _ in range(5):
                point = (reach[spec] * point / point.norm(dim=1, keepdim=True)).requires_grad_()
                found = program(x[row].reshape(1, -1) + point.reshape(-1, *x.shape[2:]))
                margin = found[:, own[row]] - found[:, target]
                assert (margin >= 0).all()
                (slope,) = torch.autograd.grad(margin.sum(), point)
                point = point.detach() - reach[spec] * slope / slope.norm(dim=1, keepdim=True).clamp(min=1e-12)
    assert useful > 16


@pytest.mark.parametrize("seed", range(3))
def test_radii_grow_and_never_fall(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = perceptron(30 * seed)
    relaxation, program = relaxation_of(graph)
    x = image(graph, seed, 8)
    logits = program(x)
    asked, nothing = Images(x, logits, 2.0), torch.zeros_like(logits)
    bent = RelaxedRadii(relaxation, tighten=True).at(asked, nothing).amin(dim=1)
    monkeypatch.setattr(QuadraticLayer, "of", classmethod(lambda cls, relaxation: None))
    straight = RelaxedRadii(relaxation, tighten=True).at(asked, nothing).amin(dim=1)
    assert bent.mean() > 1.01 * straight.mean()
    # The search goes other ways, to within half a percent.
    assert (bent >= straight * 0.994).all()
    assert (bent <= attacked(graph, x)).all()


def test_the_form_is_that_of_the_matrix_it_stands_for() -> None:
    """g'(lambda - P)^-1 g by the units' Gram matrix, against the matrix on the inputs."""
    pick = torch.Generator().manual_seed(3)
    rows = torch.randn(7, INPUTS, generator=pick, dtype=torch.float64)
    weight, pull = (
        torch.rand(7, generator=pick, dtype=torch.float64),
        torch.randn(7, generator=pick, dtype=torch.float64),
    )
    gram, g = rows @ rows.T, rows.T @ pull
    p = rows.T @ torch.diag(weight) @ rows
    top = 1.3 * torch.linalg.eigvalsh(p)[-1]
    direct = g @ torch.linalg.solve(top * torch.eye(INPUTS, dtype=torch.float64) - p, g)
    root = weight.sqrt()
    h, s = root * (gram @ pull), root[:, None] * gram * root
    small = (pull @ gram @ pull + h @ torch.linalg.solve(top * torch.eye(7, dtype=torch.float64) - s, h)) / top
    torch.testing.assert_close(small, direct)


def test_it_applies_to_a_first_layer_of_relus_that_everything_goes_through() -> None:
    assert QuadraticLayer.of(relaxation_of(perceptron(0))[0]) is not None
    assert QuadraticLayer.of(relaxation_of(perceptron(0, "Sigmoid"))[0]) is None
    assert QuadraticLayer.of(relaxation_of(perceptron(0, "Abs"))[0]) is None
    builder = Builder((1, INPUTS))
    hidden = builder.dense("x", weights(1, INPUTS, INPUTS), weights(2, INPUTS))
    around = builder.node("Add", [builder.relu(hidden), "x"], (1, INPUTS))
    assert (
        QuadraticLayer.of(relaxation_of(builder.graph(builder.dense(around, weights(3, 4, INPUTS), None)))[0]) is None
    )


def test_linf_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> torch.Tensor:
        raise AssertionError("quadratic bounds are of an L2 ball")

    monkeypatch.setattr(QuadraticLayer, "reach", refuse)
    graph = perceptron(0)
    relaxation, program = relaxation_of(graph)
    x = image(graph, 1, 3)
    asked = Images(x, program(x), math.inf)
    assert (RelaxedRadii(relaxation, tighten=True).at(asked, torch.zeros_like(asked.logits)) > 0).all()
    with pytest.raises(AssertionError, match="of an L2 ball"):
        RelaxedRadii(relaxation, tighten=True).at(Images(x, program(x), 2.0), torch.zeros(3, 5, dtype=torch.float64))


def test_rows_that_cancel_each_other_leave_no_radius_beyond_a_change_of_the_class() -> None:
    graph, norm = cancelling(24)
    relaxation, program = relaxation_of(graph)
    x = torch.zeros(1, 1, 8, dtype=torch.float64)
    images = Images(x, program(x), 2.0)
    radii = RelaxedRadii(relaxation, tighten=True)
    for share in (0.5, 0.8, 0.95, 1.0, 1.02, 1.1):
        epsilon = torch.tensor([share * norm], dtype=torch.float64)
        reach = radii.reach(images, epsilon, torch.tensor([0])).amin()
        assert min(float(reach), share * norm) < norm
