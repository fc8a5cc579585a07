"""For every operator that has a certified constant: no slope found anywhere exceeds it."""

import math
from pathlib import Path

import pytest
import torch
from models import write
from operator_cases import CASES, OperatorCase

from nmcheck.bounds.affine_run import LayerConstants
from nmcheck.bounds.layers import unsupported_reason
from nmcheck.bounds.propagation import joint_reach, route
from nmcheck.execute.program import Program
from nmcheck.graph.ir import Graph
from nmcheck.graph.load import load_graph

POINTS = 60


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> OperatorCase:
    return request.param


@pytest.fixture(scope="module")
def graph(case: OperatorCase, tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return load_graph(write(case.onnx_model(), tmp_path_factory.mktemp("operator")))


def test_no_slope_found_exceeds_the_certified_constant(case: OperatorCase, graph: Graph) -> None:
    refused = [reason for node in graph.nodes if (reason := unsupported_reason(graph, node)) is not None]
    if refused:
        assert all(reason.endswith(".") for reason in refused)
        return
    program = Program(graph, torch.float64)
    constants = LayerConstants(graph, program)
    bound = float(joint_reach(constants, route(graph, (graph.input,), graph.logits))[0])
    assert math.isfinite(bound)
    function = program.function(graph.input, graph.logits)
    shape = graph.shapes[graph.input]
    samples = torch.from_numpy(case.samples(POINTS, shape)).double()
    steepest = 0.0
    # Around the case's own points, far away, and near zero, where most kinks are.
    for scale in (1.0, 0.05, 10.0) if not (case.positive or case.small) else (1.0,):
        jacobians = [torch.func.jacrev(function)(point).reshape(-1, point.numel()) for point in samples * scale]
        steepest = max(steepest, float(torch.linalg.matrix_norm(torch.stack(jacobians), 2).amax()))
    pairs = samples.roll(1, 0)
    secants = [
        float((function(a) - function(b)).norm() / (a - b).norm())
        for a, b in zip(samples, pairs, strict=True)
        if bool((a != b).any())
    ]
    # The slopes are measured in float64: 1e-12 is their own rounding.
    assert max(steepest, *secants) <= bound * (1 + 1e-12)


def test_the_sweep_reaches_operators_of_every_kind(tmp_path: Path) -> None:
    bounded = set()
    for case in CASES:
        graph = load_graph(write(case.onnx_model(), tmp_path, f"{len(bounded)}-{case.op}.onnx"))
        if all(unsupported_reason(graph, node) is None for node in graph.nodes):
            bounded.add(case.op)
    assert {"Conv", "ConvTranspose", "Gemm", "MatMul", "MaxPool", "AveragePool", "LRN", "BatchNormalization"} <= bounded
    assert {"Resize", "Gather", "Tile", "PRelu", "Gelu", "Selu", "ReduceMean", "Split", "Pad"} <= bounded
