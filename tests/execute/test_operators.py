"""Every row of the operator table: equal to onnxruntime, and differentiable the way its consumers need."""

import numpy as np
import pytest
import torch
from models import write
from operator_cases import CASES

from nmcheck.execute.comparison import relative_difference
from nmcheck.execute.program import Program
from nmcheck.execute.session import ReferenceSession
from nmcheck.execute.table import ROWS, Kind, row_for
from nmcheck.graph.load import load_graph


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(request):
    return request.param


@pytest.fixture(scope="module")
def graph(case, tmp_path_factory):
    return load_graph(write(case.onnx_model(), tmp_path_factory.mktemp("operator")))


@pytest.fixture(scope="module")
def program(graph):
    return Program(graph, torch.float64)


def batch(case, graph, count, dtype):
    return torch.from_numpy(case.samples(count, graph.shapes[graph.input])).to(dtype)


def test_equals_onnxruntime(case, graph):
    samples = case.samples(3, graph.shapes[graph.input])
    ours = Program(graph).output(torch.from_numpy(samples)).numpy()
    theirs = ReferenceSession(graph, threads=1).run(samples)
    assert relative_difference(ours.astype(np.float32), theirs) <= 1e-5


def test_forward_and_reverse_mode_are_adjoint(case, graph, program):
    function = program.function(graph.input, graph.output)
    x, v = batch(case, graph, 2, torch.float64)
    y, pushed = torch.func.jvp(function, (x,), (v,))[:2]
    u = torch.cos(torch.arange(y.numel(), dtype=torch.float64)).reshape(y.shape)
    (pulled,) = torch.func.vjp(function, x)[1](u)
    left, right = (u * pushed).sum(), (pulled * v).sum()
    scale = u.norm() * pushed.norm() + pulled.norm() * v.norm()
    assert abs(left - right) <= 1e-12 * (1 + scale)


def test_batches_of_both_modes_equal_single_ones(case, graph, program):
    function = program.function(graph.input, graph.output)
    x, *directions = batch(case, graph, 4, torch.float64)
    directions = torch.stack(directions)
    y, pull = torch.func.vjp(function, x)[:2]
    rows = torch.sin(torch.arange(3 * y.numel(), dtype=torch.float64)).reshape(3, *y.shape)
    pulled = torch.func.vmap(lambda row: pull(row)[0])(rows)
    for index in range(3):
        torch.testing.assert_close(pulled[index], pull(rows[index])[0])

    def push(direction):
        return torch.func.jvp(function, (x,), (direction,))[1]

    pushed = torch.func.vmap(push)(directions)
    for index in range(3):
        torch.testing.assert_close(pushed[index], push(directions[index]))


def test_affine_kinds_are_affine(case, graph, program):
    function = program.function(graph.input, graph.output)
    kinds = {row_for(node).kind_of(node, graph) for node in graph.nodes}
    x, y = batch(case, graph, 2, torch.float64)
    middle, ends = function(0.25 * x + 0.75 * y), 0.25 * function(x) + 0.75 * function(y)
    if kinds <= {Kind.AFFINE, Kind.SHAPE}:
        torch.testing.assert_close(middle, ends, rtol=1e-10, atol=1e-10)


def test_every_row_has_a_case():
    assert {op for _, op in ROWS} == {case.op for case in CASES}
