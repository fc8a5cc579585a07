"""Variances through affine operators: the squares of the Jacobian's entries, for every operator that has a spread."""

from pathlib import Path

import pytest
import torch
from models import model, node, weights, write
from onnx import NodeProto
from operator_cases import CASES, OperatorCase

from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph
from nmcheck.linearize.steps import network_of
from nmcheck.steps import AffineStep, Network, Step

AFFINE = [
    case for case in CASES if case.op in ("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "BatchNormalization")
] + [case for case in CASES if case.op.endswith("Pool") or case.op in ("ReduceSum", "ReduceMean", "CumSum", "Resize")]
SHAPES = ("Add", "Sub", "Mul", "Div", "Pad", "Concat", "Slice", "Gather", "Split")
OTHERS = [case for case in CASES if case.op in SHAPES and not case.label.startswith("whole")]


def check(step: Step, network: Network) -> bool:
    """Whether the step has a spread, which must then be right."""
    if not isinstance(step, AffineStep) or step.spread is None:
        return False
    shapes = [network.shapes[name] for name in step.inputs]
    generator = torch.Generator().manual_seed(0)
    variances = [torch.rand(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    zeros = [torch.zeros(shape, dtype=torch.float64) for shape in shapes]
    jacobians = torch.func.jacrev(step.function, argnums=tuple(range(len(shapes))))(*zeros)
    found = step.spread(*variances)
    for one, parts in zip(found, jacobians, strict=True):
        expected = sum(
            part.reshape(one.numel(), -1).square() @ variance.reshape(-1)
            for part, variance in zip(parts, variances, strict=True)
        )
        torch.testing.assert_close(one.reshape(-1), expected, rtol=1e-9, atol=1e-12)
    return True


@pytest.mark.parametrize("case", [*AFFINE, *OTHERS], ids=str)
def test_is_the_squared_jacobian_of_the_operator(case: OperatorCase, tmp_path: Path) -> None:
    network = network_of(Program(load_graph(write(case.onnx_model(), tmp_path)), torch.float64))
    checked = [check(step, network) for step in network.steps]
    if case.op in ("Conv", "ConvTranspose", "Gemm", "BatchNormalization", "Add", "AveragePool"):
        assert any(checked)


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Add", ["x", "x"], ["y"])],
        [node("Concat", ["x", "x"], ["y"], axis=1)],
        [node("Gemm", ["x", "W"], ["u"], alpha=0.5), node("Sub", ["x", "u"], ["v"]), node("Add", ["v", "u"], ["y"])],
        [node("Gemm", ["W", "W", "x"], ["y"], beta=0.3)],
    ],
    ids=["twice", "beside itself", "two paths", "only a summand"],
)
def test_values_that_are_read_twice_or_only_added(nodes: list[NodeProto], tmp_path: Path) -> None:
    made = model(nodes, (1, 5), {"W": weights(5, 5)})
    network = network_of(Program(load_graph(write(made, tmp_path)), torch.float64))
    assert all(check(step, network) for step in network.steps)


def test_an_einsum_that_multiplies_sums_of_weights_has_none(tmp_path: Path) -> None:
    made = model([node("Einsum", ["x", "W", "V"], ["y"], equation="ij,jk,kl->il")], (1, 5), {
        "W": weights(5, 4), "V": weights(4, 3),
    })  # fmt: skip
    network = network_of(Program(load_graph(write(made, tmp_path)), torch.float64))
    assert [check(step, network) for step in network.steps] == [False]
