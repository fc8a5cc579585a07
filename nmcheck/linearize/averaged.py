"""Two-stage linearization by averages under the noise, statistical linearization, instead of Taylor's first order."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from nmcheck.affine import AffineReluAffine
from nmcheck.execute.program import Program
from nmcheck.graph.ir import Node
from nmcheck.linearize.two_stage import TwoStageLinearizer, two_stage_at


class AveragedLinearizer:
    """The affine maps around a ReLU that fit best in the mean square under the noise.

    With x ~ N(mu, Sigma), a the part of the network in front of the ReLU and G the part behind it
    (``TwoStageLinearizer``): ``A = E[da/dx]``, which is ``Cov(a, x) Sigma^-1`` by Stein, the least squares fit;
    ``c1 = E[a] - A mu``; ``B = E[dG/dh]`` and ``C = E[dG/dx]`` at h = relu(a(x)), ``c2 = E[G] - B E[h] - C mu``. A
    kink, a maximum at a tie above all, counts by how much of the noise lies on either side of it. Where Taylor's model
    is exact, so is this, and as the noise vanishes it becomes Taylor's wherever the network has a derivative.

    The expectations are means over few noisy inputs, mu + e and mu - e for the same draws e: odd powers of the noise
    cancel. Parts that are affine are not averaged but taken over.

    What is not linear in the noise around the ReLU is left out, and its variance with it. Taylor's model leaves it out
    too, but the slopes at one point are steeper than the averaged ones, which hides some of what is missing.

    Args:
        taylor: the network and its ReLU.
    """

    depends_on_noise: ClassVar[bool] = True

    def __init__(self, taylor: TwoStageLinearizer) -> None:
        self.taylor = taylor
        self.is_skip = taylor.is_skip
        self.inner_is_constant = taylor.inner_is_constant

    def at(self, point: Tensor, draws: Float[Tensor, "pairs *shape"]) -> AffineReluAffine:
        """The model under the noise that ``draws`` were drawn from, at a point of the graph's input shape.

        A and C act on the flattened input.
        """
        taylor, points = self.taylor, _around(point, draws)
        inner = taylor.inner_at(point) if taylor.inner_is_constant else taylor.inner_over(points)
        outer, skip = taylor.outer_at(point) if taylor.outer_is_constant else taylor.outer_over(points)
        return AffineReluAffine(inner=inner, outer=outer, skip=skip)

    def outputs(
        self, point: Tensor, draws: Float[Tensor, "pairs *shape"], inputs: Float[Tensor, "batch *shape"]
    ) -> Float[Tensor, "batch d"]:
        """The model's logits at other inputs, without its matrices."""
        return self.taylor.outputs_over(_around(point, draws), inputs)


def _around(point: Tensor, draws: Tensor) -> list[Tensor]:
    return [*(point + draws), *(point - draws)]


def averaged_at(program: Program, node: Node) -> AveragedLinearizer:
    """The averaging linearizer at a ReLU or ReLU-decomposable activation; arguments and errors: ``two_stage_at``."""
    return AveragedLinearizer(two_stage_at(program, node))
