"""A one-node model, and how a list of them is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from models import model, node, weights
from onnx import ModelProto, NodeProto, TensorProto


@dataclass(frozen=True)
class OperatorCase:
    """A node with one live input ``x``.

    Attributes:
        op: operator type.
        shape: shape of x.
        inputs: names of the inputs; ``x`` is live, the others are ``constants``.
        constants: constant operands.
        attributes: of the node.
        opset: operator set of the file.
        outputs: number of outputs; several are concatenated.
        positive: whether x must be positive.
        small: whether x must lie in (-1, 1).
        front: nodes in front of the one in question.
        label: what is special, for the test's name.
    """

    op: str
    shape: tuple[int, ...] = (1, 3, 5)
    inputs: tuple[str, ...] = ("x",)
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    attributes: Mapping[str, object] = field(default_factory=dict)
    opset: int = 17
    outputs: int = 1
    positive: bool = False
    small: bool = False
    front: tuple[NodeProto, ...] = ()
    label: str = ""

    def __str__(self) -> str:
        return "-".join(filter(None, (self.op, str(self.opset), self.label)))

    def onnx_model(self) -> ModelProto:
        """The one node; a boolean or integer output is cast to float behind it, several outputs are concatenated."""
        names = [f"y{index}" for index in range(self.outputs)]
        nodes = [*self.front, node(self.op, self.inputs, names, **self.attributes)]
        if self.outputs > 1:
            nodes.append(node("Concat", names, ["y"], axis=-1))
        else:
            nodes.append(node("Cast", names, ["y"], to=TensorProto.FLOAT))
        return model(nodes, self.shape, self.constants, opset=self.opset, ir_version=8 if self.opset < 19 else 10)

    def samples(self, count: int, shape: tuple[int, ...]) -> np.ndarray:
        """Inputs for which the operator is defined, each of the graph's input shape."""
        x = weights(count, *shape)
        if self.positive:
            x = np.abs(x) + 0.1
        return np.tanh(x) * 0.9 if self.small else x


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def scalar(value: float) -> np.ndarray:
    return np.array(value, dtype=np.float32)


class Cases(list[OperatorCase]):
    """A list that a file of cases fills."""

    def add(self, op: str, **fields: object) -> None:
        self.append(OperatorCase(op, **fields))  # type: ignore[arg-type]


IMAGE = (1, 4, 7, 6)
