"""--cut takes any ReLU; first and last prefer those on every path, and say nothing of ReLUs that do not fit."""

from pathlib import Path

import numpy as np
import pytest
from models import model, node, residual, weights, write
from residual_network import CUTS, RELUS, residual_network

from nmcheck.checks.cut import choose_cut, no_cut_reason
from nmcheck.errors import UsageError
from nmcheck.graph.ir import Graph
from nmcheck.graph.load import load_graph
from nmcheck.linearize import budget


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return load_graph(write(residual_network(), tmp_path))


def chosen(graph: Graph, wanted: str) -> str:
    node = choose_cut(graph, wanted)
    assert node is not None
    return node.name


def test_any_relu_can_be_named(graph: Graph) -> None:
    assert [chosen(graph, name) for name in RELUS] == list(RELUS)


def test_first_and_last_are_cuts_where_there_are_any(graph: Graph) -> None:
    assert chosen(graph, "first") == CUTS[0]
    assert chosen(graph, "last") == CUTS[-1] != RELUS[-1]


def test_first_and_last_of_all_where_there_is_no_cut(tmp_path: Path) -> None:
    nodes = [
        node("Relu", ["x"], ["a"], name="one"),
        node("Neg", ["x"], ["n"]),
        node("Relu", ["n"], ["b"], name="two"),
        node("Concat", ["a", "b"], axis=1),
    ]
    graph = load_graph(write(model(nodes, ("N", 3)), tmp_path))
    assert (chosen(graph, "first"), chosen(graph, "last")) == ("one", "two")


def test_no_relu_is_no_error(tmp_path: Path) -> None:
    graph = load_graph(write(model([node("Gemm", ["x", "w"])], ("N", 3), {"w": weights(3, 3)}), tmp_path))
    assert choose_cut(graph, "last") is None
    assert "has no ReLU" in no_cut_reason(graph)
    with pytest.raises(UsageError, match="none: this model has no such ReLU"):
        choose_cut(graph, "relu")


@pytest.mark.parametrize(
    ("wanted", "words"),
    [("add", "is an Add, not a ReLU that the logits depend on"), ("nowhere", "no node of that name")],
)
def test_other_names_are_refused_with_all_relus_in_order(graph: Graph, wanted: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        choose_cut(graph, wanted)
    assert str(caught.value).endswith(f"choose first, last, best or one of: {', '.join(RELUS)}.")


def test_relus_that_do_not_fit_are_passed_over_or_refused_by_name(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """stem, inner and join have 144 units, left 72, right 108, head 12 and tail 9; the input has 36 elements."""
    monkeypatch.setattr(budget, "LARGEST_MATRIX", 8 * 72 * 72)
    assert (chosen(graph, "first"), chosen(graph, "last")) == ("head", "head")
    with pytest.raises(UsageError, match=r"^--cut join: join has 144 units .*take a later one: left, head, tail\.$"):
        choose_cut(graph, "join")
    monkeypatch.setattr(budget, "LARGEST_MATRIX", 8 * 9 * 36)
    assert (chosen(graph, "first"), chosen(graph, "last")) == ("tail", "tail")
    monkeypatch.setattr(budget, "LARGEST_MATRIX", 8)
    assert choose_cut(graph, "last") is None
    assert "matrix A (12 x 36) takes" in no_cut_reason(graph)
    with pytest.raises(UsageError, match="no later ReLU is small enough"):
        choose_cut(graph, "tail")


def test_in_a_block_the_relu_beside_the_shortcut_is_a_skip(tmp_path: Path) -> None:
    graph = load_graph(write(residual(), tmp_path))
    assert [chosen(graph, name) for name in ("first", "r1", "last")] == ["r0", "r1", "r2"]


def decomposable(folder: Path) -> Graph:
    """A leaky activation, one clipped from below, a ReLU6, without any Relu."""
    nodes = [
        node("Gemm", ["x", "A"], ["a"]),
        node("LeakyRelu", ["a"], ["b"], name="leaky"),
        node("Gemm", ["b", "A"], ["c"]),
        node("Clip", ["c", "zero"], ["d"], name="floor"),
        node("Gemm", ["d", "A"], ["e"]),
        node("Clip", ["e", "zero", "six"], ["f"], name="relu6"),
        node("Gemm", ["f", "A"]),
    ]
    arrays = {"A": weights(3, 3), "zero": np.zeros((), np.float32), "six": np.full((), 6, np.float32)}
    return load_graph(write(model(nodes, ("N", 3), arrays), folder))


def test_relu_decomposable_activations_are_cuts_and_a_true_cut_goes_first(tmp_path: Path) -> None:
    graph = decomposable(tmp_path)
    assert [chosen(graph, name) for name in ("leaky", "floor", "relu6")] == ["leaky", "floor", "relu6"]
    assert (chosen(graph, "first"), chosen(graph, "last")) == ("floor", "floor")
    with pytest.raises(UsageError, match=r"choose first, last, best or one of: leaky, floor, relu6\.$"):
        choose_cut(graph, "nowhere")


def test_where_all_are_skips_first_and_last_are_among_them(tmp_path: Path) -> None:
    nodes = [
        node("LeakyRelu", ["x"], ["a"], name="one"),
        node("Exp", ["a"], ["b"]),
        node("PRelu", ["b", "s"], name="two"),
    ]
    graph = load_graph(write(model(nodes, ("N", 3), {"s": weights(3)}), tmp_path))
    assert (chosen(graph, "first"), chosen(graph, "last")) == ("one", "two")
