"""What operators are said to read, against where their derivatives are not zero."""

from pathlib import Path

import pytest
import torch
from models import write
from operator_cases import CASES, OperatorCase

from nmcheck.execute.operands import Operands
from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph
from nmcheck.linearize.differentiable import moments_refusal
from nmcheck.linearize.windows import locality
from nmcheck.steps import Locality


def sees(where: Locality, axis: int, sizes: tuple[int, int]) -> torch.Tensor:
    """Which of the input's positions each of the output's sees along an axis, (output, input)."""
    output, size = sizes
    first = torch.arange(output)[:, None] * where.stride[axis] - where.begin[axis]
    position = torch.arange(size)
    return (position >= first) & (position < first + where.extent[axis])


@pytest.mark.parametrize("case", [case for case in CASES if len(case.shape) > 2], ids=str)
def test_nothing_is_read_outside_the_window(case: OperatorCase, tmp_path: Path) -> None:
    program = Program(load_graph(write(case.onnx_model(), tmp_path)), torch.float64)
    graph = program.graph
    if moments_refusal(graph) is not None:
        return
    for node in graph.nodes:
        operands = Operands(graph, node, torch.float64, "cpu")
        where, live = locality(operands), graph.live_inputs(node)
        if where is None:
            continue
        points = tuple(torch.from_numpy(case.samples(2, graph.shapes[name])[0]).double() for name in live)
        jacobians = torch.func.jacrev(program.node_function(node), argnums=tuple(range(len(live))))(*points)
        for jacobian, name in zip(jacobians, live, strict=True):
            output, shape = operands.output_shape, graph.shapes[name]
            found = jacobian.reshape(-1, *output[-2:], *shape).flatten(3, -3).abs().amax(dim=(0, 3))
            rows, columns = (sees(where, axis, (output[axis - 2], shape[axis - 2])) for axis in (0, 1))
            allowed = rows[:, None, :, None] & columns[None, :, None, :]
            assert not found[~allowed].any()


LOCAL = {"Conv", "AveragePool", "MaxPool", "LpPool", "Add", "Sub", "Mul", "Div", "Neg", "Sum", "Mean", "Max", "Min",
         "BatchNormalization", "LRN", "Where"}  # fmt: skip


@pytest.mark.parametrize("op", sorted(LOCAL))
def test_operators_on_images_are_known_to_be_local(op: str, tmp_path: Path) -> None:
    """Else rows would be dealt out to a row a pixel, which is right but slow."""
    found = []
    for case in CASES:
        if case.op == op and len(case.shape) in (3, 4):
            graph = load_graph(write(case.onnx_model(), tmp_path))
            node = next(one for one in graph.nodes if one.op == op)
            found.append(locality(Operands(graph, node, torch.float64, "cpu")))
    assert any(where is not None for where in found)
