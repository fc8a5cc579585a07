"""Mean and variance of every element as if all elements were independent (label: baseline).

Assumed density filtering, as in lightweight probabilistic networks (Gast and Roth, CVPR 2018): affine maps by the
squares of their weights, elementwise functions by the moments of one Gaussian, maxima by Clark's formula, two at a
time. Units share receptive fields and add up coherently in the logits; dropping their correlations loses most of the
output's variance (over 95 % on trained LeNets), so that only the mean is of any use. The variance is kept to show that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.moments.gaussian import GaussianInput
from nmcheck.moments.normal import normal_cdf, relu_of_shifted_normal
from nmcheck.moments.propagation.elementwise import Moments, piecewise_linear, smooth
from nmcheck.moments.propagation.maximum import taps_of
from nmcheck.moments.relu import deviation, standardized
from nmcheck.steps import (
    AffineStep,
    LinearizedStep,
    MaximumStep,
    Network,
    PiecewiseLinearStep,
    ProductStep,
    SmoothStep,
    Step,
)

PROBES = 64
"""Random signs that tell squared slopes without a rule, to about sqrt(2/64) = 18 % an element."""
_PUSHED = 2**24
"""Elements of probes held at once."""


@dataclass(frozen=True)
class DiagonalMoments:
    """Moments of a network's output.

    Attributes:
        mean: of the flattened output.
        variance: of the flattened output; far too small wherever units are correlated.
        probed: nodes whose squared slopes were estimated by random probes.
    """

    mean: Float[Tensor, " d"]
    variance: Float[Tensor, " d"]
    probed: tuple[str, ...]


@dataclass(frozen=True)
class _Independent:
    """A value whose elements are taken as independent Gaussians."""

    mean: Tensor
    variance: Tensor


@torch.no_grad()
def propagate_diagonal(network: Network, x: GaussianInput, *, seed: int = 0) -> DiagonalMoments:
    """Mean and variance of the output.

    Args:
        network: the steps.
        x: the input's distribution, of which only the variances are used; its mean in the steps' precision.
        seed: of the probes.
    """
    shape = network.shapes[network.input]
    generator = torch.Generator().manual_seed(seed)
    variance = x.sigma**2 * x.structure.variance(x.mean.numel()).to(x.mean)
    values = {network.input: _Independent(x.mean.reshape(shape), variance.reshape(shape))}
    last = {name: position for position, step in enumerate(network.steps) for name in step.inputs}
    probed: list[str] = []
    for position, step in enumerate(network.steps):
        given = [values[name] for name in step.inputs]
        if _needs_probes(step, given):
            probed.append(step.node)
        outputs = _pass(step, given, generator)
        values.update({name: value for name, value in zip(step.outputs, outputs, strict=True) if name})
        for name in step.inputs:
            if last[name] == position and name != network.output:
                values.pop(name, None)
    output = values[network.output]
    return DiagonalMoments(output.mean.reshape(-1), output.variance.reshape(-1), tuple(dict.fromkeys(probed)))


def _pass(step: Step, given: Sequence[_Independent], generator: torch.Generator) -> tuple[_Independent, ...]:
    means = tuple(value.mean for value in given)
    match step:
        case AffineStep() | LinearizedStep():
            spread = step.spread if isinstance(step, AffineStep) else None
            if spread is None:
                variances = _by_probes(step.function, given, generator)
            else:
                variances = spread(*(value.variance for value in given))
            return tuple(map(_Independent, step.function(*means), variances))
        case PiecewiseLinearStep():
            return (_answer(given[0], piecewise_linear(step, means[0], deviation(given[0].variance))),)
        case SmoothStep():
            return (_answer(given[0], smooth(step, means[0], deviation(given[0].variance))),)
        case MaximumStep():
            return (_maximum(step, given),)
        case ProductStep():
            return (_product(given),)
        case _:
            raise TypeError(f"no rule for a {type(step).__name__}")


def _answer(value: _Independent, rule: Moments) -> _Independent:
    return _Independent(rule.mean, rule.gate**2 * value.variance + rule.excess)


def _needs_probes(step: Step, given: Sequence[_Independent]) -> bool:
    without_rule = isinstance(step, LinearizedStep) or (isinstance(step, AffineStep) and step.spread is None)
    return without_rule and sum(value.mean.numel() for value in given) > PROBES


def _by_probes(
    function: Callable[..., tuple[Tensor, ...]], given: Sequence[_Independent], generator: torch.Generator
) -> tuple[Tensor, ...]:
    """Sums of squared slopes times variances, J^2 v: the mean square of J (sqrt(v) e) over random signs e.

    Exact for no more elements than there are probes: then each has a probe of its own.
    """
    means = tuple(value.mean for value in given)
    sds = [deviation(value.variance) for value in given]
    sizes = [mean.numel() for mean in means]
    size = sum(sizes)
    exact = size <= PROBES
    count = size if exact else PROBES
    chunk = max(1, _PUSHED // max(1, size))
    totals: list[Tensor] | None = None

    def push(*tangents: Tensor) -> tuple[Tensor, ...]:
        return torch.func.jvp(function, means, tangents)[1]

    for start in range(0, count, chunk):
        rows = min(chunk, count - start)
        if exact:
            signs = torch.eye(size)[start : start + rows]
        else:
            signs = torch.randint(0, 2, (rows, size), generator=generator) * 2.0 - 1.0
        tangents = [
            part.to(sd).reshape(rows, *sd.shape) * sd for part, sd in zip(signs.split(sizes, dim=1), sds, strict=True)
        ]
        squares = [pushed.square().sum(dim=0) for pushed in torch.func.vmap(push)(*tangents)]
        totals = squares if totals is None else [a + b for a, b in zip(totals, squares, strict=True)]
    return tuple(total if exact else total / PROBES for total in totals or ())


def _maximum(step: MaximumStep, given: Sequence[_Independent]) -> _Independent:
    """The winner of all taps by Clark's formula (1961), with pairs of neighbors compared first."""
    means, variances = tuple(value.mean for value in given), tuple(value.variance for value in given)
    # A tap is an element, its negative or a constant: its variance is the element's or 0.
    moved = torch.func.jvp(taps_of(step), means, variances)
    contenders = [_Independent(mean, variance.abs()) for mean, variance in zip(*moved, strict=True)]
    while len(contenders) > 1:
        winners = [_larger(a, b) for a, b in zip(contenders[::2], contenders[1::2], strict=False)]
        contenders = winners + contenders[2 * len(winners) :]
    return contenders[0]


def _larger(a: _Independent, b: _Independent) -> _Independent:
    apart = a.variance + b.variance
    s = deviation(apart)
    difference = a.mean - b.mean
    z = standardized(difference, s)
    g, other = normal_cdf(z), normal_cdf(-z)
    larger = torch.where(difference > 0, a.mean, b.mean)
    mean = larger + s * relu_of_shifted_normal(-z.abs())
    excess = apart * (g * other - relu_of_shifted_normal(z) * relu_of_shifted_normal(-z)).clamp(min=0.0)
    return _Independent(mean, g**2 * a.variance + other**2 * b.variance + excess)


def _product(given: Sequence[_Independent]) -> _Independent:
    a, b = given if len(given) == 2 else (given[0], given[0])
    if len(given) == 1:
        return _Independent(a.mean**2 + a.variance, 4.0 * a.mean**2 * a.variance + 2.0 * a.variance**2)
    variance = a.mean**2 * b.variance + b.mean**2 * a.variance + a.variance * b.variance
    return _Independent(a.mean * b.mean, variance)
