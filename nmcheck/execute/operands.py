"""What an operator row sees of its node: attributes, static operands, weights as tensors, and shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nmcheck.errors import ModelError, UnsupportedError
from nmcheck.execute.on_demand import Tensor, torch
from nmcheck.graph.ir import Graph, Node

Function = Callable[..., Tensor | tuple[Tensor, ...]]
"""A pure function of the node's live inputs, in their order."""
_TORCH_TYPES = frozenset(
    {"bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
     "complex64", "complex128"}
)  # fmt: skip
"""numpy's types that torch has, too."""


@dataclass(frozen=True)
class Operands:
    """One node about to become a torch function.

    Attributes:
        graph: the graph it stands in.
        node: the node.
        dtype: floating-point type of weights and live values.
        device: where they live.
    """

    graph: Graph
    node: Node
    dtype: torch.dtype
    device: str

    def given(self, position: int) -> bool:
        """Whether the input at ``position`` is there at all."""
        return position < len(self.node.inputs) and bool(self.node.inputs[position])

    def is_live(self, position: int) -> bool:
        """Whether the input at ``position`` depends on the sample."""
        return self.given(position) and self.node.inputs[position] not in self.graph.constants

    def shape(self, position: int) -> tuple[int, ...]:
        """Shape of an input."""
        name = self.node.inputs[position]
        return self.graph.constants[name].shape if name in self.graph.constants else self.graph.shapes[name]

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the first output."""
        return self.graph.shapes[self.node.outputs[0]]

    def static(self, position: int) -> np.ndarray | None:
        """A static operand, None if it is left out.

        Raises:
            UnsupportedError: it depends on the sample.
        """
        if not self.given(position):
            return None
        if self.is_live(position):
            raise self.unsupported(f"its operand '{self.node.inputs[position]}' depends on the sample")
        return self.graph.constants[self.node.inputs[position]]

    def required(self, position: int) -> np.ndarray:
        """A static operand that must be there."""
        value = self.static(position)
        if value is None:
            raise self.invalid(f"operand {position} is missing")
        return value

    def integers_at(self, position: int) -> tuple[int, ...] | None:
        """A static operand as a list of integers, None if it is left out."""
        value = self.static(position)
        return None if value is None else tuple(int(entry) for entry in value.flat)

    def tensor(self, position: int) -> Tensor:
        """A constant as a tensor: floating point in the program's type, others as they are."""
        return self.as_tensor(self.required(position))

    def as_tensor(self, array: np.ndarray) -> Tensor:
        """An array on the device; floating point in the program's type.

        Raises:
            UnsupportedError: torch has no such type.
        """
        self.check_type(array)
        tensor = torch.from_numpy(np.array(array, order="C"))
        return tensor.to(self.device, self.dtype if tensor.is_floating_point() else tensor.dtype)

    def check_type(self, array: np.ndarray) -> None:
        """Refuse an array of a type that torch does not have, such as strings."""
        if array.dtype.name not in _TORCH_TYPES:
            raise self.unsupported(f"it computes with constants of type {array.dtype.name}")

    def filled(self, function: Function) -> Function:
        """``function`` of all inputs as a function of the live ones, the constants filled in as tensors."""
        given = [position for position in range(len(self.node.inputs)) if self.given(position)]
        constants = {position: self.tensor(position) for position in given if not self.is_live(position)}
        if not constants:
            return function
        if len(given) == 2:
            (position, constant) = next(iter(constants.items()))
            if position == 0:
                return lambda live: function(constant, live)
            return lambda live: function(live, constant)

        def fill(*live: Tensor) -> Tensor | tuple[Tensor, ...]:
            values = iter(live)
            return function(*(constants[p] if p in constants else next(values) for p in given))

        return fill

    def integer(self, name: str, default: int) -> int:
        """An attribute that is one integer."""
        value = self.node.attributes.get(name, default)
        if not isinstance(value, int):
            raise self.invalid(f"attribute {name} is {value!r}, not an integer")
        return value

    def number(self, name: str, default: float) -> float:
        """An attribute that is one number."""
        value = self.node.attributes.get(name, default)
        if not isinstance(value, int | float):
            raise self.invalid(f"attribute {name} is {value!r}, not a number")
        return float(value)

    def text(self, name: str, default: str) -> str:
        """An attribute that is a word."""
        value = self.node.attributes.get(name, default)
        if not isinstance(value, str):
            raise self.invalid(f"attribute {name} is {value!r}, not a word")
        return value

    def integers(self, name: str) -> tuple[int, ...] | None:
        """An attribute that lists integers, None if absent."""
        value = self.node.attributes.get(name)
        if value is None:
            return None
        if not isinstance(value, tuple) or not all(isinstance(entry, int) for entry in value):
            raise self.invalid(f"attribute {name} is {value!r}, not a list of integers")
        return tuple(int(entry) for entry in value)

    def axes(self, position: int) -> tuple[int, ...] | None:
        """Axes by input or, in older operator sets, by attribute; None if neither is given."""
        return self.integers_at(position) if self.given(position) else self.integers("axes")

    def unsupported(self, reason: str) -> UnsupportedError:
        """The refusal of this node, for a reason within its rights."""
        return UnsupportedError(
            f"{self.graph.model.path}: node '{self.node.name}' ({self.node.op}): {reason}, which nmcheck does not "
            "execute; export the model without it."
        )

    def invalid(self, reason: str) -> ModelError:
        """The refusal of this node because it contradicts ONNX."""
        return ModelError(
            f"{self.graph.model.path}: node '{self.node.name}' ({self.node.op}): {reason}; the file is damaged, so "
            "export it again."
        )
