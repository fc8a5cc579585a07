"""A certified constant and where it came from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NormBound:
    """An upper bound of a layer's Lipschitz constant from the Euclidean norm to the Euclidean norm.

    Attributes:
        value: the bound, rounding allowance included (``rounding``).
        method: the theorem or computation it came from, for the reader of a report.
    """

    value: float
    method: str

    def __mul__(self, other: NormBound) -> NormBound:
        """The bound of a composition."""
        return NormBound(self.value * other.value, f"{self.method} x {other.method}")
