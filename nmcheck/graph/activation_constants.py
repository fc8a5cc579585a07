"""The constants of GELU and HardSwish: those of their definitions, or the file's own where it has primitive operators.

    Gelu, approximate = none    0.5 x (1 + erf(linear x))
    Gelu, approximate = tanh    0.5 x (1 + tanh(linear x + cubic x^3))
    HardSwish                   x clip(slope x + shift, 0, top)

A file that spells one of them out has rounded numbers, in float16 by as much as 2^-11 of them, and a certificate for
exact ones would not be one for the file. So the node that is recognized carries the file's numbers as attributes of
these names, which ONNX's own operators do not have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nmcheck.graph.ir import Attribute, Node


@dataclass(frozen=True)
class Gelu:
    """A GELU's constants.

    Attributes:
        approximate: ``none`` or ``tanh``.
        linear: coefficient of x in what erf or tanh sees.
        cubic: coefficient of x^3 there; 0 for erf.
    """

    approximate: Literal["none", "tanh"]
    linear: float
    cubic: float

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        """Attributes of a node with these constants."""
        return {"approximate": self.approximate, "linear": self.linear, "cubic": self.cubic}


@dataclass(frozen=True)
class HardSwish:
    """A HardSwish's constants; it bends at ``-shift / slope`` and ``(top - shift) / slope``.

    Attributes:
        slope: coefficient of x in what is clipped, positive.
        shift: the number added to it.
        top: where it is clipped from above; from below it is at 0.
    """

    slope: float
    shift: float
    top: float

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        """Attributes of a node with these constants."""
        return {"slope": self.slope, "shift": self.shift, "top": self.top}

    @property
    def kinks(self) -> tuple[float, float]:
        """Where it bends, ascending."""
        return -self.shift / self.slope, (self.top - self.shift) / self.slope


GELU = Gelu("none", math.sqrt(0.5), 0.0)
TANH_GELU = Gelu("tanh", math.sqrt(2 / math.pi), 0.044715 * math.sqrt(2 / math.pi))
HARD_SWISH = HardSwish(1 / 6, 0.5, 1.0)


def gelu_constants(node: Node) -> Gelu:
    """Those of a Gelu node."""
    defined = TANH_GELU if node.attributes.get("approximate", "none") == "tanh" else GELU
    return Gelu(defined.approximate, _number(node, "linear", defined.linear), _number(node, "cubic", defined.cubic))


def hard_swish_constants(node: Node) -> HardSwish:
    """Those of a HardSwish node."""
    return HardSwish(
        _number(node, "slope", HARD_SWISH.slope),
        _number(node, "shift", HARD_SWISH.shift),
        _number(node, "top", HARD_SWISH.top),
    )


def _number(node: Node, name: str, default: float) -> float:
    value = node.attributes.get(name, default)
    return float(value) if isinstance(value, int | float) else default
