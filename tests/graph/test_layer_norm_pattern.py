"""Layer normalization in primitive operators is recognised over the last axes, and only there."""

from pathlib import Path

import numpy as np
import pytest
from formula import Formula, agrees
from models import weights

from nmcheck.graph.ir import Graph

SHAPE = (3, 4, 6)
EPSILON = 1e-3


def mean(f: Formula, value: str, axes: list[int], opset: int, keep: int = 1) -> str:
    if opset >= 18:
        return f("ReduceMean", value, f.constant(np.array(axes)), keepdims=keep)
    return f("ReduceMean", value, axes=axes, keepdims=keep)


def parts(f: Formula, axes: list[int], opset: int, power: bool = True) -> tuple[str, str, str]:
    """m, d and v + epsilon of x."""
    m = mean(f, "x", axes, opset)
    d = f("Sub", "x", m)
    square = f("Pow", d, 2.0) if power else f("Mul", d, d)
    return m, d, f("Add", mean(f, square, axes, opset), EPSILON)


def array(axes: int, seed: int) -> np.ndarray:
    return weights(*SHAPE[len(SHAPE) - axes :], seed=seed)


def divided(f: Formula, axes: int, opset: int, root: str, scaled: str) -> str:
    """d / sqrt, d (1 / sqrt), with powers, and gamma and beta in several places."""
    _, d, v = parts(f, [*range(-axes, 0)], opset, power=root != "reciprocal")
    gamma, beta = f.constant(1 + array(axes, 1)), f.constant(array(axes, 2))
    inverse = {
        "sqrt": lambda: "",
        "power": lambda: "",
        "reciprocal": lambda: f("Reciprocal", f("Sqrt", v)),
        "one over": lambda: f("Div", 1.0, f("Sqrt", v)),
        "negative power": lambda: f("Pow", v, -0.5),
    }[root]()
    if not inverse:
        plain = f("Div", d, f("Sqrt", v) if root == "sqrt" else f("Pow", v, 0.5))
    elif scaled == "inside":
        plain = f("Mul", d, f("Mul", inverse, gamma))
        return f("Add", beta, plain)
    else:
        plain = f("Mul", d, inverse)
    if scaled == "bare":
        return plain
    return f("Add", f("Mul", gamma, plain), beta) if scaled == "both" else f("Mul", plain, gamma)


def folded(f: Formula, axes: int, opset: int, scale: bool) -> str:
    """TensorFlow's batch_normalization: x s + (beta - m s)."""
    m, _, v = parts(f, [*range(-axes, 0)], opset, power=False)
    s = f("Reciprocal", f("Sqrt", v))
    s = f("Mul", s, f.constant(1 + array(axes, 1))) if scale else s
    return f("Add", f("Mul", "x", s), f("Sub", f.constant(array(axes, 2)), f("Mul", m, s)))


def recognized(graph: Graph, axes: int, members: int) -> bool:
    front, layer, behind = graph.nodes
    assert (front.op, layer.op, behind.op) == ("Mul", "LayerNormalization", "Abs")
    assert (layer.recognized_from, len(layer.members)) == ("pattern", members)
    assert layer.attributes == {"axis": 1 + len(SHAPE) - axes, "epsilon": float(np.float32(EPSILON))}
    assert layer.inputs[0] == "x"
    assert all(graph.constants[name].shape == SHAPE[len(SHAPE) - axes :] for name in layer.inputs[1:])
    assert set(graph.shapes) == {"input", "x", layer.outputs[0], "y"}
    return agrees(graph)


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(
    ("root", "scaled"),
    [("sqrt", "both"), ("sqrt", "scale"), ("sqrt", "bare"), ("power", "both"), ("reciprocal", "both"),
     ("one over", "inside"), ("negative power", "inside"), ("reciprocal", "bare")],
)  # fmt: skip
def test_primitive_operators_become_one_node(tmp_path: Path, root: str, scaled: str, axes: int, opset: int) -> None:
    f = Formula()
    last = divided(f, axes, opset, root, scaled)
    graph = f.graph(last, tmp_path, SHAPE, opset, "Abs")
    assert recognized(graph, axes, len(f.nodes))
    assert len(graph.nodes[1].inputs) == (2 if scaled in ("scale", "bare") else 3)


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("opset", [11, 18])
def test_as_tensorflow_folds_it(tmp_path: Path, scale: bool, opset: int) -> None:
    f = Formula()
    last = folded(f, 1, opset, scale)
    # d is there for the variance; x s + (beta - m s) does not read it.
    assert recognized(f.graph(last, tmp_path, SHAPE, opset, "Abs"), 1, len(f.nodes))


def test_centred_twice(tmp_path: Path) -> None:
    """Some exporters write x - m once for the variance and once for the quotient."""
    f = Formula()
    m, _, v = parts(f, [-1], 17)
    last = f("Div", f("Sub", "x", m), f("Sqrt", v))
    assert recognized(f.graph(last, tmp_path, SHAPE, behind="Abs"), 1, len(f.nodes))


def test_a_scale_along_another_axis_stays_behind_it(tmp_path: Path) -> None:
    f = Formula()
    _, d, v = parts(f, [-1], 17)
    last = f("Mul", f("Div", d, f("Sqrt", v)), f.constant(weights(4, 1)))
    graph = f.graph(last, tmp_path, SHAPE, behind="Abs")
    assert [node.op for node in graph.nodes] == ["Mul", "LayerNormalization", "Mul", "Abs"]
    assert agrees(graph)


def other_mean(f: Formula) -> str:
    d = f("Sub", "x", mean(f, "x", [-1], 17))
    return f("Div", d, f("Sqrt", f("Add", mean(f, f("Mul", d, d), [-2], 17), EPSILON)))


def two_means(f: Formula) -> str:
    d = f("Sub", "x", mean(f, "x", [-1], 17))
    other = f("Sub", "x", mean(f, "x", [-2, -1], 17))
    return f("Div", d, f("Sqrt", f("Add", mean(f, f("Mul", other, other), [-1], 17), EPSILON)))


def middle_axis(f: Formula) -> str:
    _, d, v = parts(f, [-2], 17)
    return f("Div", d, f("Sqrt", v))


def not_centred(f: Formula) -> str:
    v = f("Add", mean(f, f("Mul", "x", "x"), [-1], 17), EPSILON)
    return f("Div", "x", f("Sqrt", v))


def no_root(f: Formula) -> str:
    _, d, v = parts(f, [-1], 17)
    return f("Div", d, v)


def epsilon_per_row(f: Formula) -> str:
    d = f("Sub", "x", mean(f, "x", [-1], 17))
    v = f("Add", mean(f, f("Mul", d, d), [-1], 17), f.constant(np.abs(weights(4, 1))))
    return f("Div", d, f("Sqrt", v))


def mean_used_elsewhere(f: Formula) -> str:
    m, d, v = parts(f, [-1], 17)
    return f("Add", f("Div", d, f("Sqrt", v)), m)


def cubed(f: Formula) -> str:
    d = f("Sub", "x", mean(f, "x", [-1], 17))
    return f("Div", d, f("Sqrt", f("Add", mean(f, f("Abs", f("Pow", d, 3.0)), [-1], 17), EPSILON)))


@pytest.mark.parametrize(
    "formula",
    [other_mean, two_means, middle_axis, not_centred, no_root, epsilon_per_row, mean_used_elsewhere, cubed],
    ids=lambda formula: formula.__name__,
)
def test_near_misses_stay_as_they_are(tmp_path: Path, formula) -> None:
    f = Formula()
    graph = f.graph(formula(f), tmp_path, SHAPE)
    assert all(node.recognized_from == "op" for node in graph.nodes)
    assert agrees(graph)
