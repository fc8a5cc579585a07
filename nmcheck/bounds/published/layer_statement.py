"""Whether a published formula holds for a concrete layer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LayerStatement:
    """A verdict on a formula at one layer.

    Attributes:
        sound: whether the formula is a valid lower bound for this layer.
        statement: why, one sentence.
    """

    sound: bool
    statement: str
