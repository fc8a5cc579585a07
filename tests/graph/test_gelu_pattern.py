"""GELU in primitive operators is recognised in every order of its factors, and only if it is GELU."""

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from formula import Formula, agrees, recognized
from onnx import TensorProto, helper

from nmcheck.errors import ModelError

ROOT = math.sqrt(2 / math.pi)
HALVES = [np.dtype(np.float16), helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16)]


def by_erf(f: Formula, division: bool, order: int, swap: bool) -> str:
    """0.5, x and 1 + erf in the given order; ``swap`` commutes every operation."""

    def both(op: str, a: "str | float", b: "str | float") -> str:
        return f(op, b, a) if swap else f(op, a, b)

    inner = f("Div", "x", math.sqrt(2)) if division else both("Mul", "x", math.sqrt(0.5))
    gate = both("Add", f("Erf", inner), 1.0)
    if order == 0:
        return both("Mul", both("Mul", "x", gate), 0.5)
    if order == 1:
        return both("Mul", both("Mul", "x", 0.5), gate)
    if order == 2:
        return both("Mul", "x", both("Mul", 0.5, gate))
    if order == 3:
        return f("Div", both("Mul", gate, "x"), 2.0)
    half = both("Add", both("Mul", f.nodes[-2].output[0], 0.5), 0.5)
    f.nodes = [node for node in f.nodes if node.output[0] != gate]
    return both("Mul", half, "x")


def by_tanh(f: Formula, cube: int, order: int) -> str:
    """The cube as Pow, as x (x x), as (x x) x, or factored out; the factors in two orders."""
    if cube == 0:
        inner = f("Mul", f("Add", "x", f("Mul", f("Pow", "x", 3.0), 0.044715)), ROOT)
    elif cube == 1:
        inner = f("Mul", ROOT, f("Add", "x", f("Mul", 0.044715, f("Mul", "x", f("Mul", "x", "x")))))
    elif cube == 2:
        inner = f("Mul", f("Add", f("Mul", f("Mul", f("Mul", "x", "x"), "x"), 0.044715), "x"), ROOT)
    else:
        bracket = f("Add", 1.0, f("Mul", f("Mul", 0.044715, "x"), "x"))
        inner = f("Mul", f("Mul", "x", ROOT), bracket)
    gate = f("Add", f("Tanh", inner), 1.0)
    return f("Mul", f("Mul", "x", 0.5), gate) if order == 0 else f("Mul", "x", f("Mul", gate, 0.5))


@pytest.mark.parametrize(("division", "order", "swap"), [*product((True, False), range(5), (True, False))])
def test_by_the_error_function(tmp_path: Path, division: bool, order: int, swap: bool) -> None:
    f = Formula()
    last = by_erf(f, division, order, swap)
    graph = f.graph(last, tmp_path)
    assert recognized(graph, "Gelu", last, len(f.nodes))
    stored = 1 / float(np.float32(math.sqrt(2))) if division else float(np.float32(math.sqrt(0.5)))
    assert graph.nodes[1].attributes == {"approximate": "none", "linear": stored, "cubic": 0.0}


@pytest.mark.parametrize(("cube", "order"), [*product(range(4), range(2))])
def test_by_the_hyperbolic_tangent(tmp_path: Path, cube: int, order: int) -> None:
    f = Formula()
    last = by_tanh(f, cube, order)
    graph = f.graph(last, tmp_path)
    assert recognized(graph, "Gelu", last, len(f.nodes))
    linear, cubic = float(np.float32(ROOT)), float(np.float32(ROOT)) * float(np.float32(0.044715))
    assert graph.nodes[1].attributes == {"approximate": "tanh", "linear": linear, "cubic": cubic}


def test_rounded_constants_are_recognized_kept_and_said(tmp_path: Path) -> None:
    f = Formula()
    last = f("Mul", f("Mul", "x", f("Add", f("Erf", f("Mul", "x", 0.7071)), 1.0)), 0.5)
    graph = f.graph(last, tmp_path)
    assert graph.nodes[1].op == "Gelu"
    assert graph.notes == (
        "mul4 (Gelu) is computed with the file's constants, which differ from Gelu's by 9.6e-06 of them.",
    )
    assert graph.nodes[1].attributes["linear"] == np.float32(0.7071)
    assert agrees(graph, 1e-6)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("by", [lambda f: by_erf(f, True, 0, False), lambda f: by_tanh(f, 0, 0)], ids=["erf", "tanh"])
def test_constants_of_half_precision_are_those_of_the_file(tmp_path: Path, by, dtype: np.dtype) -> None:
    f = Formula(dtype)
    last = by(f)
    graph = f.graph(last, tmp_path)
    assert graph.nodes[1].op == "Gelu"
    assert len(graph.notes) == 1
    assert agrees(graph, 1e-6)


NEAR_MISSES = {
    "another root": lambda f: f("Mul", f("Mul", "x", f("Add", f("Erf", f("Div", "x", 1.43)), 1.0)), 0.5),
    "no half": lambda f: f("Mul", "x", f("Add", f("Erf", f("Div", "x", math.sqrt(2))), 1.0)),
    "minus": lambda f: f("Mul", f("Mul", "x", f("Sub", 1.0, f("Erf", f("Div", "x", math.sqrt(2))))), 0.5),
    "two": lambda f: f("Mul", f("Mul", "x", f("Add", f("Erf", f("Div", "x", math.sqrt(2))), 2.0)), 0.5),
    "a shift": lambda f: f(
        "Mul", f("Mul", "x", f("Add", f("Erf", f("Add", f("Div", "x", math.sqrt(2)), 0.1)), 1.0)), 0.5
    ),
    "another cube": lambda f: f(
        "Mul", f("Mul", "x", 0.5),
        f("Add", f("Tanh", f("Mul", f("Add", "x", f("Mul", f("Pow", "x", 3.0), 0.05)), ROOT)), 1.0),
    ),
    "a square": lambda f: f(
        "Mul", f("Mul", "x", 0.5),
        f("Add", f("Tanh", f("Mul", f("Add", "x", f("Mul", f("Pow", "x", 2.0), 0.044715)), ROOT)), 1.0),
    ),
    "of another value": lambda f: f(
        "Mul", f("Mul", f("Abs", "x"), f("Add", f("Erf", f("Div", "x", math.sqrt(2))), 1.0)), 0.5
    ),
    "per channel": lambda f: f(
        "Mul", f("Mul", "x", f("Add", f("Erf", f("Div", "x", math.sqrt(2))), 1.0)),
        f.constant(np.linspace(0.5, 0.6, 5)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_near_misses_stay_as_they_are(tmp_path: Path, name: str) -> None:
    f = Formula()
    graph = f.graph(NEAR_MISSES[name](f), tmp_path)
    assert all(node.recognized_from == "op" for node in graph.nodes)
    assert agrees(graph)


def test_inner_values_used_elsewhere_or_put_out_stay(tmp_path: Path) -> None:
    f = Formula()
    erf = f("Erf", f("Div", "x", math.sqrt(2)))
    gelu = f("Mul", f("Mul", "x", f("Add", erf, 1.0)), 0.5)
    graph = f.graph(f("Add", gelu, erf), tmp_path)
    assert "Gelu" not in {node.op for node in graph.nodes}
    assert agrees(graph)


def test_a_broadcast_constant_that_widens_the_value_stays(tmp_path: Path) -> None:
    f = Formula()
    wide = f.constant(np.full((3, 1, 1), 0.5))
    graph = f.graph(f("Mul", f("Mul", "x", f("Add", f("Erf", f("Div", "x", math.sqrt(2))), 1.0)), wide), tmp_path)
    assert "Gelu" not in {node.op for node in graph.nodes}


@pytest.mark.parametrize(
    ("op", "opset", "attribute"), [("Gelu", 20, {"linear": 2.0}), ("HardSwish", 17, {"slope": 0.3})]
)
def test_a_file_cannot_state_constants_that_the_operators_have_not(
    tmp_path: Path, op: str, opset: int, attribute: dict[str, float]
) -> None:
    f = Formula()
    with pytest.raises(ModelError, match="Unrecognized attribute"):
        f.graph(f(op, "x", **attribute), tmp_path, opset=opset)


def test_several_in_a_row(tmp_path: Path) -> None:
    f = Formula()
    first = by_erf(f, True, 0, False)
    gate = f("Add", f("Erf", f("Div", first, math.sqrt(2))), 1.0)
    graph = f.graph(f("Mul", f("Mul", first, gate), 0.5), tmp_path)
    assert [node.op for node in graph.nodes] == ["Mul", "Gelu", "Gelu", "Mul"]
    assert agrees(graph)
