"""Tiny random networks, one or more for every operator that linear relaxation goes through."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from bounds.networks import Builder, double, weights

from nmcheck.bounds.relaxation.relaxation import Relaxation
from nmcheck.execute.program import Program
from nmcheck.graph.ir import Attribute, Graph
from nmcheck.linearize.steps import network_of

Attributes = Mapping[str, Attribute]


def relaxation_of(graph: Graph, budget: int = 2**24) -> tuple[Relaxation, Program]:
    program = double(graph)
    return Relaxation(graph, program, network_of(program), budget=budget), program


def dense_between(seed: int, op: str, attributes: Attributes | None = None, constants: tuple[np.ndarray, ...] = ()):
    """Dense, op, dense, op, dense."""
    builder = Builder((1, 5))
    value = builder.dense("x", 2 * weights(seed, 7, 5), 0.3 * weights(seed + 1, 7))
    value = builder.node(op, value, (1, 7), constants, attributes)
    value = builder.dense(value, 2 * weights(seed + 2, 7, 7), 0.3 * weights(seed + 3, 7))
    value = builder.node(op, value, (1, 7), constants, attributes)
    return builder.graph(builder.dense(value, weights(seed + 4, 4, 7), 0.3 * weights(seed + 5, 4)))


def head(builder: Builder, value: str, seed: int) -> Graph:
    flat = builder.flatten(value)
    hidden = builder.relu(builder.dense(flat, 2 * weights(seed, 6, builder.shapes[flat][1])))
    return builder.graph(builder.dense(hidden, 2 * weights(seed + 2, 4, 6), 0.3 * weights(seed + 3, 4)))


def pooled(op: str, seed: int, attributes: Attributes, size: int, *, relu: bool = True) -> Graph:
    builder = Builder((1, 1, 6, 6))
    value = builder.conv("x", 2 * weights(seed, 3, 1, 3, 3), 0.3 * weights(seed + 1, 3), pad=1)
    value = builder.relu(value) if relu else value
    value = builder.node(op, value, (1, 3, size, size), (), attributes)
    return head(builder, value, seed + 2)


def normalized(seed: int) -> Graph:
    builder = Builder((1, 2, 5, 5))
    pick = np.random.default_rng(seed)
    value = builder.conv("x", weights(seed, 3, 2, 3, 3), 0.3 * weights(seed + 1, 3))
    parameters = [pick.normal(size=3), pick.normal(size=3), pick.normal(size=3), pick.uniform(0.1, 1, size=3)]
    return head(builder, builder.max_pool(builder.relu(builder.batch_norm(value, *parameters)), 3), seed + 2)


def local_response(seed: int, alpha: float, *, signed: bool) -> Graph:
    builder = Builder((1, 1, 6, 6))
    value = builder.conv("x", 2 * weights(seed, 5, 1, 3, 3), 0.3 * weights(seed + 1, 5))
    value = builder.lrn(value if signed else builder.relu(value), 3, alpha)
    return head(builder, value, seed + 2)


def residual(seed: int) -> Graph:
    builder = Builder((1, 2, 4, 4))
    first = builder.relu(builder.conv("x", weights(seed, 3, 2, 3, 3), 0.3 * weights(seed + 1, 3), pad=1))
    inner = builder.relu(builder.conv(first, weights(seed + 2, 3, 3, 3, 3), 0.3 * weights(seed + 3, 3), pad=1))
    value = builder.conv(inner, weights(seed + 4, 3, 3, 3, 3), pad=1)
    total = builder.relu(builder.node("Add", [first, value], (1, 3, 4, 4)))
    mean = builder.node("GlobalAveragePool", total, (1, 3, 1, 1))
    return head(builder, mean, seed + 5)


def branches(seed: int) -> Graph:
    """Concat of a value, a slice of it and its pad; Sub; a Max of two values."""
    builder = Builder((1, 2, 4, 4))
    value = builder.conv("x", 2 * weights(seed, 4, 2, 3, 3), 0.3 * weights(seed + 1, 4), pad=1)
    rectified = builder.relu(value)
    other = builder.conv("x", weights(seed + 2, 4, 2, 1, 1))
    difference = builder.node("Sub", [rectified, other], (1, 4, 4, 4))
    larger = builder.node("Max", [difference, value], (1, 4, 4, 4))
    smaller = builder.node("Min", [difference, value], (1, 4, 4, 4))
    joined = builder.node("Concat", [larger, rectified, smaller], (1, 12, 4, 4), (), {"axis": 1})
    return head(builder, builder.max_pool(joined), seed + 3)


def gated(seed: int) -> Graph:
    """A product of two branches and a square."""
    builder = Builder((1, 5))
    one = builder.dense("x", weights(seed, 6, 5), 0.3 * weights(seed + 1, 6))
    gate = builder.node("Sigmoid", builder.dense("x", weights(seed + 2, 6, 5)), (1, 6))
    value = builder.node("Mul", [one, gate], (1, 6))
    squared = builder.node("Mul", [value, value], (1, 6))
    both = builder.node("Add", [value, squared], (1, 6))
    return builder.graph(builder.dense(both, weights(seed + 3, 4, 6)))


def transposed(seed: int) -> Graph:
    builder = Builder((1, 2, 3, 3))
    attributes: Attributes = {"strides": (2, 2), "pads": (1, 1, 1, 1), "output_padding": (1, 1)}
    value = builder.node(
        "ConvTranspose", "x", (1, 3, 6, 6), [weights(seed, 2, 3, 3, 3), 0.3 * weights(seed + 1, 3)], attributes
    )
    value = builder.node(
        "AveragePool", builder.relu(value), (1, 3, 3, 3), (), {"kernel_shape": (2, 2), "strides": (2, 2)}
    )
    return head(builder, value, seed + 2)


ELEMENTWISE: Mapping[str, tuple[str, Attributes, tuple[np.ndarray, ...]]] = {
    "Relu": ("Relu", {}, ()),
    "LeakyRelu": ("LeakyRelu", {"alpha": 0.2}, ()),
    "LeakyRelu-steep": ("LeakyRelu", {"alpha": 1.5}, ()),
    "PRelu": ("PRelu", {}, (np.linspace(-0.5, 1.5, 7),)),
    "Clip": ("Clip", {}, (np.asarray(-0.3), np.asarray(0.6))),
    "HardSigmoid": ("HardSigmoid", {"alpha": 0.4, "beta": 0.4}, ()),
    "Abs": ("Abs", {}, ()),
    "Shrink": ("Shrink", {"lambd": 0.3, "bias": 0.3}, ()),
    "Sigmoid": ("Sigmoid", {}, ()),
    "Tanh": ("Tanh", {}, ()),
    "Softplus": ("Softplus", {}, ()),
    "Erf": ("Erf", {}, ()),
    "Gelu": ("Gelu", {}, ()),
    "Gelu-tanh": ("Gelu", {"approximate": "tanh"}, ()),
    "Swish": ("Swish", {"alpha": 1.3}, ()),
    "Mish": ("Mish", {}, ()),
    "HardSwish": ("HardSwish", {}, ()),
    "Gelu-own": ("Gelu", {"linear": 1.3}, ()),
    "Gelu-tanh-own": ("Gelu", {"approximate": "tanh", "linear": 1.2, "cubic": 0.123}, ()),
    "HardSwish-own": ("HardSwish", {"slope": 0.7, "shift": 0.4, "top": 1.3}, ()),
    "Elu": ("Elu", {"alpha": 0.7}, ()),
    "Celu": ("Celu", {"alpha": 0.5}, ()),
    "Selu": ("Selu", {}, ()),
    "Softsign": ("Softsign", {}, ()),
    "Atan": ("Atan", {}, ()),
    "Asinh": ("Asinh", {}, ()),
    "Sin": ("Sin", {}, ()),
    "Cos": ("Cos", {}, ()),
    "Exp": ("Exp", {}, ()),
    "Sinh": ("Sinh", {}, ()),
    "Cosh": ("Cosh", {}, ()),
}


def _elementwise(name: str) -> Callable[[int], Graph]:
    op, attributes, constants = ELEMENTWISE[name]
    return lambda seed: dense_between(seed, op, attributes, constants)


NETWORKS: Mapping[str, Callable[[int], Graph]] = {
    **{name: _elementwise(name) for name in ELEMENTWISE},
    "pool": lambda seed: pooled("MaxPool", seed, {"kernel_shape": (2, 2), "strides": (2, 2)}, 3),
    "pool-signed": lambda seed: pooled("MaxPool", seed, {"kernel_shape": (2, 2), "strides": (2, 2)}, 3, relu=False),
    "pool-overlapping": lambda seed: pooled(
        "MaxPool", seed, {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)}, 3
    ),
    "pool-global": lambda seed: pooled("GlobalMaxPool", seed, {}, 1),
    "pool-average": lambda seed: pooled(
        "AveragePool", seed, {"kernel_shape": (3, 3), "strides": (1, 1), "pads": (1, 1, 1, 1)}, 6
    ),
    "normalized": normalized,
    "lrn": lambda seed: local_response(seed, 1.0, signed=False),
    "lrn-signed": lambda seed: local_response(seed, 1.0, signed=True),
    "lrn-weak": lambda seed: local_response(seed, 1e-2, signed=True),
    "residual": residual,
    "branches": branches,
    "gated": gated,
    "transposed": transposed,
}


def image(graph: Graph, seed: int, count: int = 1) -> torch.Tensor:
    """Grey-level images, (count, *input shape)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((count, *graph.shapes["x"]), generator=generator, dtype=torch.float64)
