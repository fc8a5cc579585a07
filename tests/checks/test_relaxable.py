"""What is said about linear relaxation without torch is what it then does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from models import model, node, weights, write
from operator_cases import CASES

from nmcheck.bounds.relaxation.curvature import CURVATURE
from nmcheck.bounds.relaxation.preparation import prepare
from nmcheck.checks import relaxable
from nmcheck.checks.relaxable import relaxation_refusal
from nmcheck.errors import UnsupportedError
from nmcheck.execute.program import Program
from nmcheck.graph.between import nodes_between
from nmcheck.graph.ir import Graph
from nmcheck.graph.load import load_graph
from nmcheck.linearize import activations, steps
from nmcheck.linearize.steps import network_of


def is_accepted(graph: Graph) -> bool:
    program = Program(graph, torch.float64)
    try:
        prepare(graph, program, network_of(program))
    except UnsupportedError:
        return False
    return True


def refused(graph: Graph) -> list[str]:
    found = [relaxation_refusal(graph, one) for one in nodes_between(graph, graph.input, graph.logits)]
    return [sentence for sentence in found if sentence is not None]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_operator_is_passed_or_refused_as_said(case: Any, tmp_path: Path) -> None:
    graph = load_graph(write(case.onnx_model(), tmp_path))
    assert is_accepted(graph) == (refused(graph) == [])


SQUARE: Mapping[str, np.ndarray] = {"W": weights(4, 4), "s": np.ones(4, np.float32)}


def joint(op: str, *, attributes: Mapping[str, object] | None = None, back: str = "s") -> onnx.ModelProto:
    """An operator of two values that depend on the sample."""
    nodes = [node("MatMul", ["x", "W"], ["a"]), node("Sigmoid", ["x"], ["b"])]
    nodes += [node(op, ["a", "b"], ["c"], name="joint", **(attributes or {})), node("Add", ["c", back])]
    return model(nodes, (1, 4), SQUARE)


@pytest.mark.parametrize(
    ("op", "passed"),
    [("Mul", True), ("Add", True), ("Sub", True), ("Max", True), ("Min", True), ("Sum", True), ("Mean", True),
     ("Div", False), ("PRelu", False), ("Pow", False)],
)  # fmt: skip
def test_operators_of_two_activations(op: str, passed: bool, tmp_path: Path) -> None:
    graph = load_graph(write(joint(op), tmp_path))
    assert is_accepted(graph) == passed
    assert [sentence.startswith(f"joint ({op}): ") for sentence in refused(graph)] == [True] * (not passed)


def test_a_product_of_two_matrices_of_activations(tmp_path: Path) -> None:
    nodes = [node("Transpose", ["x"], ["t"], perm=[0, 2, 1]), node("MatMul", ["x", "t"], ["m"]), node("Flatten", ["m"])]
    graph = load_graph(write(model(nodes, (1, 2, 3)), tmp_path))
    assert not is_accepted(graph)
    assert len(refused(graph)) == 1


@pytest.mark.parametrize("exponent", [1.0, 2.0, 2.5, 3.0, 4.0, 5.0, -1.0])
def test_powers(exponent: float, tmp_path: Path) -> None:
    nodes = [node("MatMul", ["x", "W"], ["a"]), node("Pow", ["a", "p"])]
    graph = load_graph(write(model(nodes, (1, 4), {**SQUARE, "p": np.array(exponent, np.float32)}), tmp_path))
    assert is_accepted(graph) == (refused(graph) == []) == (exponent in (1, 2, 3, 4))


@pytest.mark.parametrize(
    ("op", "attributes"),
    [("Celu", {"alpha": -1.0}), ("Celu", {"alpha": 2.0}), ("Elu", {"alpha": -1.0}), ("Shrink", {"bias": 0.5}),
     ("Shrink", {"bias": 0.25}), ("HardSigmoid", {"alpha": -0.2})],
)  # fmt: skip
def test_attributes_decide(op: str, attributes: dict[str, Any], tmp_path: Path) -> None:
    nodes = [node("MatMul", ["x", "W"], ["a"]), node(op, ["a"], **attributes)]
    graph = load_graph(write(model(nodes, (1, 4), SQUARE), tmp_path))
    assert is_accepted(graph) == (refused(graph) == [])


def test_the_lists_are_those_that_decide() -> None:
    assert frozenset(activations.KINKED) == relaxable.KINKED
    assert frozenset(activations.SMOOTH) & frozenset(CURVATURE) == relaxable.CURVED
    assert frozenset(CURVATURE) - frozenset(activations.SMOOTH) == {"Pow"}
    assert frozenset(steps._MAXIMA) == relaxable.MAXIMA


def test_shared_models_are_passed_or_refused_as_said(shared_models: Path) -> None:
    paths = [path for path in sorted(shared_models.rglob("*.onnx")) if path.stat().st_size < 2_000_000]
    agreed = 0
    for path in paths:
        try:
            graph = load_graph(path)
        except UnsupportedError:
            continue
        assert is_accepted(graph) == (refused(graph) == []), path
        agreed += 1
    assert agreed >= 10
