"""Numbers of 2 to 16 bits: what a value becomes when it is stored in one, held as an ordinary floating-point number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nmcheck.execute.on_demand import Tensor, torch


@dataclass(frozen=True)
class FloatFormat:
    """A narrow floating-point format.

    Attributes:
        mantissa: bits behind the leading one.
        lowest: exponent of the smallest normal number; below it the steps stay as they are there.
        largest: the largest finite number.
        overflow: what a larger one becomes where it is not kept at the largest.
        has_nan: whether the format has a NaN; where it has none, 0 stands for it.
    """

    mantissa: int
    lowest: int
    largest: float
    overflow: float = float("nan")
    has_nan: bool = True

    def rounded(self, x: Tensor, saturate: bool = True) -> Tensor:
        """The nearest number of the format, of two equally near ones the even; a NaN stays one.

        Args:
            x: any values.
            saturate: whether what is too large becomes the largest number.
        """
        size = x.abs()
        step = torch.full_like(x, 2.0 ** (self.lowest - self.mantissa))
        exponent = self.lowest + 1
        while 2.0**exponent <= self.largest:
            step = torch.where(size >= 2.0**exponent, 2.0 ** (exponent - self.mantissa), step)
            exponent += 1
        y = torch.round(x / step) * step
        if not self.has_nan:
            y = torch.where(torch.isnan(y), 0.0, y)
        if saturate or not self.has_nan:
            return torch.clamp(y, -self.largest, self.largest)
        return torch.where(y.abs() > self.largest, torch.sign(y) * self.overflow, y)


FLOATS: Mapping[str, FloatFormat] = {
    "float8_e4m3fn": FloatFormat(3, -6, 448.0),
    "float8_e4m3fnuz": FloatFormat(3, -7, 240.0),
    "float8_e5m2": FloatFormat(2, -14, 57344.0, float("inf")),
    "float8_e5m2fnuz": FloatFormat(2, -15, 57344.0),
    "float4_e2m1fn": FloatFormat(1, 0, 6.0, has_nan=False),
}
"""The formats with a sign, by numpy's names of them."""


@dataclass(frozen=True)
class WholeFormat:
    """A type of whole numbers.

    Attributes:
        low: its smallest number.
        high: its largest.
    """

    low: int
    high: int

    def wrapped(self, x: Tensor) -> Tensor:
        """The whole part of x with the bits that do not fit discarded."""
        return torch.remainder(torch.trunc(x) - self.low, self.high - self.low + 1) + self.low


WHOLE: Mapping[str, WholeFormat] = {
    **{f"int{bits}": WholeFormat(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (2, 4, 8, 16)},
    **{f"uint{bits}": WholeFormat(0, 2**bits - 1) for bits in (2, 4, 8, 16)},
}
"""Types of whole numbers that float32 holds exactly, by numpy's names of them."""

_SCALE_EXPONENTS = (-127, 127)


def rounded_scale(x: Tensor, mode: str, saturate: bool) -> Tensor:
    """The power of two that float8_e8m0, the type of block scales, has for a positive number.

    Args:
        x: the numbers; ONNX leaves negative ones undefined.
        mode: ``up``, ``down`` or ``nearest``, where a tie goes up.
        saturate: whether what is too small or too large becomes the smallest or the largest; else it becomes NaN.
    """
    smallest, largest = (2.0**exponent for exponent in _SCALE_EXPONENTS)
    inside = torch.clamp(x, smallest, largest)
    # The logarithm may round to a neighbouring whole number: the power is compared with x itself.
    power = torch.pow(2.0, torch.floor(torch.log2(inside)))
    below = torch.where(power > inside, power / 2, torch.where(2 * power <= inside, 2 * power, power))
    above = torch.where(below < inside, 2 * below, below)
    if mode == "up":
        chosen = above
    elif mode == "down":
        chosen = below
    else:
        chosen = torch.where(inside - below >= above - inside, above, below)
    chosen = torch.clamp(chosen, max=largest)
    return chosen if saturate else torch.where((x >= smallest) & (x <= largest), chosen, torch.nan)
