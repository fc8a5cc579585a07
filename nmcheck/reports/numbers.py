"""How numbers are written in tables: never more digits than mean something."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nmcheck.counting import counted

MISSING = "–"
"""What stands in a table where a number could not be computed; the reason stands below it."""


INFINITE = "inf"
"""What stands there where it is known to be infinite."""


def classes(count: int, masked: Sequence[int]) -> str:
    """``4 classes``, ``4 classes, 1 masked``."""
    return counted(count, "class", "classes") + (f", {len(masked):,} masked" if masked else "")


def significant(value: float | None, digits: int = 3) -> str:
    """A number to some significant digits, trailing zeros kept; very small or large ones as 1.2e-07."""
    if value is None:
        return MISSING
    if math.isinf(value):
        return INFINITE if value > 0 else f"-{INFINITE}"
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    exponent = math.floor(math.log10(abs(rounded)))
    if not -4 <= exponent < 5:
        return f"{rounded:.{digits - 1}e}"
    return f"{rounded:.{max(0, digits - 1 - exponent)}f}"


def with_error(value: float | None, error: float | None) -> str:
    """A number with its standard error: the error to two digits, the number to the same place."""
    if value is None:
        return MISSING
    if error is None or error == 0:
        return significant(value)
    decimals = 1 - math.floor(math.log10(float(f"{error:.1e}")))
    if decimals <= 6:
        places = max(0, decimals)
        return f"{value:.{places}f} ± {error:.{places}f}"
    if abs(value) <= error:
        return f"{value:.1e} ± {error:.1e}"
    digits = min(6, decimals + math.floor(math.log10(abs(value))))
    return f"{value:.{digits}e} ± {error:.1e}"


def z_score(value: float | None) -> str:
    """A z-score to one decimal, with its sign."""
    if value is None:
        return MISSING
    return f"{value:+.1f}" if abs(value) < 1e4 else f"{value:+.0e}"


def level(value: float) -> str:
    """A noise level as the user gave it."""
    return f"{value:g}"


def percent(value: float | None, images: int) -> str:
    """A share of images, to as many decimals as that many images can tell apart."""
    if value is None:
        return MISSING
    return f"{100 * value:.{max(0, math.ceil(math.log10(images)) - 2)}f} %"
