"""Algorithm 5.1: the thesis's formulas composed backwards over a chain of layers, from the logits to the input.

The perceptron at the end comes first: kappa at its last layer by Theorem 3.6, at a hidden layer's input by Theorem 4.2
for the layers from there on (section 5.4: kappa_6, kappa_5). Convolutions, pooling and normalizations follow, each by
its theorem; a ReLU between them is part of Theorem 5.1, whose proof lets it pass kappa on. The scaling of the input
that nmcheck put in front of the model only changes units. Where the thesis has no formula, everything in front has no
value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.bounds.affine_run import LayerConstants
from nmcheck.bounds.layers import lrn_of, weights_of
from nmcheck.bounds.published import theorem_3_6, theorem_4_2, theorem_5_1, theorem_5_3, theorem_5_6, theorem_5_9
from nmcheck.bounds.published.layer_statement import LayerStatement
from nmcheck.bounds.sliding_window import SlidingWindow, integers, number, window_of
from nmcheck.bounds.structure import PASS_THROUGH, constant_operand, repetition
from nmcheck.graph.ir import Graph, Node

_PASSES = PASS_THROUGH | {"Transpose", "Cast"}
_NO_CHANGE = LayerStatement(True, "The layer moves no distance: kappa passes unchanged.")
_RELU = LayerStatement(True, "Theorem 5.1 covers the ReLU behind a convolution: it enlarges no change.")
_UNITS = LayerStatement(True, "The scaling of the input changes units only; it is no part of the thesis.")
_NO_FORMULA = "The thesis has no formula for this layer."


@dataclass(frozen=True)
class PublishedLayer:
    """What the thesis says of one layer.

    Attributes:
        kappa: robustness at the layer's input for every image, or None.
        reason: why there is none.
        sound: whether the formula is a valid bound for this layer.
        chain_sound: whether it is for this layer and all behind it.
        statement: why, one sentence.
    """

    kappa: Float[Tensor, " images"] | None
    reason: str | None
    sound: bool
    chain_sound: bool
    statement: str


@dataclass(frozen=True)
class PublishedRadii:
    """What the thesis says of a network.

    Attributes:
        layers: by node name; every node of the graph is there.
        radius: kappa at the network's input, or None.
        radius_reason: why there is none.
        radius_sound: whether every formula on the way is valid.
    """

    layers: Mapping[str, PublishedLayer]
    radius: Float[Tensor, " images"] | None
    radius_reason: str | None
    radius_sound: bool


@dataclass(frozen=True)
class _HiddenLayer:
    """A dense layer and its activation: the name of the value between them, and the activation's operator."""

    pre_activation: str
    activation: str


class _NoFormulaError(Exception):
    """The thesis stops here; the message is the reason."""


def algorithm_5_1(
    constants: LayerConstants, inputs: Float[Tensor, "images *sample"], logits: Float[Tensor, "images classes"]
) -> PublishedRadii:
    """Kappa of every layer and the radius of every image.

    Args:
        constants: the network and its matrices.
        inputs: the images.
        logits: the network's logits for them.
    """
    return _Backward(constants, inputs, logits).run()


class _Backward:
    """The pass from the logits to the input; ``kappa`` and ``sound`` are those of the value reached so far."""

    def __init__(self, constants: LayerConstants, inputs: Tensor, logits: Tensor) -> None:
        self.graph = graph = constants.graph
        self.constants = constants
        self.logits = logits
        self.layers: dict[str, PublishedLayer] = {}
        self.sound = True
        self.chain, self.end_of_chain = _chain(graph)
        names = [node.inputs[0] for node in self.chain if node.op in ("BatchNormalization", "LRN")]
        names += [node.inputs[0] for node in self.chain if node.op in theorem_4_2.TABLE_4_1]
        unique = list(dict.fromkeys(names))
        self.activations = constants.program.activations(inputs, unique) if unique else {}

    def run(self) -> PublishedRadii:
        reason: str | None = self.end_of_chain
        kappa: Tensor | None = None
        try:
            kappa, position = self._perceptron()
            for node in self.chain[position:]:
                passed, verdict = self._layer(node, kappa)
                # What no change can reach stays out of reach.
                kappa = torch.where(torch.isinf(kappa), kappa, passed)
                self._record(node, kappa, verdict)
        except _NoFormulaError as stop:
            reason, kappa = str(stop), None
        if reason is not None:
            kappa = None
        for node in self.graph.nodes:
            if node.name not in self.layers:
                statement = LayerStatement(False, _NO_FORMULA)
                self.layers[node.name] = PublishedLayer(None, reason, statement.sound, False, statement.statement)
        return PublishedRadii(self.layers, kappa, reason, self.sound and kappa is not None)

    def _record(self, node: Node, kappa: Tensor | None, verdict: LayerStatement, reason: str | None = None) -> None:
        self.sound = self.sound and verdict.sound
        self.layers[node.name] = PublishedLayer(kappa, reason, verdict.sound, self.sound, verdict.statement)

    def _perceptron(self) -> tuple[Tensor, int]:
        """Theorems 3.6 and 4.2; returns kappa at the perceptron's input and the position in the chain behind it."""
        if not torch.isfinite(self.logits).all():
            raise _NoFormulaError("The network's logits are not finite at every image.")
        position, last_input = self._dense_layer(0)
        if last_input is None:
            if self.end_of_chain is not None and position == len(self.chain):
                raise _NoFormulaError(self.end_of_chain)
            raise _NoFormulaError(
                "The thesis starts from a linear last layer (Theorem 3.6), but the network ends in "
                f"{self.chain[0].name if self.chain else 'its input'}."
            )
        for node in self.chain[:position]:
            self._record(node, self._linear(self.graph.live_inputs(node)[0]), theorem_3_6.STATEMENT)
        delta = self._linear(last_input)
        hidden: list[_HiddenLayer] = []
        weights: list[Tensor] = []
        kappa = delta
        while True:
            start = self._skip_passes(position)
            if start == len(self.chain) or self.chain[start].op not in theorem_4_2.TABLE_4_1:
                break
            activation = self.chain[start]
            after_dense, source = self._dense_layer(start + 1)
            if source is None:
                break
            hidden.insert(0, _HiddenLayer(activation.inputs[0], activation.op))
            weights.insert(0, self.constants.matrix(source, activation.inputs[0]))
            kappa = self._theorem_4_2(hidden, weights, delta)
            verdict = theorem_4_2.statement([layer.activation for layer in hidden])
            for node in self.chain[position:start]:
                self._record(node, None, verdict, "Theorem 4.2 has no value inside a hidden layer.")
            self._record(
                activation, None, verdict, "Theorem 4.2 treats the activation with the dense layer in front of it."
            )
            for node in self.chain[start + 1 : after_dense - 1]:
                self._record(node, None, verdict, "Theorem 4.2 treats the bias with the product in front of it.")
            self._record(self.chain[after_dense - 1], kappa, verdict)
            position = after_dense
        return kappa, position

    def _linear(self, source: str) -> Tensor:
        """Theorem 3.6 for the linear classifier that reads ``source``."""
        rows = self.constants.matrix(source, self.graph.logits)
        return theorem_3_6.theorem_3_6(self.logits, rows, self.graph.masked)

    def _skip_passes(self, position: int) -> int:
        while position < len(self.chain) and self.chain[position].op in _PASSES:
            position += 1
        return position

    def _dense_layer(self, position: int) -> tuple[int, str | None]:
        """The dense layer that ends at ``position`` of the chain: the position past it, and the value it reads.

        That value is None if no dense layer ends there; reshapes and biases behind the product belong to the layer.
        """
        while position < len(self.chain):
            node = self.chain[position]
            if node.op in ("Gemm", "MatMul"):
                return position + 1, self.graph.live_inputs(node)[0]
            if node.op not in _PASSES and not _is_bias(self.graph, node):
                break
            position += 1
        return position, None

    def _theorem_4_2(self, hidden: list[_HiddenLayer], weights: list[Tensor], delta: Tensor) -> Tensor:
        second = theorem_4_2.algorithm_4_1(weights, [layer.activation for layer in hidden])
        images = len(delta)
        slopes = [
            theorem_4_2.slopes(layer.activation, self.activations[layer.pre_activation].reshape(images, -1))
            for layer in hidden
        ]
        norms = [theorem_4_2.jacobian_norm(weights, [slope[image] for slope in slopes]) for image in range(images)]
        return theorem_4_2.theorem_4_2(torch.tensor(norms, dtype=torch.float64), second, len(weights[-1]), delta)

    def _layer(self, node: Node, kappa: Tensor) -> tuple[Tensor, LayerStatement]:
        """Kappa at the layer's input from kappa at its output."""
        graph = self.graph
        if node.op in _PASSES or _is_bias(graph, node):
            return kappa, _NO_CHANGE
        if node.op == "Relu":
            return kappa, _RELU
        if node.index < 0 and node.op == "Mul":
            return kappa / abs(constant_operand(graph, node)).max().item(), _UNITS
        if node.op == "Conv" and node.inputs[1] in graph.constants:
            weight = weights_of(graph, node, 1)
            verdict = theorem_5_1.statement(self._window(node, tuple(weight.shape[2:])))
            return theorem_5_1.theorem_5_1(kappa, weight), verdict
        if "Pool" in node.op:
            return self._pooling(node, kappa)
        return self._normalization(node, kappa)

    def _window(self, node: Node, kernel: tuple[int, ...]) -> SlidingWindow:
        shapes = self.graph.shapes
        return window_of(node, shapes[node.inputs[0]][2:], shapes[node.outputs[0]][2:], kernel)

    def _pooling(self, node: Node, kappa: Tensor) -> tuple[Tensor, LayerStatement]:
        if node.op in ("GlobalMaxPool", "GlobalAveragePool"):
            return theorem_5_3.theorem_5_3(kappa, 1), theorem_5_3.STATEMENT
        if node.op not in ("MaxPool", "AveragePool", "LpPool"):
            raise _NoFormulaError(_no_formula(node))
        window = self._window(node, integers(node, "kernel_shape", ()))
        windows = theorem_5_3.window_count(window)
        if node.op != "LpPool":
            return theorem_5_3.theorem_5_3(kappa, windows), theorem_5_3.STATEMENT
        p = number(node, "p", 2)
        verdict = theorem_5_3.STATEMENT if p >= 1 else theorem_5_3.STATEMENT_BELOW_ONE
        return theorem_5_3.theorem_5_3_lp(kappa, windows, math.prod(window.kernel), p), verdict

    def _normalization(self, node: Node, kappa: Tensor) -> tuple[Tensor, LayerStatement]:
        if node.op == "BatchNormalization":
            return self._batch_normalization(node, kappa), theorem_5_6.STATEMENT
        if node.op == "LRN":
            # The batch axis of length one becomes a pixel axis.
            x = self.activations[node.inputs[0]].transpose(1, 2)
            try:
                layer = lrn_of(node)
            except ValueError as error:
                raise _NoFormulaError(f"{node.name} (LRN): {error}") from error
            return theorem_5_9.theorem_5_9(kappa, layer, x), theorem_5_9.STATEMENT
        raise _NoFormulaError(_no_formula(node))

    def _batch_normalization(self, node: Node, kappa: Tensor) -> Tensor:
        x = self.activations[node.inputs[0]]
        shape = (1, -1, *[1] * (len(self.graph.shapes[node.inputs[0]]) - 2))

        def per_component(values: Tensor) -> Tensor:
            return values.reshape(shape).expand(self.graph.shapes[node.inputs[0]]).flatten()

        scale, shift, mean, variance = (weights_of(self.graph, node, position) for position in (1, 2, 3, 4))
        layer = theorem_5_6.NormalizedComponents(
            per_component(scale),
            per_component(shift),
            per_component(mean),
            per_component(variance + number(node, "epsilon", 1e-5)),
        )
        return theorem_5_6.theorem_5_6(kappa, x.flatten(1), layer)


def _chain(graph: Graph) -> tuple[list[Node], str | None]:
    """The nodes from the logits backwards, while each reads one value that nothing else reads; why it ends early."""
    chain: list[Node] = []
    value = graph.logits
    while value != graph.input:
        if value not in graph.producers:
            return chain, "The logits are constant, so no change of the input moves them."
        node = graph.producers[value]
        live = graph.live_inputs(node)
        if len(live) != 1:
            return chain, _no_formula(node)
        chain.append(node)
        value = live[0]
    return chain, None


def _no_formula(node: Node) -> str:
    return f"The thesis has no formula for {node.name} ({node.op}), which stands here or further towards the logits."


def _is_bias(graph: Graph, node: Node) -> bool:
    """Whether a node adds a constant, as the second half of a dense or convolutional layer or the input's shift.

    Or puts constants in the place of elements, as a mask does.
    """
    live = graph.live_inputs(node)
    picks = node.op == "Where" and node.inputs[0] in graph.constants
    return (node.op in ("Add", "Sub") or picks) and len(live) == 1 and repetition(graph, node, live[0]) == 1
