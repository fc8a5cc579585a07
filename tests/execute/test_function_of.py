"""A value as a function of several others."""

from pathlib import Path

import pytest
import torch
from models import model, node, residual, weights, write

from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(load_graph(write(residual(), tmp_path)), torch.float64)


def test_sources_are_taken_as_given(program: Program) -> None:
    """y = relu(h0 + h1) W2 with any h1, although h0 determines it."""
    h0, h1 = (torch.tensor(weights(1, 5, seed=seed)).double() for seed in (1, 2))
    expected = torch.relu(h0 + h1) @ torch.tensor(weights(5, 3)).double()
    torch.testing.assert_close(program.function_of(("h0", "h1"), "y")(h0, h1), expected)
    torch.testing.assert_close(program.function_of(("h1", "h0"), "y")(h1, h0), expected)
    x = torch.tensor(weights(1, 4)).double()
    h0 = torch.relu(x @ torch.tensor(weights(4, 5)).double())
    expected = torch.relu(h0 + h1) @ torch.tensor(weights(5, 3)).double()
    torch.testing.assert_close(program.function_of(("x", "h1"), "y")(x, h1), expected)


def test_one_source_is_the_plain_function(program: Program) -> None:
    x = torch.tensor(weights(1, 4)).double()
    assert torch.equal(program.function_of(("x",), "y")(x), program.function("x", "y")(x))


def test_sources_that_do_not_determine_the_target_are_named(program: Program) -> None:
    with pytest.raises(ValueError, match=r"needed for \['y'\] and does not depend on h1 alone"):
        program.function_of(("h1",), "y")
    with pytest.raises(ValueError, match="no value 'nothing'"):
        program.function_of(("x", "nothing"), "y")


def test_one_of_a_nodes_outputs_may_be_given(tmp_path: Path) -> None:
    nodes = [
        node("Split", ["x", "sizes"], ["a", "b"], axis=1),
        node("Relu", ["a"], ["r"]),
        node("Concat", ["b", "r"], axis=1),
    ]
    sizes = {"sizes": torch.tensor([2, 1]).numpy()}
    program = Program(load_graph(write(model(nodes, ("N", 3), sizes), tmp_path)), torch.float64)
    x, a = torch.tensor([[1.0, 2.0, 3.0]]).double(), torch.tensor([[-5.0, 7.0]]).double()
    assert program.function_of(("x", "a"), "y")(x, a).tolist() == [[3.0, 0.0, 7.0]]
