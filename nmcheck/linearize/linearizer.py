"""What makes the (Affine, ReLU, Affine) model of a network at a point: the ways to, and what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor

from nmcheck.affine import AffineReluAffine
from nmcheck.execute.program import Program
from nmcheck.graph.ir import Node
from nmcheck.linearize.averaged import averaged_at
from nmcheck.linearize.two_stage import two_stage_at


@runtime_checkable
class Linearizer(Protocol):
    """Makes models of one network at one of its ReLUs.

    A model may depend on the noise it is made for. It is then given by a few draws: ``draws`` has shape (pairs, *the
    input's shape), each row drawn from N(0, Sigma) and used with both signs. Who keeps models, keeps those that depend
    on the noise for every Sigma anew, and knows the draws by their seed.
    """

    depends_on_noise: ClassVar[bool]
    """Whether ``draws`` are read; if not, one model serves all noise levels."""

    @property
    def is_skip(self) -> bool:
        """Whether some paths pass the ReLU by."""
        ...

    @property
    def inner_is_constant(self) -> bool:
        """Whether A and c1, and the Gram matrix A S A' with them, are the same at all points."""
        ...

    def at(self, point: Tensor, draws: Tensor, /) -> AffineReluAffine:
        """The model at a point of the graph's input shape, in pixel units."""
        ...

    def outputs(self, point: Tensor, draws: Tensor, inputs: Tensor, /) -> Tensor:
        """The model's logits at other inputs, shape (batch, d), without its matrices."""
        ...


LINEARIZERS: Mapping[str, Callable[[Program, Node], Linearizer]] = {"taylor": two_stage_at, "averaged": averaged_at}
"""By name, from a network and one of its cut points."""
