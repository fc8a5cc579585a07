"""Small networks as steps, and what their propagation goes through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from models import model, node, weights, write
from onnx import ModelProto, NodeProto
from torch import Tensor

from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph
from nmcheck.linearize.steps import network_of
from nmcheck.moments.gaussian import GaussianInput
from nmcheck.moments.propagation import passes as module
from nmcheck.moments.propagation.propagate import propagate
from nmcheck.moments.propagation.propagated import Propagated
from nmcheck.moments.propagation.value import Passed, Value
from nmcheck.steps import Network, Step


def program_of(made: ModelProto, folder: Path, dtype: torch.dtype = torch.float64) -> Program:
    return Program(load_graph(write(made, folder)), dtype)


def network_from(
    nodes: Sequence[NodeProto], shape: Sequence[int], arrays: Mapping[str, np.ndarray], folder: Path, *, opset: int = 17
) -> tuple[Network, Program]:
    program = program_of(model(nodes, shape, arrays, opset=opset), folder)
    return network_of(program), program


def point(network: Network, seed: int = 0, scale: float = 1.0) -> Tensor:
    """A flat input, standard normal times a scale."""
    generator = torch.Generator().manual_seed(seed)
    size = int(np.prod(network.shapes[network.input]))
    return scale * torch.randn(size, generator=generator, dtype=torch.float64)


def recorded(network: Network, x: GaussianInput, patch: pytest.MonkeyPatch) -> tuple[Propagated, dict[str, Value]]:
    """The moments, and every value on the way to them."""
    values: dict[str, Value] = {}
    rule = module.pass_step

    def pass_and_record(step: Step, given: Sequence[Value]) -> Passed:
        passed = rule(step, given)
        values.update(zip(step.outputs, passed.outputs, strict=True))
        return passed

    with patch.context() as context:
        context.setattr(module, "pass_step", pass_and_record)
        return propagate(network, x, second_order=True), values


def residual_images(height: int = 11, width: int = 8) -> tuple[list[NodeProto], dict[str, np.ndarray], tuple[int, ...]]:
    """Padding, strides, dilation, pools, a residual Add with a strided 1x1 shortcut, Concat, then dense layers."""
    nodes = [
        node("Conv", ["x", "K0"], ["c0"], pads=[1, 1, 1, 1]),
        node("Relu", ["c0"], ["h0"]),
        node("Conv", ["h0", "K1"], ["c1"], pads=[0, 1, 1, 0], strides=[2, 2]),
        node("LeakyRelu", ["c1"], ["h1"], alpha=0.2),
        node("Conv", ["h1", "K2"], ["c2"], pads=[2, 2, 2, 2], dilations=[2, 2]),
        node("Conv", ["h0", "K3"], ["short"], strides=[2, 2], pads=[0, 0, 0, 0]),
        node("Slice", ["short", "first", "last", "axes"], ["cut"]),
        node("MaxPool", ["c2"], ["pooled"], kernel_shape=[3, 2], strides=[1, 1], pads=[1, 0, 1, 1]),
        node("Add", ["c2", "cut"], ["sum"]),
        node("Sigmoid", ["sum"], ["h2"]),
        node("Concat", ["h2", "pooled", "c1"], ["both"], axis=1),
        node("AveragePool", ["both"], ["mean"], kernel_shape=[2, 2], strides=[2, 1]),
        node("Flatten", ["mean"], ["flat"]),
        node("Gemm", ["flat", "W"], ["z"]),
        node("Relu", ["z"], ["h"]),
        node("Gemm", ["h", "V"], ["y"]),
    ]
    rows, columns = (height + 1 - 3) // 2 + 1, (width + 1 - 3) // 2 + 1
    flat = 10 * ((rows - 2) // 2 + 1) * (columns - 1)
    arrays = {
        "K0": weights(3, 2, 3, 3) / 4,
        "K1": weights(4, 3, 3, 3) / 5,
        "K2": weights(3, 4, 3, 3) / 6,
        "K3": weights(3, 3, 1, 1) / 2,
        "W": weights(flat, 6) / np.float32(flat**0.5),
        "V": weights(6, 3) / 2,
        "first": np.array([0, 0]),
        "last": np.array([rows, columns]),
        "axes": np.array([2, 3]),
    }
    return nodes, arrays, (1, 2, height, width)
