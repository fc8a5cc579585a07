"""What is known of a value while noise is propagated, and what a step leaves for the way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

import torch
from torch import Tensor

from nmcheck.moments.propagation.tangents import Tangents, batched


class Bends(Enum):
    """What is told of bends beside a linear response."""

    NONE = auto()
    SINGLE = auto()
    """Those of each draw."""
    PAIRED = auto()
    """Averages over each draw and its negative."""


@dataclass(frozen=True)
class Response:
    """What a value makes of given draws of the noise, as far as its expectation is known: a row a draw.

    The bend is what nonlinear steps add to the linear response, each of them shown no more than the linear response of
    its input, and passed on by the averaged slopes. Over the noise it has mean zero and no correlation with any linear
    response, exactly: it is a sum of f(u) - E f(u) - E f'(u) (u - E u) of Gaussian u (Stein). Where noise is small it
    is most of what the linear response leaves.

    Attributes:
        linear: response by the averaged slopes, Gaussian over the noise, with mean zero; (draws, *value).
        told: which bends are told.
        bend: those of the steps so far; None where there are none yet.
    """

    linear: Tensor
    told: Bends
    bend: Tensor | None = None

    def bent(self, function: Callable[[Tensor], Tensor], mean: Tensor, gate: Tensor) -> Tensor:
        """What ``function`` of the linear response adds to its mean and its averaged slope."""
        if self.told is Bends.PAIRED:
            return 0.5 * (function(self.linear) + function(-self.linear)) - mean
        return function(self.linear) - mean - gate * self.linear

    def passed_on(self, linear: Tensor, *bends: Tensor | None) -> Response:
        """The response of a step's output, with the sum of bends, any of which may be none."""
        present = [bend for bend in bends if bend is not None]
        return Response(linear, self.told, sum(present[1:], present[0]) if present else None)


def pushed_responses(given: Sequence[Response], push: Callable[..., tuple[Tensor, ...]]) -> tuple[Response, ...]:
    """Responses through a linear function of one row of each input, which yields one of each output."""
    linear = batched(push)(*(one.linear for one in given))
    bends: tuple[Tensor | None, ...] = (None,) * len(linear)
    if any(one.bend is not None for one in given):
        bends = batched(push)(*(torch.zeros_like(one.linear) if one.bend is None else one.bend for one in given))
    return tuple(given[0].passed_on(*both) for both in zip(linear, bends, strict=True))


def centered(samples: Tensor) -> Tensor:
    """Samples less their mean, along the first axis; exactly 0 where all are the same.

    The mean of copies of a number is that number only to rounding, whose square counts where the number is large: an
    element in the padding (-1e30), a logit that is masked, an offset of 1e6.
    """
    moved = samples - samples[:1]
    return moved - moved.mean(dim=0)


@dataclass(frozen=True)
class Value:
    """Mean, tangents and samples of a value.

    Its deviation from the mean is a linear response to the input's noise, whose covariance the tangents have exactly,
    and a residual, uncorrelated with it, whose variance is that of a few samples' residuals.

    Attributes:
        mean: of the value's shape.
        tangents: its linear response to the input's noise, averaged over the noise.
        response: to the noise of each sample.
        actual: the value itself at each sample, shape (samples, *value).
    """

    mean: Tensor
    tangents: Tangents
    response: Response
    actual: Tensor

    def residual(self) -> Tensor:
        """What the linear response leaves of each sample's deviation from the samples' mean."""
        return centered(self.actual - self.response.linear)

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


Respond = Callable[[Sequence[Response]], tuple[Response, ...]]
"""From responses of a step's inputs to those of its outputs."""

Pull = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]
"""From cotangents of a step's outputs, each of shape (rows, *value), to those of its inputs."""


@dataclass(frozen=True)
class Passed:
    """A step's result.

    Attributes:
        outputs: its values.
        pull: the step's averaged derivative, transposed.
        respond: what the step makes of responses to any noise.
        injected: variance the step adds to its first output's elements, uncorrelated with what came in; None for none.
        variance: of the first output's elements, where the rule has it at hand.
        bends: the kinks that made the step's injected variance; empty where it was none.
        quadrature_error: the largest error of an element's mean by quadrature, in units of the element's own standard
            deviation; None where nothing was integrated so.
    """

    outputs: tuple[Value, ...]
    pull: Pull
    respond: Respond
    injected: Tensor | None = None
    variance: Tensor | None = None
    bends: tuple[Bend, ...] = ()
    quadrature_error: float | None = None
