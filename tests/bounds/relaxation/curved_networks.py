"""Small networks with a first layer of ReLUs or maxima, and points of a ball at which values behind it are least."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

import numpy as np
import torch
from bounds.networks import Builder, weights
from bounds.relaxation.zoo import NETWORKS as ZOO
from bounds.relaxation.zoo import head, image, pooled, relaxation_of
from torch import Tensor

from nmcheck.bounds.relaxation.curved import CurvedLayer
from nmcheck.bounds.relaxation.region import Region
from nmcheck.bounds.relaxation.relaxation import Relaxation
from nmcheck.graph.ir import Graph

POINTS, DESCENTS = 12, 5
INPUTS, UNITS = 12, 30


def perceptron(seed: int, op: str = "Relu", layers: int = 2, units: int = UNITS) -> Graph:
    builder = Builder((1, INPUTS))
    value, size = "x", INPUTS
    for layer in range(layers):
        value = builder.dense(value, weights(seed + layer, units, size), 0.05 * weights(seed + 9, units))
        value, size = builder.node(op, value, (1, units)), units
    return builder.graph(builder.dense(value, weights(seed + 5, 5, size), 0.05 * weights(seed + 8, 5)))


def cancelling(power: int) -> tuple[Graph, float]:
    """relu(K w.x + 2) + relu(v.x - K w.x + 2) against 3 with K = 1.1 2^power, and the norm of a change of the class.

    Along v, at right angles to w, the margin at zero is 1 + v.x; that the change alters the class is seen in rational
    numbers.
    """
    pick = np.random.default_rng(195)
    w = pick.uniform(0.3, 1, 8).astype(np.float32).astype(np.float64)
    v = pick.choice([-1.0, 1.0], 8)
    steep = float(np.float32(1.1 * 2.0**power))
    builder = Builder((1, 8))
    mixed = builder.dense("x", np.stack([w, v]), None)
    hidden = builder.relu(builder.dense(mixed, np.array([[steep, 0.0], [-steep, 1.0]]), np.array([2.0, 2.0])))
    graph = builder.graph(builder.dense(hidden, np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([-3.0, 0.0])))
    across = v - w * (w @ v) / (w @ w)
    change = -across * (1 + 1e-7) / (across @ v)
    exact = [sum(Fraction(a) * Fraction(b) for a, b in zip(row, change, strict=True)) for row in (w, v)]
    first = Fraction(steep) * exact[0]
    assert max(first + 2, 0) + max(exact[1] - first + 2, 0) < 3
    return graph, float(np.linalg.norm(change))


def windows(seed: int, size: int, stride: int, pad: int, *, relu: bool) -> Graph:
    side = (6 + 2 * pad - size) // stride + 1
    attributes = {"kernel_shape": (size, size), "strides": (stride, stride), "pads": (pad,) * 4}
    return pooled("MaxPool", seed, attributes, side, relu=relu)


def scaled_input(seed: int) -> Graph:
    """(x - mean) / deviation by channel, then a convolution, pooling and ReLU after it."""
    builder = Builder((1, 2, 6, 6))
    shape = (1, 2, 6, 6)
    value = builder.node("Sub", "x", shape, [np.array([0.4, 0.6]).reshape(1, 2, 1, 1)])
    value = builder.node("Div", value, shape, [np.array([0.3, 2.5]).reshape(1, 2, 1, 1)])
    value = builder.conv(value, weights(seed, 3, 2, 3, 3), 0.3 * weights(seed + 1, 3), pad=1)
    return head(builder, builder.relu(builder.max_pool(value)), seed + 2)


def compared_with(op: str, constant: float, seed: int) -> Graph:
    """The larger or smaller of every element and a constant that is not zero."""
    builder = Builder((1, 2, 4, 4))
    value = builder.conv("x", 2 * weights(seed, 3, 2, 3, 3), 0.3 * weights(seed + 1, 3), pad=1)
    return head(builder, builder.node(op, value, (1, 3, 4, 4), [np.asarray(constant)]), seed + 2)


def least_of_channels(seed: int) -> Graph:
    builder = Builder((1, 2, 4, 4))
    value = builder.conv("x", 2 * weights(seed, 3, 2, 3, 3), 0.3 * weights(seed + 1, 3), pad=1)
    value = builder.node("ReduceMin", value, (1, 1, 4, 4), (), {"axes": (1,), "keepdims": 1})
    return head(builder, value, seed + 2)


def narrow(seed: int) -> Graph:
    """Three units of two inputs each, at whose kinks the first image is: here the bounds are nearly sharp."""
    builder = Builder((1, 6))
    rows = np.kron(np.eye(3), np.array([[0.6, 0.8]]))
    middle = image(builder.graph("x"), seed + 1).numpy().reshape(-1)
    hidden = builder.dense("x", rows, -rows @ middle)
    return builder.graph(builder.dense(builder.relu(hidden), np.array([[-1.0, -1, -1], [0, 0, -1], [1, 1, 1]])))


NETWORKS: Mapping[str, Callable[[int], Graph]] = {
    "perceptron": perceptron,
    "narrow": narrow,
    "relu-and-pool": lambda seed: windows(seed, 2, 2, 0, relu=True),
    "pool": lambda seed: windows(seed, 2, 2, 0, relu=False),
    "pool-3": lambda seed: windows(seed, 3, 3, 0, relu=False),
    "pool-overlapping": lambda seed: windows(seed, 3, 2, 1, relu=True),
    "pool-overlapping-signed": lambda seed: windows(seed, 2, 1, 1, relu=False),
    "normalized": ZOO["normalized"],
    "residual": ZOO["residual"],
    "lrn": ZOO["lrn"],
    "scaled-input": scaled_input,
    "max-constant": lambda seed: compared_with("Max", 0.2, seed),
    "max-negative": lambda seed: compared_with("Max", -0.2, seed),
    "min-constant": lambda seed: compared_with("Min", 0.2, seed),
    "min-channels": least_of_channels,
}


def layer_of(graph: Graph) -> tuple[Relaxation, CurvedLayer]:
    found = relaxation_of(graph)[0]
    layer = CurvedLayer.of(found)
    assert layer is not None
    return found, layer


def combinations(images: int, elements: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """For each image an element, an element negated, a few and all of them."""
    owner = torch.arange(images).repeat_interleave(4)
    seeds = torch.randn((len(owner), elements), generator=generator, dtype=torch.float64)
    rank = torch.rand((len(owner), elements), generator=generator).argsort(dim=1).argsort(dim=1)
    seeds[0::4] = (rank[0::4] == 0).double()
    seeds[1::4] = -(rank[1::4] == 0).double()
    seeds[2::4] *= rank[2::4] < 4
    return seeds, owner


def least_found(
    function: Callable[[Tensor], Tensor],
    region: Region,
    seeds: Tensor,
    owner: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Least values of combinations at points of the region: random ones of its edge, and downhill from there."""
    centre = region.centre.flatten(1)[owner].unsqueeze(1)
    epsilon = region.epsilon[owner].reshape(-1, 1, 1)

    def inside(change: Tensor) -> Tensor:
        change = change * (epsilon / change.norm(dim=2, keepdim=True).clamp(min=1e-300))
        # Clipped towards an image that is in the box, a change only gets shorter.
        return change if region.box is None else (centre + change).clamp(*region.box) - centre

    change = inside(torch.randn((len(seeds), POINTS, centre.shape[2]), generator=generator, dtype=torch.float64))
    best = torch.full((len(seeds),), torch.inf, dtype=torch.float64)
    values = torch.func.vmap(function)
    for _ in range(DESCENTS):
        change.requires_grad_()
        points = (centre + change).reshape(-1, *region.centre.shape[1:])
        found = (values(points).reshape(len(seeds), POINTS, -1) * seeds.unsqueeze(1)).sum(dim=2)
        best = torch.minimum(best, found.detach().amin(dim=1))
        (slope,) = torch.autograd.grad(found.sum(), change)
        change = inside(-slope + 1e-3 * slope.norm(dim=2, keepdim=True) * change.detach() / epsilon)
    return best
