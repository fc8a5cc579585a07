"""Runs of consecutive affine nodes, merged before their norm is taken.

A normalization, scale or shift next to a convolution or a dense layer is folded into its weights, so that a network
gets the same constants whether or not somebody folded it by hand; a run small enough as a whole gets its exact norm.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.bounds.convolution import Convolution
from nmcheck.bounds.convolution_norm import convolution_bound, has_exact_norm
from nmcheck.bounds.dense import dense_bound
from nmcheck.bounds.layers import convolution_operator, dense_operator, is_affine, node_bound, normalization_factors
from nmcheck.bounds.norm_bound import NormBound
from nmcheck.bounds.rounding import ALLOWANCE
from nmcheck.bounds.softmax_margin import pair_distances
from nmcheck.bounds.structure import PASS_THROUGH, SCALES, SHIFTS, repetition, scale_factors
from nmcheck.errors import UnsupportedError
from nmcheck.execute.program import Program
from nmcheck.graph.ir import Graph, Node

_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "Mul", "Div"})
_PRODUCT_ROUNDING = 1e-12
"""Relative to the product of the layers' norms: above the rounding of a product of matrices of thousands of columns."""

_FLOAT64 = 8
_LARGEST_MATRIX = 2 * 2**30
"""Bytes of the matrix from the last affine stretch's input to the logits."""
_MOST_CLASSES = 2**13
"""More have more pairs than are looked at one by one: half a gigabyte of distances."""
_CHUNK_ENTRIES = 2**22
"""Entries of a Jacobian computed at a time."""


@dataclass(frozen=True)
class AffineRun:
    """Affine nodes, each reading the one before.

    Attributes:
        source: the value the first node reads.
        target: the value the last node writes.
        nodes: the nodes; none if source and target are the same value.
    """

    source: str
    target: str
    nodes: tuple[Node, ...]


def affine_run(graph: Graph, target: str, stops: Collection[str]) -> AffineRun:
    """The longest run that ends in ``target`` and starts no earlier than at a value of ``stops``."""
    nodes: list[Node] = []
    value = target
    while value not in stops and value in graph.producers:
        node = graph.producers[value]
        if not is_affine(graph, node):
            break
        nodes.append(node)
        value = graph.live_inputs(node)[0]
    return AffineRun(value, target, tuple(reversed(nodes)))


def affine_matrix(program: Program, source: str, target: str) -> Float[Tensor, "outputs inputs"]:
    """The matrix of an affine stretch of the network, by its derivative at zero, on flattened values."""
    shapes = program.graph.shapes
    function = program.function(source, target)
    origin = torch.zeros(shapes[source], dtype=torch.float64)
    inputs, outputs = math.prod(shapes[source]), math.prod(shapes[target])
    if source == target:
        return torch.eye(inputs, dtype=torch.float64)
    rows = max(1, _CHUNK_ENTRIES // max(inputs, outputs))
    if outputs <= inputs:
        pull = torch.func.vjp(function, origin)[1]
        seeds = torch.eye(outputs, dtype=torch.float64).reshape(outputs, *shapes[target]).split(rows)
        return torch.cat([torch.func.vmap(pull)(chunk)[0].reshape(len(chunk), inputs) for chunk in seeds])

    def push(direction: Tensor) -> Tensor:
        return torch.func.jvp(function, (origin,), (direction,))[1]

    seeds = torch.eye(inputs, dtype=torch.float64).reshape(inputs, *shapes[source]).split(rows)
    return torch.cat([torch.func.vmap(push)(chunk).reshape(len(chunk), outputs) for chunk in seeds]).mT


@dataclass
class LayerConstants:
    """The constants of one network, each computed once, when first asked for.

    Attributes:
        graph: the network.
        program: the same network as torch functions, in float64.
    """

    graph: Graph
    program: Program
    _runs: dict[tuple[str, str], NormBound] = field(default_factory=dict)
    _nodes: dict[str, NormBound] = field(default_factory=dict)
    _matrices: dict[tuple[str, str], Tensor] = field(default_factory=dict)
    _distances: dict[str, Tensor] = field(default_factory=dict)

    def node(self, node: Node) -> NormBound:
        """The constant of one node by itself.

        Raises:
            UnsupportedError: none is known; the message names the node.
        """
        if node.name not in self._nodes:
            if is_affine(self.graph, node):
                run = AffineRun(self.graph.live_inputs(node)[0], node.outputs[0], (node,))
                self._nodes[node.name] = self.run(run)
            else:
                self._nodes[node.name] = _finite(node_bound(self.graph, self.program, node), node.name)
        return self._nodes[node.name]

    def run(self, run: AffineRun) -> NormBound:
        """The constant of a run: its exact norm if small, else the product of the norms of its merged blocks.

        Raises:
            UnsupportedError: the weights have none that is finite; the message names the nodes.
        """
        key = (run.source, run.target)
        if key not in self._runs:
            self._runs[key] = _finite(self._compute(run), ", ".join(node.name for node in run.nodes))
        return self._runs[key]

    def matrix(self, source: str, target: str) -> Float[Tensor, "outputs inputs"]:
        """The matrix of an affine stretch between two values."""
        if (source, target) not in self._matrices:
            self._matrices[source, target] = affine_matrix(self.program, source, target)
        return self._matrices[source, target]

    def logit_distances(self, source: str, changed: tuple[str, ...] | None = None) -> Float[Tensor, "classes classes"]:
        """||a_c - a_c'||: how fast a difference of logits changes with the value that the last affine stretch reads.

        At the logits themselves it is sqrt(2) for every pair. Between equal logits it is 0.

        Args:
            source: that value.
            changed: the values whose change is looked at; the source itself if not given.
        """
        distances = self._logit_distances(source)
        equal = self.program.equal
        if not equal.holds_for(changed or (source,)):
            return distances
        first = torch.from_numpy(equal.first)
        return distances.masked_fill(first == first.unsqueeze(1), 0)

    def _logit_distances(self, source: str) -> Tensor:
        if source not in self._distances:
            self._check_sizes(source)
            distances = self._pair_distances(source)
            _finite(NormBound(distances.max().item(), "distances"), f"what stands between {source} and the logits")
            self._distances[source] = distances * (1 + ALLOWANCE) + self._cancellation(source)
        return self._distances[source]

    def _pair_distances(self, source: str) -> Tensor:
        if source != self.graph.logits:
            return pair_distances(self.matrix(source, self.graph.logits))
        # The rows are those of the identity; comparing them pair by pair takes classes^3 operations.
        classes = math.prod(self.graph.shapes[source])
        return math.sqrt(2.0) * (1 - torch.eye(classes, dtype=torch.float64))

    def _check_sizes(self, source: str) -> None:
        """Refuse matrices over the logits that would not fit in memory."""
        shapes = self.graph.shapes
        classes, inputs = math.prod(shapes[self.graph.logits]), math.prod(shapes[source])
        if classes > _MOST_CLASSES or _FLOAT64 * classes * inputs > _LARGEST_MATRIX:
            raise UnsupportedError(
                f"The network has {classes:,} logits, and the distances between them, and from them to the {inputs:,} "
                "elements they are computed from, do not fit in memory."
            )

    def _cancellation(self, source: str) -> Tensor:
        """What rounding may have hidden in a difference of rows, where the rows are a product of several weights."""
        nodes = affine_run(self.graph, self.graph.logits, (source,)).nodes
        classes = math.prod(self.graph.shapes[self.graph.logits])
        if sum(node.op in _WEIGHTED for node in nodes) < 2:
            return torch.zeros((classes, classes), dtype=torch.float64)
        size = math.prod(self.node(node).value for node in nodes)
        return _PRODUCT_ROUNDING * size * (1 - torch.eye(classes, dtype=torch.float64))

    def _compute(self, run: AffineRun) -> NormBound:
        if not run.nodes:
            return NormBound(1.0, "identity")
        passed: list[tuple[Node, float]] = []
        while len(run.nodes) > 1 and (run.source, run.target) not in self._runs:
            factor = _uniform_factor(self.graph, run.nodes[0])
            if factor is None:
                break
            # What multiplies everything by one number needs no second look at the rest.
            passed.append((run.nodes[0], factor))
            run = AffineRun(run.nodes[0].outputs[0], run.target, run.nodes[1:])
        if passed:
            bound = self.run(run)
            for node, factor in reversed(passed):
                bound = _finite(NormBound(bound.value * factor, bound.method), node.name)
                self._runs[self.graph.live_inputs(node)[0], run.target] = bound
            return bound
        blocks = [_block_bound(self, block) for block in _blocks(self.graph, run.nodes)]
        if not blocks:
            return NormBound(1.0, "exact")
        product = math.prod(block.value for block in blocks)
        if all(block.value > 0 for block in blocks):
            # An underflow would turn a small constant into none at all.
            product = max(product, sys.float_info.min)
        bound = NormBound(product, " x ".join(block.method for block in blocks))
        shapes = self.graph.shapes
        if len(blocks) > 1 and has_exact_norm(math.prod(shapes[run.source]), math.prod(shapes[run.target])):
            exact = dense_bound(self.matrix(run.source, run.target))
            bound = min(bound, exact, key=lambda candidate: candidate.value)
        return bound


def _finite(bound: NormBound, names: str) -> NormBound:
    if not math.isfinite(bound.value):
        raise UnsupportedError(f"{names}: the weights are not finite or so large that no constant comes out.")
    return bound


_Block = Convolution | Tensor | Node


def _uniform_factor(graph: Graph, node: Node) -> float | None:
    """The one number a node multiplies everything with, up to moving elements about; None for other nodes."""
    if node.op in PASS_THROUGH | {"Cast", "Neg", "Transpose"}:
        return 1.0
    value = graph.live_inputs(node)[0]
    if node.op in SHIFTS | SCALES and repetition(graph, node, value) == 1:
        if node.op in SHIFTS:
            return 1.0
        factors = scale_factors(graph, node)
        if factors is not None and factors.size and np.all(factors == factors.flat[0]):
            return abs(float(factors.flat[0]))
    return None


def _channel_scale(graph: Graph, node: Node, axis: int) -> Tensor | None:
    """Factors a channel of a normalization or scale whose channels lie along ``axis``; None for other nodes."""
    shape = graph.shapes[graph.live_inputs(node)[0]]
    moved = len(graph.shapes[node.outputs[0]]) != len(shape)
    if node.op == "BatchNormalization":
        return normalization_factors(graph, node) if axis % len(shape) == 1 and not moved else None
    if moved or node.op not in SCALES | SHIFTS or repetition(graph, node, graph.live_inputs(node)[0]) != 1:
        return None
    channels = shape[axis]
    if node.op in SHIFTS:
        return torch.ones(channels, dtype=torch.float64)
    factors = scale_factors(graph, node)
    if factors is None:
        return None
    aligned = factors.reshape((1,) * (len(shape) - factors.ndim) + factors.shape)
    along = aligned.shape[axis]
    if aligned.size != along:
        return None
    return torch.from_numpy(np.broadcast_to(aligned.reshape(along), (channels,)).copy())


def _blocks(graph: Graph, nodes: Sequence[Node]) -> Iterator[_Block]:
    """The run's nodes with scales and normalizations merged into the convolution or dense layer next to them.

    A scale between two such layers goes to the one before it.
    """
    remaining = [node for node in nodes if node.op not in ("Identity", "Dropout")]
    while remaining:
        length, block = _merged(graph, remaining)
        if block is not None:
            yield block
        remaining = remaining[length:]


def _merged(graph: Graph, nodes: Sequence[Node]) -> tuple[int, _Block | None]:
    """The block at the head of ``nodes`` and how many nodes it takes; None for nodes that change no distance."""
    head = nodes[0]
    core = next((k for k, node in enumerate(nodes) if node.op in ("Conv", "ConvTranspose", "Gemm", "MatMul")), None)
    found = None if core is None else _operator(graph, nodes[core])
    if core is not None and found is not None:
        operator, axis_in, axis_out = found
        before = [_channel_scale(graph, node, axis_in) for node in nodes[:core]]
        if all(scale is not None for scale in before):
            last = core + 1
            after: list[Tensor] = []
            while last < len(nodes) and (scale := _channel_scale(graph, nodes[last], axis_out)) is not None:
                after.append(scale)
                last += 1
            return last, _scaled(operator, _product(before), _product(after))
    if head.op in PASS_THROUGH or _uniform_factor(graph, head) == 1.0:
        return 1, None
    return 1, head


def _operator(graph: Graph, node: Node) -> tuple[Convolution | Tensor, int, int] | None:
    """The operator, and the axes of what it reads and writes that it acts along."""
    if node.op.startswith("Conv"):
        return convolution_operator(graph, node), 1, 1
    dense = dense_operator(graph, node)
    return None if dense is None else (dense.matrix, dense.axis_in, dense.axis_out)


def _product(scales: Sequence[Tensor | None]) -> Tensor | None:
    present = [scale for scale in scales if scale is not None]
    return torch.stack(present).prod(dim=0) if present else None


def _scaled(operator: Convolution | Tensor, before: Tensor | None, after: Tensor | None) -> Convolution | Tensor:
    if isinstance(operator, Convolution):
        return operator.scaled(before, after)
    if before is not None:
        operator = operator * before
    return operator if after is None else operator * after.unsqueeze(1)


def _block_bound(constants: LayerConstants, block: _Block) -> NormBound:
    if isinstance(block, Convolution):
        return convolution_bound(block)
    if isinstance(block, Tensor):
        return dense_bound(block)
    return node_bound(constants.graph, constants.program, block)
