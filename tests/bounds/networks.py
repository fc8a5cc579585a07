"""Small networks built straight as graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from nmcheck.execute.program import Program
from nmcheck.graph.ir import Attribute, Graph, ModelInfo, Node

INFO = ModelInfo("built-in-a-test", "0" * 64, 17, "test", {})


@dataclass
class Builder:
    """Collects nodes; each method returns the name of the value it wrote."""

    input_shape: tuple[int, ...]
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shapes["x"] = self.input_shape

    def node(
        self,
        op: str,
        live: str | Sequence[str],
        shape: Sequence[int],
        constants: Sequence[np.ndarray] = (),
        attributes: Mapping[str, Attribute] | None = None,
        *,
        index: int | None = None,
    ) -> str:
        number = len(self.nodes)
        names = [f"{op}_{number}_w{k}" for k in range(len(constants))]
        self.constants.update(zip(names, (np.asarray(c, dtype=np.float64) for c in constants), strict=True))
        value = f"v{number}"
        inputs = ((live,) if isinstance(live, str) else tuple(live)) + tuple(names)
        place = number if index is None else index
        self.nodes.append(Node(f"{op}_{number}", op, "", 17, inputs, (value,), dict(attributes or {}), place))
        self.shapes[value] = tuple(shape)
        return value

    def conv(self, live: str, weight: np.ndarray, bias: np.ndarray | None = None, pad: int = 0, stride: int = 1) -> str:
        _, _, height, width = self.shapes[live]
        size = [(side + 2 * pad - weight.shape[2]) // stride + 1 for side in (height, width)]
        constants = [weight, np.zeros(len(weight)) if bias is None else bias]
        attributes = {"pads": (pad,) * 4, "strides": (stride,) * 2, "kernel_shape": weight.shape[2:]}
        return self.node("Conv", live, (1, len(weight), *size), constants, attributes)

    def dense(self, live: str, weight: np.ndarray, bias: np.ndarray | None = None) -> str:
        constants = [weight, np.zeros(len(weight)) if bias is None else bias]
        return self.node("Gemm", live, (1, len(weight)), constants, {"transB": 1})

    def batch_norm(
        self, live: str, scale: np.ndarray, shift: np.ndarray, mean: np.ndarray, variance: np.ndarray
    ) -> str:
        return self.node(
            "BatchNormalization", live, self.shapes[live], [scale, shift, mean, variance], {"epsilon": 0.0}
        )

    def max_pool(self, live: str, size: int = 2) -> str:
        _, channels, height, width = self.shapes[live]
        attributes = {"kernel_shape": (size, size), "strides": (size, size)}
        return self.node("MaxPool", live, (1, channels, height // size, width // size), (), attributes)

    def lrn(self, live: str, size: int, alpha: float, beta: float = 0.75, bias: float = 1.0) -> str:
        attributes = {"size": size, "alpha": alpha, "beta": beta, "bias": bias}
        return self.node("LRN", live, self.shapes[live], (), attributes)

    def relu(self, live: str) -> str:
        return self.node("Relu", live, self.shapes[live])

    def flatten(self, live: str) -> str:
        return self.node("Flatten", live, (1, int(np.prod(self.shapes[live]))), (), {"axis": 1})

    def graph(self, logits: str) -> Graph:
        return Graph(
            nodes=tuple(self.nodes),
            constants=self.constants,
            shapes=self.shapes,
            input="x",
            logits=logits,
            output=logits,
            batch_axis=0,
            declared_batch=None,
            model=INFO,
        )


def double(graph: Graph) -> Program:
    return Program(graph, torch.float64)


def weights(seed: int, *shape: int) -> np.ndarray:
    """Gaussian weights at the usual scale of one over the root of the fan-in."""
    return np.random.default_rng(seed).normal(size=shape) / np.sqrt(np.prod(shape[1:]))
