"""Smooth functions of one element against fifty digits: what bounds allow for is rounding, not another function."""

from collections.abc import Callable
from typing import Any

import mpmath
import pytest
import torch
from bounds.networks import Builder, double

mp: Any = mpmath.mp
POINTS = 241


def softplus(x: Any) -> Any:
    return mp.log1p(mp.exp(x))


EXACT: dict[str, Callable[[Any], Any]] = {
    "Sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "Tanh": mp.tanh,
    "Erf": mp.erf,
    "Softplus": softplus,
    "Softsign": lambda x: x / (1 + abs(x)),
    "Mish": lambda x: x * mp.tanh(softplus(x)),
    "Gelu": lambda x: x * mp.ncdf(x),
    "Swish": lambda x: x / (1 + mp.exp(-x)),
    "HardSwish": lambda x: x * min(max(x / 6 + 0.5, 0), 1),
    "Elu": lambda x: x if x > 0 else mp.expm1(x),
    "Atan": mp.atan,
    "Asinh": mp.asinh,
}


@pytest.mark.parametrize("op", EXACT)
def test_it_is_off_by_rounding_only(op: str) -> None:
    builder = Builder((POINTS,))
    program = double(builder.graph(builder.node(op, "x", (POINTS,))))
    x = torch.linspace(-60, 60, POINTS, dtype=torch.float64) + 0.1
    found = program(x.unsqueeze(0))[0]
    with mp.workdps(50):
        for place, value in zip(x.tolist(), found.tolist(), strict=True):
            off = abs(EXACT[op](mp.mpf(place)) - mp.mpf(value))
            assert off <= 1e-15 * (1 + abs(place)), place
