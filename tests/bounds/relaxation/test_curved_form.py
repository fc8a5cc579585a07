"""Quadratic functions behind a curved layer, against the dense matrices they stand for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from bounds.networks import double
from bounds.relaxation.curved_networks import NETWORKS, combinations, layer_of
from bounds.relaxation.zoo import image
from torch import Tensor

from nmcheck.bounds.relaxation.curved import Bent, CurvedLayer
from nmcheck.bounds.relaxation.quadratics import Quadratics
from nmcheck.bounds.relaxation.region import Region
from nmcheck.bounds.relaxation.relaxation import Descent, Relaxed


def through_matrices(epsilon: float, scale: float, seed: int) -> tuple[Quadratics, Tensor, Tensor]:
    """Functions with their g and P, made straight from random matrices."""
    pick = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(shape, generator=pick, dtype=torch.float64)  # noqa: E731
    g, forms = draw(20, 8), []
    largest = torch.zeros(20, dtype=torch.float64)
    for spec in range(20):
        rows, counts = draw(11, 8), torch.randint(0, 4, (11,), generator=pick).double()
        forms.append(scale * rows.T @ (counts.unsqueeze(1) * rows))
        largest[spec] = scale * counts.max() * torch.linalg.matrix_norm(rows, 2) ** 2 * (1 + 1e-12)
    P = torch.stack(forms)
    # One whose slope is at right angles to the steepest curve, one without a slope along most.
    g[0] -= torch.linalg.eigh(P[0])[1][:, -1] * (torch.linalg.eigh(P[0])[1][:, -1] @ g[0])
    g[1, 2:] = 0
    moved = (P @ g.unsqueeze(2)).squeeze(2)
    return (
        Quadratics(
            value=2 * draw(20) + 2,
            square=g.square().sum(dim=1),
            form=(g * moved).sum(dim=1),
            pushed=moved.square().sum(dim=1),
            largest=largest,
            epsilon=torch.full((20,), epsilon, dtype=torch.float64),
        ),
        g,
        P,
    )


def deepest(g: Tensor, P: Tensor, epsilon: Tensor) -> Tensor:
    """The largest -g.d + d'Pd on |d| <= epsilon, for each spec: its dual, which has no gap, on the spectrum of P."""
    spectrum, vectors = torch.linalg.eigh(P)
    turned = (vectors.mT @ g.unsqueeze(2)).squeeze(2).square()
    # The dual is convex in the multiplier, and its slope changes sign between these.
    low = torch.zeros_like(epsilon)
    high = g.norm(dim=1) / (2 * epsilon) * (1 + 1e-12)
    for _ in range(200):
        middle = (low + high) / 2
        above = (spectrum[:, -1:] - spectrum) + middle.unsqueeze(1)
        short = (turned / above.square()).sum(dim=1) / 4 < epsilon**2
        low, high = torch.where(short, low, middle), torch.where(short, middle, high)
    above = (spectrum[:, -1:] - spectrum) + high.unsqueeze(1)
    return (spectrum[:, -1] + high) * epsilon**2 + (turned / above).sum(dim=1) / 4


CASES = pytest.mark.parametrize("epsilon", [0.01, 0.4, 5.0])


@CASES
@pytest.mark.parametrize("scale", [1e-6, 1e-2, 1.0, 100.0])
def test_the_lowest_value_is_that_of_the_matrix_or_below(epsilon: float, scale: float) -> None:
    found, g, P = through_matrices(epsilon, scale, 1)
    exact = deepest(g, P, found.epsilon)
    fall = found.value - found.lowest()
    assert (fall >= exact).all()
    # What the multiplier |g| / (2 epsilon) above Lambda gives, whatever the series makes of the rest.
    limit = found.square.sqrt() * epsilon + found.largest * epsilon**2
    assert (fall <= limit * (1 + 1e-8) + 1e-9 * found.value.abs()).all()
    flat = 2 * found.largest * epsilon <= 0.1 * found.square.sqrt()
    assert (fall <= 1.02 * exact + 1e-9 * found.value.abs())[flat].all()
    # The dual is that of the function: points of the ball come near to it, and none is beyond.
    pick = torch.Generator().manual_seed(2)
    change = torch.randn((20, 50, 8), generator=pick, dtype=torch.float64)
    deepest_point = torch.zeros_like(exact)
    for _ in range(300):
        change = epsilon * change / change.norm(dim=2, keepdim=True)
        pulled = torch.einsum("sij,spj->spi", P, change)
        reached = (change * (pulled - g.unsqueeze(1))).sum(dim=2)
        deepest_point = torch.maximum(deepest_point, reached.amax(dim=1))
        change = 2 * pulled - g.unsqueeze(1)
    assert (deepest_point <= exact * (1 + 1e-9)).all()
    assert (deepest_point >= 0.98 * exact).all()


@CASES
@pytest.mark.parametrize("scale", [1e-6, 1e-2, 1.0, 100.0])
def test_the_reach_is_that_of_the_matrix_or_less(epsilon: float, scale: float) -> None:
    found, g, P = through_matrices(epsilon, scale, 7)
    low, high = torch.full_like(found.value, 1e-9), torch.full_like(found.value, 1e3)
    for _ in range(80):
        middle = (low * high).sqrt()
        holds = deepest(g, P, middle) <= found.value
        low, high = torch.where(holds, middle, low), torch.where(holds, high, middle)
    reach = found.reach()
    assert ((reach == 0) | (found.value > 0)).all()
    assert (reach <= low * (1 + 1e-9)).all()
    # Multipliers are chosen for the radius epsilon: asked there, little is lost where P is small.
    asked = replace(found, epsilon=torch.where(found.value > 0, low, epsilon))
    flat = (found.value > 0) & (2 * found.largest * low <= 0.1 * found.square.sqrt())
    assert (asked.reach() <= low * (1 + 1e-9))[found.value > 0].all()
    assert (asked.reach() >= 0.97 * low)[flat].all()


def test_the_numbers_are_those_of_a_function_below_every_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """value + g.d - d'Pd, with P and g from a dense Jacobian, is below its combination at every d of the ball."""
    seen: dict[str, Tensor] = {}
    right = CurvedLayer._bent

    def spied(self: CurvedLayer, relaxed: Relaxed, behind: Descent, before: Descent, owner: Tensor) -> Bent:
        bent = right(self, relaxed, behind, before, owner)
        seen.update(a=bent.reached.coefficients[self._before].flatten(1), counts=bent.counts, c=bent.c)
        return bent

    monkeypatch.setattr(CurvedLayer, "_bent", spied)
    for name in ("perceptron", "relu-and-pool", "pool-overlapping", "min-channels", "scaled-input"):
        graph = NETWORKS[name](5)
        network, layer = layer_of(graph)
        program, pick = double(graph), torch.Generator().manual_seed(9)
        region = Region(image(graph, 6, 2), torch.tensor([0.2, 0.7], dtype=torch.float64), 2.0)
        relaxed = network.relax(region, tighten=True, then=layer.lowest)
        seeds, owner = combinations(2, network.classes, pick)
        found = layer.bounds(relaxed, graph.logits, seeds, owner)
        before = program.function(graph.input, layer._before)
        W = torch.func.jacrev(lambda point, f=before: f(point).flatten())(region.centre[0]).flatten(1)
        g = seen["a"] @ W
        P = torch.einsum("s,ei,se,ej->sij", seen["c"], W, seen["counts"], W)
        moved = (P @ g.unsqueeze(2)).squeeze(2)
        for mine, exact in (
            (found.square, g.square().sum(dim=1)),
            (found.form, (g * moved).sum(dim=1)),
            (found.pushed, moved.square().sum(dim=1)),
        ):
            assert (mine >= exact * (1 - 1e-12)).all()
            torch.testing.assert_close(mine, exact, rtol=1e-6, atol=1e-12)
        assert (found.largest >= torch.linalg.eigvalsh(P)[:, -1]).all()
        assert (P.diagonal(dim1=1, dim2=2).sum(dim=1) > 0).sum() >= 4
        change = torch.randn((len(owner), 200, W.shape[1]), generator=pick, dtype=torch.float64)
        change *= region.epsilon[owner].reshape(-1, 1, 1) / change.norm(dim=2, keepdim=True)
        change[:, ::2] *= torch.rand((len(owner), 100, 1), generator=pick, dtype=torch.float64)
        points = (region.centre.flatten(1)[owner].unsqueeze(1) + change).reshape(-1, *region.centre.shape[1:])
        logits = torch.func.vmap(program.function(graph.input, graph.logits))(points)
        taken = (logits.reshape(len(owner), 200, -1) * seeds.unsqueeze(1)).sum(dim=2)
        bent = torch.einsum("spi,sij,spj->sp", change, P, change)
        assert (found.value.unsqueeze(1) + torch.einsum("spi,si->sp", change, g) - bent <= taken).all(), name
