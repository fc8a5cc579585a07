"""Swish, HardSwish and Mish in primitive operators become one node each, and nothing else does."""

from pathlib import Path

import numpy as np
import pytest
from formula import Formula, agrees, recognized

from nmcheck.bounds.layers import unsupported_reason

SPELLED_OUT = {
    "silu": ("Swish", lambda f: f("Mul", "x", f("Sigmoid", "x"))),
    "silu commuted": ("Swish", lambda f: f("Mul", f("Sigmoid", "x"), "x")),
    "quick gelu": ("Swish", lambda f: f("Mul", "x", f("Sigmoid", f("Mul", 1.702, "x")))),
    "divided": ("Swish", lambda f: f("Mul", f("Sigmoid", f("Div", "x", 0.8)), "x")),
    "negative": ("Swish", lambda f: f("Mul", f("Sigmoid", f("Neg", "x")), "x")),
    "hard sigmoid": ("HardSwish", lambda f: f("Mul", "x", f("HardSigmoid", "x", alpha=1 / 6, beta=0.5))),
    "relu6": ("HardSwish", lambda f: f("Div", f("Mul", "x", f("Clip", f("Add", "x", 3.0), 0.0, 6.0)), 6.0)),
    "relu6 of a sixth": ("HardSwish", lambda f: f(
        "Mul", f("Mul", f("Clip", f("Add", 3.0, "x"), 0.0, 6.0), 1 / 6), "x")),
    "sixth first": ("HardSwish", lambda f: f("Mul", f("Clip", f("Add", f("Div", "x", 6.0), 0.5), 0.0, 1.0), "x")),
    "mish": ("Mish", lambda f: f("Mul", "x", f("Tanh", f("Softplus", "x")))),
    "mish of torch": ("Mish", lambda f: f(
        "Mul", "x", f("Tanh", f("Where", f("Greater", "x", 20.0), "x", f("Softplus", "x"))))),
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLED_OUT)
def test_primitive_operators_become_one_node(tmp_path: Path, name: str) -> None:
    op, formula = SPELLED_OUT[name]
    f = Formula()
    last = formula(f)
    graph = f.graph(last, tmp_path)
    assert recognized(graph, op, last, len(f.nodes))
    assert unsupported_reason(graph, graph.nodes[1]) is None


@pytest.mark.parametrize(
    ("name", "alpha"), [("silu", 1.0), ("quick gelu", np.float32(1.702)), ("divided", 1.25), ("negative", -1.0)]
)
def test_alpha(tmp_path: Path, name: str, alpha: float) -> None:
    f = Formula()
    graph = f.graph(SPELLED_OUT[name][1](f), tmp_path)
    assert graph.nodes[1].attributes["alpha"] == pytest.approx(alpha, rel=1e-7)
    assert graph.nodes[1].since_version == 24


HARD_SWISHES = {
    "hard sigmoid": lambda six: (float(np.float32(1 / 6)), 0.5, 1.0),
    "relu6": lambda six: (1 / 6, 0.5, 1.0),
    "relu6 of a sixth": lambda six: (six, 3 * six, 6 * six),
    "sixth first": lambda six: (1 / 6, 0.5, 1.0),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("name", HARD_SWISHES)
def test_the_constants_of_a_hard_swish_are_those_of_the_file(tmp_path: Path, name: str, dtype: type) -> None:
    f = Formula(dtype)
    graph = f.graph(SPELLED_OUT[name][1](f), tmp_path)
    slope, shift, top = HARD_SWISHES[name](float(dtype(1 / 6)))
    assert graph.nodes[1].attributes == pytest.approx({"slope": slope, "shift": shift, "top": top}, rel=1e-15)
    assert agrees(graph, 1e-6)


@pytest.mark.parametrize("opset", [7, 10])
def test_clip_with_attributes(tmp_path: Path, opset: int) -> None:
    f = Formula()
    last = f("Div", f("Mul", "x", f("Clip", f("Add", "x", 3.0), min=0.0, max=6.0)), 6.0)
    assert recognized(f.graph(last, tmp_path, opset=opset), "HardSwish", last, 4)


def test_both_factors_gates(tmp_path: Path) -> None:
    """Tanh(x) is the gated value, not the gate."""
    f = Formula()
    tanh = f("Tanh", "x")
    graph = f.graph(f("Mul", tanh, f("Sigmoid", tanh)), tmp_path)
    assert [node.op for node in graph.nodes] == ["Mul", "Tanh", "Swish", "Mul"]
    assert agrees(graph)


NEAR_MISSES = {
    "gate of another value": lambda f: f("Mul", "x", f("Sigmoid", f("Abs", "x"))),
    "shifted": lambda f: f("Mul", "x", f("Sigmoid", f("Add", "x", 1.0))),
    "scaled": lambda f: f("Mul", f("Mul", "x", 1.5), f("Sigmoid", "x")),
    "per channel": lambda f: f("Mul", "x", f("Sigmoid", f("Mul", "x", f.constant(np.linspace(1, 2, 5))))),
    "hard sigmoid of a fifth": lambda f: f("Mul", "x", f("HardSigmoid", "x", alpha=0.2, beta=0.5)),
    "hard sigmoid moved": lambda f: f("Mul", "x", f("HardSigmoid", "x", alpha=1 / 6, beta=0.4)),
    "no sixth": lambda f: f("Mul", "x", f("Clip", f("Add", "x", 3.0), 0.0, 6.0)),
    "a fifth": lambda f: f("Div", f("Mul", "x", f("Clip", f("Add", "x", 3.0), 0.0, 6.0)), 5.0),
    "relu5": lambda f: f("Div", f("Mul", "x", f("Clip", f("Add", "x", 3.0), 0.0, 5.0)), 6.0),
    "open above": lambda f: f("Div", f("Mul", "x", f("Clip", f("Add", "x", 3.0), 0.0)), 6.0),
    "tanh": lambda f: f("Mul", "x", f("Tanh", "x")),
    "half a softplus": lambda f: f("Mul", "x", f("Tanh", f("Mul", f("Softplus", "x"), 0.5))),
    "softplus of another value": lambda f: f("Mul", "x", f("Tanh", f("Softplus", f("Abs", "x")))),
    "softplus cut early": lambda f: f(
        "Mul", "x", f("Tanh", f("Where", f("Greater", "x", 2.0), "x", f("Softplus", "x")))
    ),
}


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_near_misses_stay_as_they_are(tmp_path: Path, name: str) -> None:
    f = Formula()
    graph = f.graph(NEAR_MISSES[name](f), tmp_path)
    assert all(node.recognized_from == "op" for node in graph.nodes)
    assert agrees(graph)


def test_a_gate_used_elsewhere_stays(tmp_path: Path) -> None:
    f = Formula()
    gate = f("Sigmoid", "x")
    graph = f.graph(f("Add", f("Mul", "x", gate), gate), tmp_path)
    assert all(node.recognized_from == "op" for node in graph.nodes)


def test_a_softplus_used_elsewhere_stays(tmp_path: Path) -> None:
    f = Formula()
    softplus = f("Softplus", "x")
    graph = f.graph(f("Add", f("Mul", "x", f("Tanh", softplus)), softplus), tmp_path)
    assert all(node.recognized_from == "op" for node in graph.nodes)


def test_a_gate_of_another_shape_stays(tmp_path: Path) -> None:
    """Squeeze and excite: the gate is one number a row."""
    f = Formula()
    mean = f("ReduceMean", "x", axes=[-1], keepdims=1)
    graph = f.graph(f("Mul", "x", f("Sigmoid", mean)), tmp_path)
    assert all(node.recognized_from == "op" for node in graph.nodes)
    assert agrees(graph)
