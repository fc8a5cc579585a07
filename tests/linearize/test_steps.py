"""A network's steps, run as plain functions, are the network, and each is what its kind says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from models import model, node, weights, write
from onnx import ModelProto
from operator_cases import CASES, OperatorCase
from residual_network import residual_network
from torch import Tensor

from nmcheck.errors import UnsupportedError
from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph
from nmcheck.linearize.differentiable import moments_refusal
from nmcheck.linearize.steps import linearized_reasons, network_of
from nmcheck.steps import (
    AffineStep,
    LinearizedStep,
    MaximumStep,
    Network,
    PiecewiseLinearStep,
    ProductStep,
    SmoothStep,
    Step,
)


def program_of(made: ModelProto, folder: Path) -> Program:
    return Program(load_graph(write(made, folder)), torch.float64)


def outputs(step: Step, values: Sequence[Tensor]) -> tuple[Tensor, ...]:
    match step:
        case AffineStep() | LinearizedStep():
            return step.function(*values)
        case PiecewiseLinearStep() | SmoothStep():
            return (step.function(*values),)
        case MaximumStep():
            return (torch.stack(step.taps(*values)).amax(dim=0),)
        case ProductStep():
            return (values[0] * values[-1],)
    raise AssertionError(step)


def run(network: Network, x: Tensor) -> dict[str, Tensor]:
    values = {network.input: x}
    for step in network.steps:
        found = outputs(step, [values[name] for name in step.inputs])
        values.update(zip(step.outputs, found, strict=True))
    return values


def inputs(case: OperatorCase, shape: tuple[int, ...]) -> list[Tensor]:
    return list(torch.from_numpy(case.samples(3, shape)).double())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_steps_are_the_network(case: OperatorCase, tmp_path: Path) -> None:
    program = program_of(case.onnx_model(), tmp_path)
    graph = program.graph
    refusal = moments_refusal(graph)
    if refusal is not None:
        with pytest.raises(UnsupportedError, match=re.escape(refusal)):
            network_of(program)
        return
    network = network_of(program)
    function = program.function(graph.input, graph.logits)
    samples = inputs(case, graph.shapes[graph.input])
    runs = [run(network, x) for x in samples]
    for x, values in zip(samples, runs, strict=True):
        torch.testing.assert_close(values[network.output], function(x), rtol=1e-12, atol=1e-12)
        for name, value in values.items():
            assert tuple(value.shape) == network.shapes[name]
    assert_kinds(network, linearized_reasons(graph), *runs)


def assert_kinds(
    network: Network, reasons: dict[str, str], x: dict[str, Tensor], y: dict[str, Tensor], z: dict[str, Tensor]
) -> None:
    """Affine steps are, and kinks are where they are said to be."""
    for step in network.steps:
        assert (step.node in reasons) == isinstance(step, LinearizedStep)
        if isinstance(step, AffineStep):
            ends = [outputs(step, [values[name] for name in step.inputs]) for values in (x, y)]
            middle = outputs(step, [0.3 * x[name] + 0.7 * y[name] for name in step.inputs])
            for first, second, between in zip(*ends, middle, strict=True):
                torch.testing.assert_close(between, 0.3 * first + 0.7 * second, rtol=1e-11, atol=1e-11)
        elif isinstance(step, PiecewiseLinearStep | SmoothStep):
            assert step.inputs[0] != step.outputs[0]
            assert list(step.kinks) == sorted(step.kinks)
            wide = 4.0 * torch.cat([x[step.inputs[0]], y[step.inputs[0]], z[step.inputs[0]]])
            if isinstance(step, PiecewiseLinearStep):
                assert_slopes(step, wide, [x[step.inputs[0]].shape[0]] * 3)


def assert_slopes(step: PiecewiseLinearStep, wide: Tensor, parts: list[int]) -> None:
    """f(b) - f(a) is the integral of the slopes and jumps the step tells of."""
    for high in wide.split(parts):
        low = torch.full_like(high, -5.0)
        expected = step.slope * (high - low)
        for kink, jump in zip(step.kinks, step.jumps, strict=True):
            expected = expected + jump * ((high - kink).clamp(min=0.0) - (low - kink).clamp(min=0.0))
        torch.testing.assert_close(step.function(high) - step.function(low), expected, rtol=1e-9, atol=1e-9)


KINDS = {
    "Relu": PiecewiseLinearStep, "PRelu": PiecewiseLinearStep, "Clip": PiecewiseLinearStep,
    "HardSigmoid": PiecewiseLinearStep, "Abs": PiecewiseLinearStep, "Shrink": PiecewiseLinearStep,
    "Sigmoid": SmoothStep, "Gelu": SmoothStep, "Elu": SmoothStep, "HardSwish": SmoothStep,
    "Max": MaximumStep, "MaxPool": MaximumStep, "GlobalMaxPool": MaximumStep, "ReduceMax": MaximumStep,
    "Conv": AffineStep, "Gemm": AffineStep, "BatchNormalization": AffineStep, "Concat": AffineStep,
    "Softmax": LinearizedStep, "LRN": LinearizedStep, "LayerNormalization": LinearizedStep, "Log": LinearizedStep,
    "Reciprocal": LinearizedStep, "Sqrt": LinearizedStep,
}  # fmt: skip


@pytest.mark.parametrize("op", KINDS)
def test_operators_get_the_rule_they_should(op: str, tmp_path: Path) -> None:
    found: set[type] = set()
    for case in CASES:
        if case.op == op and case.label not in ("product", "lambd"):
            behind = node("Identity", ["y"], ["z"])
            made = case.onnx_model()
            made.graph.node.append(behind)
            made.graph.node.append(node("Neg", ["z"], ["last"]))
            made.graph.output[0].name = "last"
            program = program_of(made, tmp_path)
            if moments_refusal(program.graph) is None:
                names = {one.name for one in program.graph.nodes if one.op == op}
                found |= {type(step) for step in network_of(program).steps if step.node in names}
    assert found == {KINDS[op]} if op != "Shrink" else found <= {KINDS[op]}


@pytest.mark.parametrize(
    ("op", "attributes"),
    [("Floor", {}), ("Sign", {}), ("ThresholdedRelu", {}), ("Shrink", {"lambd": -0.5, "bias": -0.5})],
)
def test_jumps_are_refused_by_name(op: str, attributes: dict[str, float], tmp_path: Path) -> None:
    nodes = [node("Neg", ["x"], ["a"]), node(op, ["a"], ["b"], name="the_culprit", **attributes), node("Neg", ["b"])]
    with pytest.raises(UnsupportedError, match=rf"model\.onnx: the_culprit \({op}\)"):
        network_of(program_of(model(nodes, (1, 4)), tmp_path))


def test_a_soft_threshold_is_not_refused(tmp_path: Path) -> None:
    nodes = [node("Shrink", ["x"], ["y"], lambd=0.25, bias=0.25)]
    (step,) = network_of(program_of(model(nodes, (1, 4)), tmp_path)).steps
    assert isinstance(step, PiecewiseLinearStep)
    assert (step.slope, step.kinks, step.jumps) == (1.0, (-0.25, 0.25), (-1.0, 1.0))


def test_outputs_nobody_reads_are_not_made(tmp_path: Path) -> None:
    nodes = [
        node("Split", ["x", "s"], ["a", "b", "c"], axis=1),
        node("Mul", ["c", "a"], ["d"]),
        node("Add", ["d", "d"], ["y"]),
    ]
    network = network_of(program_of(model(nodes, (1, 6), {"s": np.array([2, 2, 2])}), tmp_path))
    assert [step.outputs for step in network.steps] == [("a", "c"), ("d",), ("y",)]
    assert [step.inputs for step in network.steps] == [("x",), ("c", "a"), ("d",)]
    x = torch.arange(6.0, dtype=torch.float64)[None]
    torch.testing.assert_close(run(network, x)["y"], 2 * x[:, 4:] * x[:, :2])


@pytest.mark.parametrize(("op", "expected"), [("Add", 2.0), ("Sub", 0.0), ("Mul", None), ("Max", 1.0), ("Div", None)])
def test_the_same_value_twice_is_one_input(op: str, expected: float | None, tmp_path: Path) -> None:
    nodes = [node("Exp", ["x"], ["a"]), node(op, ["a", "a"], ["y"])]
    network = network_of(program_of(model(nodes, (1, 4)), tmp_path))
    assert network.steps[-1].inputs == ("a",)
    x = torch.tensor([[-1.0, 0.0, 1.0, 2.0]], dtype=torch.float64)
    a = x.exp()
    wanted = {"Mul": a * a, "Div": torch.ones_like(a)}.get(op, a * (expected or 0.0))
    torch.testing.assert_close(run(network, x)["y"], wanted)


def test_a_power_that_adds_axes_is_left_to_its_tangent(tmp_path: Path) -> None:
    made = model([node("Pow", ["x", "e"], ["y"])], (4,), {"e": np.full((1, 1), 2, np.float32)})
    program = program_of(made, tmp_path)
    assert isinstance(network_of(program).steps[0], LinearizedStep)
    assert list(linearized_reasons(program.graph).values()) == ["a Pow"]


def test_a_residual_network(tmp_path: Path) -> None:
    program = program_of(residual_network(), tmp_path)
    network = network_of(program)
    x = torch.from_numpy(weights(1, 1, 6, 6)).double()
    torch.testing.assert_close(run(network, x)["y"], program.function("x", "y")(x), rtol=1e-12, atol=1e-12)
    assert not linearized_reasons(program.graph)


def test_nothing_behind_the_logits_is_a_step(tmp_path: Path) -> None:
    nodes = [node("Gemm", ["x", "W"], ["z"]), node("Softmax", ["z"], ["y"], axis=1)]
    network = network_of(program_of(model(nodes, (1, 4), {"W": weights(4, 3)}), tmp_path))
    assert network.output == "z"
    assert len(network.steps) == 1
