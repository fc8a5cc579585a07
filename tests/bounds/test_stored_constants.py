"""Radii are certified for the numbers a file has, not for those they were rounded from.

Each network has the logits f(x) and a threshold t, f being an activation in primitive operators, with rounded
constants. Its image lies so near the place where f falls to t that with exact constants it would lie three times as far
away: a certificate for these would be above the truth, which is found with fifty digits on the stored constants.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from models import write
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from nmcheck.bounds.affine_run import LayerConstants
from nmcheck.bounds.pair_radius import PairRadii
from nmcheck.bounds.relaxation.radius import Images, RelaxedRadii
from nmcheck.bounds.relaxation.relaxation import Relaxation
from nmcheck.execute.program import Program
from nmcheck.graph.ir import Graph
from nmcheck.graph.load import load_graph
from nmcheck.linearize.steps import network_of

mp: Any = mpmath.mp
PLACE = 0.75
"""Where the image is; every activation here rises there."""
TYPES = {
    "float16": np.dtype(np.float16),
    "bfloat16": helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16),
    "float32": np.dtype(np.float32),
}
NUMBERS = {"half": 0.5, "one": 1.0, "three": 3.0, "six": 6.0, "zero": 0.0}


def node(op: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), [output], **attributes)


@dataclass(frozen=True)
class Activation:
    """An activation in primitive operators.

    Attributes:
        op: what it is recognized as.
        numbers: the constants it is meant to have, by name.
        function: what it computes of x and these, in mpmath's numbers.
        nodes: from x to y.
    """

    op: str
    numbers: dict[str, Any]
    function: Callable[..., Any]
    nodes: tuple[NodeProto, ...]

    def rounded(self, dtype: np.dtype) -> dict[str, float]:
        """The constants as a file of that type has them."""
        return {key: float(np.asarray(float(number), dtype=dtype)) for key, number in self.numbers.items()}


def gelu(x: Any, a: Any) -> Any:
    return x * (1 + mp.erf(a * x)) / 2


with mp.workdps(50):
    SIXTH = mp.mpf(1) / 6
    ACTIVATIONS = {
        "gelu": Activation(
            "Gelu", {"a": mp.sqrt(0.5)}, gelu,
            (
                node("Mul", "x a", "u"), node("Erf", "u", "e"), node("Add", "e one", "g"), node("Mul", "x g", "p"),
                node("Mul", "p half", "y"),
            ),
        ),
        "gelu divided": Activation(
            "Gelu", {"a": mp.sqrt(2)}, lambda x, a: gelu(x, 1 / a),
            (
                node("Div", "x a", "u"), node("Erf", "u", "e"), node("Mul", "e half", "g"), node("Add", "g half", "h"),
                node("Mul", "x h", "y"),
            ),
        ),
        "gelu by tanh": Activation(
            "Gelu", {"b": mp.sqrt(2 / mp.pi), "c": mp.mpf("0.044715")},
            lambda x, b, c: x * (1 + mp.tanh(b * (x + c * x**3))) / 2,
            (
                node("Pow", "x three", "q"), node("Mul", "q c", "r"), node("Add", "x r", "s"), node("Mul", "s b", "u"),
                node("Tanh", "u", "e"), node("Add", "e one", "g"), node("Mul", "x half", "h"), node("Mul", "h g", "y"),
            ),
        ),
        "quick gelu": Activation(
            "Swish", {"a": mp.mpf("1.702")}, lambda x, a: x / (1 + mp.exp(-a * x)),
            (node("Mul", "x a", "u"), node("Sigmoid", "u", "e"), node("Mul", "x e", "y")),
        ),
        "hard swish": Activation(
            "HardSwish", {"a": SIXTH}, lambda x, a: x * (x + 3) * a,
            (
                node("Add", "x three", "u"), node("Clip", "u zero six", "e"), node("Mul", "x e", "p"),
                node("Mul", "p a", "y"),
            ),
        ),
        "hard swish, sixth first": Activation(
            "HardSwish", {"a": SIXTH}, lambda x, a: x * (x * a + 0.5),
            (
                node("Mul", "x a", "u"), node("Add", "u half", "v"), node("Clip", "v zero one", "e"),
                node("Mul", "x e", "y"),
            ),
        ),
        "hard swish by attribute": Activation(
            "HardSwish", {"alpha": SIXTH}, lambda x, alpha: x * (x * alpha + 0.5),
            (node("HardSigmoid", "x", "e", alpha=1 / 6, beta=0.5), node("Mul", "x e", "y")),
        ),
        "attribute left out": Activation(
            "HardSigmoid", {"alpha": mp.mpf("0.2")}, lambda x, alpha: x * alpha + 0.5, (node("HardSigmoid", "x", "y"),)
        ),
    }  # fmt: skip
CASES = [(name, kind) for name in ACTIVATIONS for kind in TYPES if "attribute" not in name or kind == "float32"]


@dataclass(frozen=True)
class Case:
    """A file, and how far its image is from the flip by its own constants and by exact ones."""

    path: Path
    truth: float
    by_exact_constants: float


def case_of(activation: Activation, dtype: np.dtype, folder: Path) -> Case:
    """The network for which exact constants say too much.

    Let s be by how much the f of exact constants is above f at the image. A threshold of f - s/2 is three times as far
    from the one as from the other; where s is negative, the logits are negated, so that the image is on the same side.
    """
    stored = activation.rounded(dtype)
    with mp.workdps(50):

        def own(x: Any) -> Any:
            return activation.function(x, **stored)

        def exact(x: Any) -> Any:
            return activation.function(x, **activation.numbers)

        here = own(mp.mpf(PLACE))
        shift = exact(mp.mpf(PLACE)) - here
        threshold = float(here - shift / 2)
        truth, farther = (root(lambda x, f=f: f(x) - threshold) for f in (own, exact))
    return Case(write(network(activation, stored, threshold, sign=float(mp.sign(shift))), folder), truth, farther)


def root(function: Callable[[Any], Any]) -> float:
    """How far from the image the function is zero."""
    return abs(float(mpmath.findroot(function, (PLACE, PLACE + 1e-3), tol=1e-60) - PLACE))


def network(activation: Activation, stored: dict[str, float], threshold: float, sign: float) -> ModelProto:
    """x -> (f(x), t), or the negatives; everything is a float64 number, rounded as it may be."""
    read = {name for one in activation.nodes for name in one.input}
    numbers = {name: np.asarray(number) for name, number in (NUMBERS | stored).items() if name in read}
    arrays = numbers | {"w": np.array([[sign], [0.0]]), "t": np.array([0.0, sign * threshold])}
    graph = helper.make_graph(
        [*activation.nodes, helper.make_node("Gemm", ["y", "w", "t"], ["z"], transB=1)],
        "flip",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["N", 1])],
        [helper.make_tensor_value_info("z", TensorProto.DOUBLE, ["N", 2])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_no_radius_is_beyond_the_flip_of_the_stored_constants(tmp_path: Path, name: str, kind: str) -> None:
    activation = ACTIVATIONS[name]
    case = case_of(activation, TYPES[kind], tmp_path)
    assert case.by_exact_constants > 2.9 * case.truth
    graph = load_graph(case.path)
    assert [one.op for one in graph.nodes] == [activation.op, "Gemm"]
    for method, radius in radii(graph, 2 * case.truth).items():
        assert 0 < radius <= case.truth, method
        # Of what float32 rounds little is left beside the allowances; HardSwish is twice as steep elsewhere.
        assert kind == "float32" or radius > (0.4 if method == "lipschitz" else 0.8) * case.truth, method


def radii(graph: Graph, epsilon: float) -> dict[str, float]:
    """Radii of the image by every method and norm, by relaxation as far as a ball of ``epsilon`` tells."""
    program = Program(graph, torch.float64)
    constants = LayerConstants(graph, program)
    image = torch.full((1, 1, 1), PLACE, dtype=torch.float64)
    found = {"lipschitz": PairRadii(constants).at(image)}
    relaxation = Relaxation(graph, program, network_of(program), constants)
    ball, first = torch.tensor([epsilon], dtype=torch.float64), torch.tensor([0])
    for norm in (2.0, math.inf):
        images = Images(image, program(image), norm)
        for method, tighten, steps in (("crown-ibp", False, 0), ("crown", True, 0), ("crown-optimized", True, 1)):
            reach = RelaxedRadii(relaxation, tighten=tighten, optimize=steps).reach(images, ball, first)
            found[f"{method} {norm}"] = reach.clamp(max=epsilon)
    return {method: float(radius.min()) for method, radius in found.items()}
