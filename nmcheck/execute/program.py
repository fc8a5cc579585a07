"""A graph, or any part of it, as a torch function that ``torch.func`` can differentiate and batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.errors import ModelError, NmcheckError, UnsupportedError
from nmcheck.execute.chunks import images_at_once
from nmcheck.execute.operands import Function, Operands
from nmcheck.execute.table import row_for
from nmcheck.graph.equal_logits import equal_logits
from nmcheck.graph.ir import Graph, Node


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
    length 1; batches are made by ``torch.func.vmap``. Logits that are the same function of what is given have the same
    value, that of their first class, however a kernel rounds them by their places.

    Args:
        graph: the network.
        dtype: floating-point type of weights and values.
        device: torch's name of the device.

    Attributes:
        equal: the equal logits of the graph.

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
        self._chunk = images_at_once(graph)
        self._check()
        self.equal = equal_logits(graph)

    @property
    def never(self) -> tuple[int, ...]:
        """The classes that are never predicted: masked ones, and those of which another before them is always equal."""
        return tuple(sorted({*self.graph.masked, *self.equal.never}))

    def function(self, source: str, target: str) -> Callable[[Tensor], Tensor]:
        """The part of the network between two values, for a single sample.

        Args:
            source: name of the value that is given, of shape ``graph.shapes[source]``.
            target: name of the value wanted, of shape ``graph.shapes[target]``.

        Raises:
            ValueError: the graph has no such value, or ``target`` depends on the input past ``source`` too.
        """
        return self.function_of((source,), target)

    def function_of(self, sources: Sequence[str], target: str) -> Callable[..., Tensor]:
        """A value as a function of several others, for a single sample.

        Each source is taken as given, even where it could be computed from another.

        Args:
            sources: names of the values that are given, in the order of the function's arguments.
            target: name of the value wanted, of shape ``graph.shapes[target]``.

        Raises:
            ValueError: the graph has no such value, or ``target`` depends on the input past the sources too.
        """
        run = self._runner(tuple(sources), (target,))
        return lambda *given: run(*given)[0]

    def node_function(self, node: Node) -> Function:
        """One node as a function of its live inputs, in their order, for a single sample."""
        return self._functions[node.name]

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
        run = self._runner((self.graph.input,), targets)
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
        values = {
            self.graph.input: torch.zeros(self.graph.shapes[self.graph.input], dtype=self.dtype, device=self.device)
        }
        for step in self._plan((self.graph.input,), {self.graph.output}):
            try:
                results = _outputs(step, values)
            except (RuntimeError, ValueError, IndexError, TypeError) as error:
                raise self._misfit(step.node, error) from error
            for name, value in results.items():
                if tuple(value.shape) != self.graph.shapes[name]:
                    reason = f"it makes shape {list(value.shape)} where {list(self.graph.shapes[name])} was expected"
                    raise self._misfit(step.node, reason)
            self._check_outputs(step.node, results)
            values |= results
            for name in step.dropped:
                values.pop(name, None)

    def _check_outputs(self, node: Node, results: Mapping[str, Tensor]) -> None:
        """Refuse a graph that reads an output the row does not compute, such as the indices of a MaxPool."""
        wanted = {self.graph.output, self.graph.logits, *self.graph.consumers}
        for name in node.outputs:
            if name in wanted and name not in results:
                raise UnsupportedError(
                    f"{self.graph.model.path}: node '{node.name}' ({node.op}): its output '{name}' is used, which "
                    "nmcheck does not compute; export the model without it."
                )

    def _runner(self, sources: tuple[str, ...], targets: tuple[str, ...]) -> Callable[..., tuple[Tensor, ...]]:
        steps = self._plan(sources, set(targets))
        fixed = {
            name: torch.from_numpy(np.array(self.graph.constants[name])).to(self.device, self.dtype)
            for name in targets
            if name in self.graph.constants
        }
        first = None
        if self.graph.logits in targets and self.equal.holds_for(sources):
            first = torch.from_numpy(self.equal.first).to(self.device)

        def run(*given: Tensor) -> tuple[Tensor, ...]:
            values = {**dict(zip(sources, given, strict=True)), **fixed}
            for step in steps:
                # A node with several outputs may compute a source beside what it is run for; the given value stands.
                values |= {name: value for name, value in _outputs(step, values).items() if name not in sources}
                for name in step.dropped:
                    values.pop(name, None)
            if first is not None:
                logits = values[self.graph.logits]
                values[self.graph.logits] = logits.flatten()[first].reshape(logits.shape)
            return tuple(values[target] for target in targets)

        return run

    def _plan(self, sources: tuple[str, ...], targets: set[str]) -> tuple[_Step, ...]:
        """The nodes between ``sources`` and ``targets`` in order, each with what may be forgotten after it."""
        unknown = [source for source in sources if source not in self.graph.shapes]
        if unknown:
            raise ValueError(f"the graph has no value '{unknown[0]}'")
        needed, chosen = set(targets), []
        for node in reversed(self.graph.nodes):
            if any(value in needed and value not in sources for value in node.outputs):
                chosen.append(node)
                needed.update(self.graph.live_inputs(node))
        made = {value for node in chosen for value in node.outputs} | set(sources) | set(self.graph.constants)
        missing = sorted(needed - made)
        if missing:
            raise ValueError(
                f"'{missing[0]}' is needed for {sorted(targets)} and does not depend on {', '.join(sources)} alone"
            )
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
