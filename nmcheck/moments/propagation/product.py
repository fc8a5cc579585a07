"""The elementwise product of two jointly Gaussian values.

E ab = E a E b + c with c = Cov(a, b); the closest affine function is E ab + E b (a - E a) + E a (b - E b), and what it
leaves over has the variance Var a Var b + c^2: exact for jointly Gaussian a and b.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nmcheck.moments.propagation.linear import transposed
from nmcheck.moments.propagation.tangents import CHUNK, batched, brought_together, pushed
from nmcheck.moments.propagation.value import Bends, Passed, Response, Value, pushed_responses
from nmcheck.steps import ProductStep


def product(step: ProductStep, values: Sequence[Value]) -> Passed:
    """A step with two inputs, or with one that is squared."""
    a, b = values if len(values) == 2 else (values[0], values[0])
    means = tuple(value.mean for value in values)

    def multiply(*factors: Tensor) -> tuple[Tensor, ...]:
        return (factors[0] * factors[-1],)

    def push(*rows: Tensor) -> tuple[Tensor, ...]:
        return torch.func.jvp(multiply, means, rows)[1]

    tangents = pushed([value.tangents for value in values], step.locality, push)
    actual = batched(multiply)(*(value.actual for value in values))
    # By vmap here and below, because the two need not have the same number of axes.
    (first, second), _ = brought_together([a.tangents, b.tangents], step.locality)
    linear_covariance = torch.zeros_like(actual[0][0])
    for left, right in zip(first.rows.split(CHUNK), second.rows.split(CHUNK), strict=True):
        linear_covariance = linear_covariance + torch.func.vmap(torch.mul)(left, right).sum(dim=0)
    rest = torch.func.vmap(torch.mul)(a.residual(), b.residual()).sum(dim=0) / (len(a.actual) - 1)
    covariance = linear_covariance + rest

    def respond(given: Sequence[Response]) -> tuple[Response, ...]:
        (response,) = pushed_responses(given, push)
        if response.told is Bends.NONE:
            return (response,)
        bent = torch.func.vmap(torch.mul)(given[0].linear, given[-1].linear) - linear_covariance
        return (response.passed_on(response.linear, response.bend, bent),)

    excess = a.variance() * b.variance() + covariance**2
    (response,) = respond([value.response for value in values])
    output = Value(a.mean * b.mean + covariance, tangents[0], response, actual[0])
    return Passed((output,), transposed(multiply, means), respond, excess)
