"""What is known of a value while noise is propagated, and what a step leaves for the way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from nmcheck.moments.propagation.tangents import Tangents


@dataclass(frozen=True)
class Value:
    """Mean, tangents and samples of a value.

    Its deviation from the mean is a linear response to the input's noise, whose covariance the tangents have exactly,
    and a residual, uncorrelated with it, whose variance is that of a few samples' residuals.

    Attributes:
        mean: of the value's shape.
        tangents: its linear response to the input's noise, averaged over the noise.
        linear: that response to the noise of each sample, shape (samples, *value).
        actual: the value itself at each sample.
    """

    mean: Tensor
    tangents: Tangents
    linear: Tensor
    actual: Tensor

    def shift(self) -> Tensor:
        """Mean over the samples of what the linear response leaves, less the mean propagated."""
        return (self.actual - self.linear).mean(dim=0) - self.mean

    def residual(self) -> Tensor:
        """What the linear response leaves of each sample's deviation from the samples' mean."""
        rest = self.actual - self.linear
        return rest - rest.mean(dim=0)

    def residual_variance(self) -> Tensor:
        """Of every element, from the samples."""
        return self.residual().square().sum(dim=0) / (len(self.actual) - 1)

    def variance(self) -> Tensor:
        """Of every element."""
        return self.tangents.variance() + self.residual_variance()


@dataclass(frozen=True)
class Bend:
    """A place where a step bends, which leaves a residual that its averaged slope does not explain.

    The residual of element i is share_i r(z_i), with r a function of one Gaussian z_i, less its closest affine
    function.

    Attributes:
        columns: from positions in the flattened value to the tangents of u there, shape (directions, positions); z is
            u less its mean, over ``sd``.
        sd: standard deviation of u.
        strength: standard deviation of r, of the value's shape; what a unit matters by.
        share: what the residual adds to the step's first output, of the value's shape.
        hermite: from positions and an order K to E[r(z) He_k(z)] for k = 2..K, shape (K - 1, positions).
        m: E u / sd for a kink, whose residual is that of relu(u); None for a smooth bend.
        together: whether the step's injected variance has what this bend shares with the step's others in an element.
    """

    columns: Callable[[Tensor], Tensor]
    sd: Tensor
    strength: Tensor
    share: Tensor
    hermite: Callable[[Tensor, int], Tensor]
    m: Tensor | None
    together: bool = False


Pull = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]
"""From cotangents of a step's outputs, each of shape (rows, *value), to those of its inputs."""


@dataclass(frozen=True)
class Passed:
    """A step's result.

    Attributes:
        outputs: its values.
        pull: the step's averaged derivative, transposed.
        injected: variance the step adds to its first output's elements, uncorrelated with what came in; None for none.
        variance: of the first output's elements, where the rule has it at hand.
        bends: the kinks that made the step's injected variance; empty where it was none.
    """

    outputs: tuple[Value, ...]
    pull: Pull
    injected: Tensor | None = None
    variance: Tensor | None = None
    bends: tuple[Bend, ...] = ()
