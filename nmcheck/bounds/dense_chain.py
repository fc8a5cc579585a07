"""ECLipsE-Fast: Lipschitz constants of dense layers with activations between them, for every pair of classes at once.

For x -> W_n a(... a(W_1 x)) with activations whose slopes lie in [0, 1]: X_0 = I and, layer after layer,
``G = W X^-1 W'``, ``X = l I - l^2 G / 4`` with ``l = c / lambda_max(G)``; any 0 < c < 4 keeps X positive definite, so
the rounding of lambda_max is harmless. Then |f_c - f_c'| moves by at most

    sqrt((w_c - w_c') X^-1 (w_c - w_c')')

for a change of x by one, w_c being the rows of the last layer (Xu and Sivaranjani 2024). c = 2 is the paper's; here it
is scanned, and every pair keeps its smallest constant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.bounds.affine_run import AffineRun, LayerConstants, affine_run
from nmcheck.bounds.elementwise import SLOPES
from nmcheck.bounds.rounding import ALLOWANCE
from nmcheck.bounds.sliding_window import number
from nmcheck.graph.ir import Graph, Node

_SCALES = (2.0, 2.25, 2.5, 2.75, 3.0)
_WIDEST = 2**11
"""Units of a layer beyond which the matrices are not worth their time: an inverse takes their cube."""
_MOST_ENTRIES = 2**23
"""Of a layer's matrix."""
_MOST_CLASSES = 2**9
_LEAST = 1e-150
"""Distance that rows which differ have at least, the largest weight being near 1: squares below 1e-308 are lost."""
_SMALLEST = 1e-290
"""Constant of a pair that can be told apart."""
_MONOTONE = frozenset({"Relu", "Tanh", "Sigmoid", "Softplus", "Softsign", "Clip", "Atan"})
"""Slopes in [0, 1] whatever the attributes; LeakyRelu, Elu and Celu depend on theirs."""


@dataclass(frozen=True)
class DenseTail:
    """The part of a network from some value to the logits that is dense layers and monotone activations.

    Attributes:
        source: the value it reads.
        runs: its affine stretches, in order.
    """

    source: str
    runs: tuple[AffineRun, ...]


def dense_tail(graph: Graph) -> DenseTail | None:
    """The longest such part with at least one activation in it, or None."""
    runs: list[AffineRun] = []
    value = graph.logits
    while True:
        run = affine_run(graph, value, (graph.input,))
        if not run.nodes or not _small_enough(graph, run):
            break
        runs.append(run)
        node = graph.producers.get(run.source)
        if node is None or not _has_slopes_in_unit_interval(graph, node) or len(graph.consumers[run.source]) > 1:
            break
        value = graph.live_inputs(node)[0]
        if len(graph.consumers[value]) > 1:
            break
    return DenseTail(runs[-1].source, tuple(reversed(runs))) if len(runs) > 1 else None


def _small_enough(graph: Graph, run: AffineRun) -> bool:
    inputs, outputs = (_size(graph, value) for value in (run.source, run.target))
    # The first layer's inputs may be many: no inverse of their size is taken.
    return outputs <= _WIDEST and inputs * outputs <= _MOST_ENTRIES


def _size(graph: Graph, value: str) -> int:
    size = 1
    for length in graph.shapes[value]:
        size *= length
    return size


def _has_slopes_in_unit_interval(graph: Graph, node: Node) -> bool:
    if node.domain or node.op not in SLOPES or len(graph.live_inputs(node)) != 1:
        return False
    if node.op == "LeakyRelu":
        return 0 <= number(node, "alpha", 0.01) <= 1
    if node.op in ("Elu", "Celu"):
        return 0 < number(node, "alpha", 1.0) <= 1 if node.op == "Elu" else number(node, "alpha", 1.0) > 0
    return node.op in _MONOTONE


def pair_constants(
    weights: Sequence[Float[Tensor, "_ _"]],
) -> Float[Tensor, "classes classes"]:
    """How fast each difference of outputs can change with the input, rounding allowance included.

    Args:
        weights: matrices of the layers, between which activations with slopes in [0, 1] stand.
    """
    reduced = [_reduced(weight) for weight in weights]
    # Nothing that depends on the input passes a layer without weights, nor does a pair of equal rows tell it apart.
    apart = torch.cdist(weights[-1], weights[-1], p=math.inf) > 0
    if any(exponent is None for _, exponent in reduced):
        return torch.zeros_like(apart, dtype=weights[-1].dtype)
    logarithm = math.log(2) * sum(exponent for _, exponent in reduced if exponent is not None)
    matrices = [matrix for matrix, _ in reduced]
    found = torch.stack([_at_scale(matrices, scale) for scale in _SCALES]).amin(dim=0)
    # An underflow is rounded up, never down to nothing, and margins divided by it stay numbers.
    moved = (found + logarithm).exp().clamp(min=_SMALLEST)
    return torch.where(apart, moved * (1 + ALLOWANCE), 0)


def _reduced(weight: Float[Tensor, "rows columns"]) -> tuple[Float[Tensor, "rows columns"], int | None]:
    """A matrix divided by a power of two so that its largest entry lies in [1/2, 1), and the exponent; None for 0."""
    largest = float(weight.abs().max())
    if largest == 0:
        return weight, None
    exponent = math.frexp(largest)[1]
    # In two steps: 2 to the power of the exponent may be out of range.
    return weight * 2.0 ** -(exponent // 2) * 2.0 ** -(exponent - exponent // 2), exponent


def _at_scale(weights: Sequence[Tensor], scale: float) -> Float[Tensor, "classes classes"]:
    """Logarithms of the constants for one c.

    The matrices have been divided by powers of two: activations a with slopes in [0, 1] leave slopes in [0, 1] to
    z -> a(t z) / t, so that factors of the layers are factors of the whole. Likewise X is brought to
    ``I - c G / (4 lambda_max)``, whose eigenvalues lie in [1 - c / 4, 1] whatever the weights, and its factor kept.
    """
    *hidden, last = weights
    root: Tensor | None = None
    factor = 0.0
    for weight in hidden:
        half = weight if root is None else torch.linalg.solve_triangular(root, weight.mT, upper=False).mT
        gram = half @ half.mT
        gram = (gram + gram.mT) / 2
        largest = torch.linalg.eigvalsh(gram)[-1]
        root = torch.linalg.cholesky(torch.eye(len(gram), dtype=gram.dtype) - scale / 4 * (gram / largest))
        factor += math.log(float(largest) / scale) / 2
    mapped = last if root is None else torch.linalg.solve_triangular(root, last.mT, upper=False).mT
    distances = torch.cdist(mapped, mapped, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.clamp(min=_LEAST).log() + factor


def tail_constants(constants: LayerConstants, tail: DenseTail) -> Float[Tensor, "classes classes"] | None:
    """The pair constants of a tail; None if it has too many classes or its weights are not finite."""
    matrices = [constants.matrix(run.source, run.target) for run in tail.runs]
    if len(matrices[-1]) > _MOST_CLASSES or not all(bool(torch.isfinite(matrix).all()) for matrix in matrices):
        return None
    found = pair_constants(matrices)
    return found if bool(torch.isfinite(found).all()) else None
