"""A network as steps, each of a kind whose Gaussian moments have a rule: ``linearize`` makes it for ``moments``.

A step is a pure torch function of values named before it. What the kinds mean for a mean and a covariance is written
in ``moments.propagation``, one file a kind; here is only what each rule needs to know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Bound = float | Tensor
"""A number, or a tensor that broadcasts against the value."""


@dataclass(frozen=True)
class Locality:
    """Which elements along its last two axes an output element reads: a window an axis.

    Output position o reads input positions o * stride - begin, ..., o * stride - begin + extent - 1, of which those
    outside the input are padding.

    Attributes:
        extent: length of the window, its gaps included.
        stride: step from window to window.
        begin: padding in front.
    """

    extent: tuple[int, int]
    stride: tuple[int, int]
    begin: tuple[int, int]


@dataclass(frozen=True)
class Step:
    """What all steps have.

    Attributes:
        node: name of the graph's node the step comes from.
        inputs: names of the values read.
        outputs: names of the values written; "" for one nobody reads.
        locality: how far an element of the output sees, None if not known to be local. Elementwise steps see a window
            of one element.
    """

    node: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    locality: Locality | None


@dataclass(frozen=True)
class AffineStep(Step):
    """Affine in all its inputs together.

    Attributes:
        function: of the inputs, in their order, to a tuple of outputs.
        spread: from uncorrelated variances of the inputs' elements to those of the outputs' elements, by the squares of
            the weights; None where only the function itself is known.
    """

    function: Callable[..., tuple[Tensor, ...]]
    spread: Callable[..., tuple[Tensor, ...]] | None = None


@dataclass(frozen=True)
class PiecewiseLinearStep(Step):
    """Elementwise, continuous, with constant slopes between kinks: f'(x) = slope + sum of the jumps of kinks below x.

    Attributes:
        function: of one value.
        slope: left of all kinks.
        kinks: where the slope changes.
        jumps: by how much.
    """

    function: Callable[[Tensor], Tensor]
    slope: Bound
    kinks: tuple[Bound, ...]
    jumps: tuple[Bound, ...]


@dataclass(frozen=True)
class SmoothStep(Step):
    """Elementwise, continuous and finite everywhere, and smooth but for kinks that are known.

    What it has of bends is around its kinks or, without any, around 0, unless it is harmonic; nor does it grow faster
    than a power then. Its means are integrated numerically, with points where these are.

    Attributes:
        function: of one value.
        kinks: where a derivative jumps, be it the first or the second, in ascending order.
        harmonic: 1 where the function is its own second derivative, -1 where it is that with the sign turned.
    """

    function: Callable[[Tensor], Tensor]
    kinks: tuple[float, ...] = ()
    harmonic: float | None = None


@dataclass(frozen=True)
class MaximumStep(Step):
    """The largest of several values, elementwise.

    Attributes:
        taps: of the inputs to the values compared, each of the output's shape; affine. A tap without an element has a
            constant far below every value.
    """

    taps: Callable[..., tuple[Tensor, ...]]


@dataclass(frozen=True)
class ProductStep(Step):
    """The product of two values, elementwise with broadcasting."""


@dataclass(frozen=True)
class LinearizedStep(Step):
    """A function without a rule of its own: replaced by its tangent at the mean.

    Attributes:
        function: of the inputs, in their order, to a tuple of outputs.
        reason: what it is, in a few words, for the user.
    """

    function: Callable[..., tuple[Tensor, ...]]
    reason: str


@dataclass(frozen=True)
class Network:
    """A network from one input to its outputs.

    Attributes:
        input: name of the input value.
        output: name of the output value.
        shapes: shape of every value.
        steps: in an order in which every value is written before it is read.
    """

    input: str
    output: str
    shapes: dict[str, tuple[int, ...]]
    steps: tuple[Step, ...]
