"""Models of one formula, every operation a node of its own, for what is recognized in a graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from models import model, weights, write
from onnx import NodeProto, helper

from nmcheck.execute.comparison import relative_difference
from nmcheck.execute.program import Program
from nmcheck.execute.session import ReferenceSession
from nmcheck.graph.ir import Graph
from nmcheck.graph.load import load_graph


class Formula:
    """Builds nodes from a formula.

    Args:
        dtype: what the numbers in it are rounded to; they are stored as float32.
    """

    def __init__(self, dtype: type | np.dtype = np.float32) -> None:
        self.nodes: list[NodeProto] = []
        self.arrays: dict[str, np.ndarray] = {}
        self.dtype = dtype

    def __call__(self, op: str, *operands: str | float, **attributes: Any) -> str:
        names = [operand if isinstance(operand, str) else self.constant(operand) for operand in operands]
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, names, [f"{name}.out"], name, **attributes))
        return f"{name}.out"

    def constant(self, value: float | np.ndarray) -> str:
        name = f"c{len(self.arrays)}"
        rounded = value if isinstance(value, np.ndarray) else np.asarray(value, dtype=self.dtype)
        self.arrays[name] = rounded if rounded.dtype.kind == "i" else rounded.astype(np.float32)
        return name

    def graph(
        self, last: str, folder: Path, shape: tuple[int, ...] = (2, 5), opset: int = 17, behind: str = "Mul"
    ) -> Graph:
        """``x`` is twice the input, so that it is a value with a producer; behind the formula stands one more node.

        Args:
            last: the formula's value.
            folder: where to write the file.
            shape: shape of x without the batch axis.
            opset: operator set.
            behind: ``Mul`` with a number a column, or an operator of one operand.
        """
        front = helper.make_node("Mul", ["input", "two"], ["x"], "front")
        operands = [last, "weight"] if behind == "Mul" else [last]
        end = helper.make_node(behind, operands, ["y"], "behind")
        arrays = {
            "two": np.array(2, np.float32),
            **({"weight": weights(shape[-1])} if behind == "Mul" else {}),
            **self.arrays,
        }
        made = model([front, *self.nodes, end], ("N", *shape), arrays, source="input", opset=opset)
        return load_graph(write(made, folder))


def agrees(graph: Graph, tolerance: float = 1e-5) -> bool:
    samples = 2 * weights(4, *graph.shapes[graph.input])
    ours = Program(graph).output(torch.from_numpy(samples)).numpy()
    return relative_difference(ours, ReferenceSession(graph, threads=1).run(samples)) <= tolerance


def recognized(graph: Graph, op: str, last: str, members: int) -> bool:
    layer = graph.by_name[last.removesuffix(".out")]
    assert [node.op for node in graph.nodes] == ["Mul", op, "Mul"]
    assert (layer.op, layer.recognized_from, len(layer.members)) == (op, "pattern", members)
    assert (layer.inputs, layer.outputs) == (("x",), (last,))
    assert layer.index == members
    assert set(graph.shapes) == {"input", "x", last, "y"}
    assert set(graph.constants) == {"two", "weight"}
    assert graph.notes == ()
    return agrees(graph)
