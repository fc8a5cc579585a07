"""The laws that independent noise in every element may have: a row a law.

A law has mean 0 and variance 1 and is symmetric, so that sigma is a standard deviation whatever the law and antithetic
pairs keep their worth. Analytic moments are of Gaussian noise: under another law, engines are left out with the reason,
and what noise does is sampled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Law:
    """A law of independent numbers.

    Attributes:
        name: what ``--noise`` calls it.
        description: a few words for a person.
        quantile: from numbers that are uniform between 0 and 1, an array's or a tensor's, to those of the law; None for
            normal ones, which numpy and torch draw themselves.
    """

    name: str
    description: str
    quantile: Callable[[Any], Any] | None = None

    @property
    def gaussian(self) -> bool:
        """Whether analytic moments are of this law."""
        return self.quantile is None


GAUSSIAN = Law("isotropic", "independent, of one strength everywhere")
LAWS = {
    law.name: law
    for law in (
        GAUSSIAN,
        Law(
            "uniform",
            "independent and uniform, of one strength everywhere: between -1.73 sigma and 1.73 sigma",
            lambda u: 12**0.5 * (u - 0.5),
        ),
    )
}
"""By name, in the order they are listed to users."""

KINDS = (*LAWS, "window", "diagonal", "factor")
"""Every form of ``--noise``."""
