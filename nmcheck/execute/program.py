"""A graph, or any part of it, as a torch function that ``torch.func`` can differentiate and batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.errors import ModelError, NmcheckError
from nmcheck.execute.operands import Function, Operands
from nmcheck.execute.table import row_for
from nmcheck.graph.ir import Graph, Node

_CHUNK_ELEMENTS = 2**24
"""Elements of a layer's activations computed at a time (64 MiB in float32)."""
_LARGEST_CHUNK = 256


@dataclass(frozen=True)
class _Step:
    """One node ready to run, and the values nobody needs after it."""

    node: Node
    function: Function
    inputs: tuple[str, ...]
    dropped: tuple[str, ...]


class Program:
    """A graph in one precision on one device.

    Weights become tensors once. Every function takes a single sample, without a batch axis beyond the graph's own of
    length 1; batches are made by ``torch.func.vmap``.

    Args:
        graph: the network.
        dtype: floating-point type of weights and values.
        device: torch's name of the device.

    Raises:
        UnsupportedError: an operator, or the way it is used, is not executed; the message names the node.
        ModelError: a node does not fit its inputs.
    """

    def __init__(self, graph: Graph, dtype: torch.dtype = torch.float32, device: str = "cpu") -> None:
        self.graph = graph
        self.dtype = dtype
        self.device = device
        self.classes = prod(graph.shapes[graph.logits])
        self._functions = {node.name: self._build(node) for node in graph.nodes}
        largest = max((prod(shape) for shape in graph.shapes.values()), default=1)
        self._chunk = max(1, min(_LARGEST_CHUNK, _CHUNK_ELEMENTS // max(1, largest)))
        self._check()

    def function(self, source: str, target: str) -> Callable[[Tensor], Tensor]:
        """The part of the network between two values, for a single sample.

        Args:
            source: name of the value that is given, of shape ``graph.shapes[source]``.
            target: name of the value wanted, of shape ``graph.shapes[target]``.

        Raises:
            ValueError: the graph has no such value, or ``target`` depends on the input past ``source`` too.
        """
        run = self._runner(source, (target,))
        return lambda x: run(x)[0]

    def __call__(self, x: Tensor) -> Float[Tensor, "batch classes"]:
        """Logits of a batch of shape (batch, *graph.shapes[graph.input])."""
        return self._batched(x, (self.graph.logits,))[0].reshape(len(x), self.classes)

    def activations(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Values of a batch by name, each of shape (batch, *graph.shapes[name])."""
        return dict(zip(names, self._batched(x, tuple(names)), strict=True))

    def output(self, x: Tensor) -> Tensor:
        """The file's own output for a batch, a softmax at its end included; shape (batch, *its shape)."""
        return self._batched(x, (self.graph.output,))[0]

    def _batched(self, x: Tensor, targets: tuple[str, ...]) -> tuple[Tensor, ...]:
        run = self._runner(self.graph.input, targets)
        if len(x) == 0:
            return tuple(x.new_zeros((0, *self.graph.shapes[target])) for target in targets)
        chunks = [torch.func.vmap(run)(part) for part in x.split(self._chunk)]
        return tuple(torch.cat(parts) for parts in zip(*chunks, strict=True))

    def _build(self, node: Node) -> Function:
        try:
            return row_for(node).build(Operands(self.graph, node, self.dtype, self.device))
        except NmcheckError:
            raise
        except (RuntimeError, ValueError, IndexError, TypeError, KeyError, ZeroDivisionError) as error:
            raise self._misfit(node, error) from error

    def _misfit(self, node: Node, error: object) -> ModelError:
        text = str(error).strip().splitlines()
        shapes = ", ".join(f"{value} {list(self.graph.shapes[value])}" for value in self.graph.live_inputs(node))
        return ModelError(
            f"{self.graph.model.path}: node '{node.name}' ({node.op}) does not fit its inputs {shapes}: "
            f"{text[0].rstrip('.') if text else type(error).__name__}; the file is damaged, so export it again."
        )

    def _check(self) -> None:
        """Run one sample of zeros and compare every shape, so that no node fails later."""
        values = {self.graph.input: torch.zeros(self.graph.shapes[self.graph.input], dtype=self.dtype, device=self.device)}
        for step in self._plan(self.graph.input, {self.graph.output}):
            try:
                results = _outputs(step, values)
            except (RuntimeError, ValueError, IndexError, TypeError) as error:
                raise self._misfit(step.node, error) from error
            for name, value in results.items():
                if tuple(value.shape) != self.graph.shapes[name]:
                    reason = f"it makes shape {list(value.shape)} where {list(self.graph.shapes[name])} was expected"
                    raise self._misfit(step.node, reason)
            values |= results
            for name in step.dropped:
                del values[name]

    def _runner(self, source: str, targets: tuple[str, ...]) -> Callable[[Tensor], tuple[Tensor, ...]]:
        steps = self._plan(source, set(targets))
        fixed = {
            name: torch.from_numpy(self.graph.constants[name]).to(self.device, self.dtype)
            for name in targets
            if name in self.graph.constants
        }

        def run(x: Tensor) -> tuple[Tensor, ...]:
            values = {source: x, **fixed}
            for step in steps:
                values |= _outputs(step, values)
                for name in step.dropped:
                    del values[name]
            return tuple(values[target] for target in targets)

        return run

    def _plan(self, source: str, targets: set[str]) -> tuple[_Step, ...]:
        """The nodes between ``source`` and ``targets`` in order, each with what may be forgotten after it."""
        if source not in self.graph.shapes:
            raise ValueError(f"the graph has no value '{source}'")
        needed, chosen = set(targets), []
        for node in reversed(self.graph.nodes):
            if any(value in needed and value != source for value in node.outputs):
                chosen.append(node)
                needed.update(self.graph.live_inputs(node))
        made = {value for node in chosen for value in node.outputs} | {source} | set(self.graph.constants)
        missing = sorted(needed - made)
        if missing:
            raise ValueError(f"'{missing[0]}' is needed for {sorted(targets)} and does not depend on '{source}' alone")
        kept, steps = set(targets), []
        for node in chosen:
            inputs = self.graph.live_inputs(node)
            dropped = tuple(value for value in dict.fromkeys(inputs) if value not in kept)
            kept.update(dropped)
            # An output that nobody reads is forgotten at once.
            unread = tuple(value for value in node.outputs if value and value not in needed)
            steps.append(_Step(node, self._functions[node.name], inputs, (*dropped, *unread)))
        return tuple(reversed(steps))


def _outputs(step: _Step, values: dict[str, Tensor]) -> dict[str, Tensor]:
    result = step.function(*(values[name] for name in step.inputs))
    if isinstance(result, Tensor):
        return {step.node.outputs[0]: result}
    return {name: value for name, value in zip(step.node.outputs, result, strict=True) if name}
