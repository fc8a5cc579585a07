"""Two-stage linearization of a network at one of its ReLUs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.affine import AffineMap, AffineReluAffine
from nmcheck.errors import UsageError
from nmcheck.execute.program import Program
from nmcheck.execute.table import Kind, row_for
from nmcheck.graph.between import nodes_between
from nmcheck.graph.cuts import relu_cuts, relu_skips
from nmcheck.graph.decomposable import with_relu_at
from nmcheck.graph.ir import Graph, Node
from nmcheck.linearize.budget import budget_refusal
from nmcheck.linearize.jacobian import mean_jacobian


class TwoStageLinearizer:
    """Taylor's first order in front of a ReLU and behind it, with the ReLU itself kept.

    The network is R(x) = G(x, relu(a(x))), where G is the rest with the ReLU's output h as a second input. At a point
    x0, with z0 = a(x0) and h0 = relu(z0): ``A = da/dx (x0)``, ``c1 = z0 - A x0``, ``B = dG/dh (x0, h0)``,
    ``C = dG/dx (x0, h0)``, ``c2 = R(x0) - B h0 - C x0``, so that R(x) ~ B relu(A x + c1) + C x + c2, with equality at
    x0. At a ReLU that every path crosses, a cut, G does not depend on x, and there is no C (extension paper, section
    3.3); at any other, a skip, C x stands for the paths that pass it by.

    Where the part before the ReLU is affine, A and c1 are the same at every point and are computed once; likewise B, C
    and c2 where G is affine in both its inputs together.

    Args:
        program: the network, in the precision the linearization is wanted in.
        relu: a ReLU of its graph that the logits depend on (``graph.cuts``).
        holds_matrices: whether A and its Gram matrix will be held in memory, and must fit.

    Attributes:
        before: a, from the input to the ReLU's.
        behind: G, of x and h at a skip, of h alone at a cut.
        is_skip: whether some paths pass the ReLU by.
        inner_is_constant: whether a is affine.
        outer_is_constant: whether G is.

    Raises:
        UsageError: the matrices would not fit in memory.
        ValueError: the node is no ReLU, or the logits do not depend on it.
    """

    depends_on_noise: ClassVar[bool] = False

    def __init__(self, program: Program, relu: Node, *, holds_matrices: bool = True) -> None:
        graph = program.graph
        self.is_skip = relu in relu_skips(graph)
        if not self.is_skip and relu not in relu_cuts(graph):
            raise ValueError(f"'{relu.name}' ({relu.op}) is no ReLU that the logits depend on")
        refusal = budget_refusal(graph, relu) if holds_matrices else None
        if refusal is not None:
            raise UsageError(f"The network cannot be linearized at this ReLU: {refusal}; take a later one.")
        self.program = program
        self.relu = relu
        self.before = program.function(graph.input, relu.inputs[0])
        behind = (graph.input, relu.outputs[0]) if self.is_skip else (relu.outputs[0],)
        self.behind = program.function_of(behind, graph.logits)
        self.inner_is_constant = is_affine_between(graph, graph.input, relu.inputs[0])
        self.outer_is_constant = is_affine_between(graph, relu.outputs[0], graph.logits)
        self._inner: AffineMap | None = None
        self._outer: tuple[AffineMap, Tensor | None] | None = None

    def at(self, point: Tensor, draws: Tensor | None = None) -> AffineReluAffine:
        """The model at a point (``Linearizer``); it is the same whatever the noise, so that ``draws`` are not read."""
        outer, skip = self.outer_at(point)
        return AffineReluAffine(inner=self.inner_at(point), outer=outer, skip=skip)

    def inner_at(self, point: Tensor) -> AffineMap:
        """A and c1."""
        if not self.inner_is_constant:
            return self.inner_over([point])
        if self._inner is None:
            self._inner = self.inner_over([point])
        return self._inner

    def inner_over(self, points: Sequence[Tensor]) -> AffineMap:
        """A and c1, averaged over points."""
        return AffineMap(*_affine_model(self.before, [(point,) for point in points]))

    def outer_at(self, point: Tensor) -> tuple[AffineMap, Tensor | None]:
        """B with c2, and C."""
        if self._outer is None or not self.outer_is_constant:
            self._outer = self.outer_over([point])
        return self._outer

    def outer_over(self, points: Sequence[Tensor]) -> tuple[AffineMap, Tensor | None]:
        """B with c2, and C, averaged over points: one vector-Jacobian product of G a logit and point gives all."""
        weight, bias = _affine_model(self.behind, self._arguments(points))
        if not self.is_skip:
            return AffineMap(weight, bias), None
        skip, weight = weight.tensor_split((points[0].numel(),), dim=1)
        return AffineMap(weight, bias), skip

    def outputs(
        self, point: Tensor, draws: Tensor | None, inputs: Float[Tensor, "batch *shape"]
    ) -> Float[Tensor, "batch d"]:
        """The model's logits at other inputs, without its matrices; ``draws`` are not read."""
        return self.outputs_over([point], inputs)

    def outputs_over(self, points: Sequence[Tensor], inputs: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch d"]:
        """Logits at other inputs of the model that is averaged over points."""
        h = torch.relu(_affine_outputs(self.before, [(point,) for point in points], (inputs,)))
        arguments = (inputs, h) if self.is_skip else (h,)
        return _affine_outputs(self.behind, self._arguments(points), arguments).flatten(1)

    def values_at(self, x: Tensor) -> tuple[Float[Tensor, " p"], Float[Tensor, " d"]]:
        """a(x) and R(x), the network's own."""
        units = self.before(x)
        h = torch.relu(units)
        return units.flatten(), (self.behind(x, h) if self.is_skip else self.behind(h)).flatten()

    def units_over(self, points: Sequence[Tensor], x: Tensor) -> Float[Tensor, " p"]:
        """A x + c1 at an input, of the model that is averaged over points, without A: one pass a point."""
        step = x - torch.stack(list(points)).mean(dim=0)
        moved = [torch.func.jvp(self.before, (point,), (step,)) for point in points]
        return torch.stack([value + change for value, change, *_ in moved]).mean(dim=0).flatten()

    def _arguments(self, points: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
        """G's, at points."""
        units = [torch.relu(self.before(point)) for point in points]
        return list(zip(points, units, strict=True)) if self.is_skip else [(h,) for h in units]


def two_stage_at(program: Program, node: Node, *, holds_matrices: bool = True) -> TwoStageLinearizer:
    """The linearizer at a ReLU or ReLU-decomposable activation, whose ReLU is written out (``graph.decomposable``).

    Args:
        program: the network, in the precision the linearization is wanted in.
        node: one of its cut points (``graph.cuts``).
        holds_matrices: whether the matrices will be held in memory, and must fit.

    Raises:
        UsageError: the matrices would not fit in memory.
        ValueError: the node is neither a ReLU nor ReLU-decomposable, or the logits do not depend on it.
    """
    graph, relu = with_relu_at(program.graph, node)
    if graph is not program.graph:
        program = Program(graph, program.dtype, program.device)
    return TwoStageLinearizer(program, relu, holds_matrices=holds_matrices)


def _affine_model(function: Callable[..., Tensor], points: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, Tensor]:
    """W and b of the affine model W u + b of a function, u its flattened arguments one behind the other.

    W is the Jacobian averaged over the points, and b lets the means over the points agree. For one point that is
    Taylor's first order.
    """
    sizes, shapes = [part.numel() for part in points[0]], [part.shape for part in points[0]]
    flat = [torch.cat([part.flatten() for part in point]) for point in points]

    def of_flat(u: Tensor) -> Tensor:
        return function(*(part.reshape(shape) for part, shape in zip(u.split(sizes), shapes, strict=True)))

    value, weight = mean_jacobian(of_flat, flat)
    return weight, value - weight @ torch.stack(flat).mean(dim=0)


def _affine_outputs(
    function: Callable[..., Tensor], points: Sequence[tuple[Tensor, ...]], arguments: tuple[Tensor, ...]
) -> Tensor:
    """The model of ``_affine_model`` at a batch of arguments: a Jacobian-vector product for each argument and point."""
    steps = tuple(
        batch - torch.stack(parts).mean(dim=0)
        for batch, parts in zip(arguments, zip(*points, strict=True), strict=True)
    )
    outputs = [
        function(*point) + torch.func.vmap(lambda *step, at=point: torch.func.jvp(function, at, step)[1])(*steps)
        for point in points
    ]
    return torch.stack(outputs).mean(dim=0)


def is_affine_between(graph: Graph, source: str, target: str) -> bool:
    """Whether ``target`` is affine in ``source`` and whatever else it depends on, all together.

    Judged by the kinds of the operators in between (``nodes_between``).
    """
    return all(
        row_for(node).kind_of(node, graph) in (Kind.AFFINE, Kind.SHAPE) for node in nodes_between(graph, source, target)
    )
