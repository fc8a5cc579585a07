"""Questions for external verifiers, in VNN-LIB 1.0: is there an adversarial example in this box?

The format of the neural network verification competition: SMT-LIB assertions over the network's inputs X_0, X_1, ...
and outputs Y_0, Y_1, ..., satisfiable where the property is violated, and a CSV file of (network, property, timeout).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO

import numpy as np
from jaxtyping import Float64

from nmcheck.outside_text import message


def robustness_property(
    low: Float64[np.ndarray, " inputs"],
    high: Float64[np.ndarray, " inputs"],
    classes: int,
    label: int,
    comment: Sequence[str] = (),
    *,
    masked: Sequence[int] = (),
) -> str:
    """A VNN-LIB file that is satisfiable where another class than ``label`` reaches its output somewhere in the box.

    A tie counts, also with a class that comes later and does not take over: VNN-LIB 1.0 has no strict comparison.

    Args:
        low: least value of every input of the network, in the order of its flattened input tensor.
        high: largest value of each.
        classes: number of outputs.
        label: the class whose output is largest at the image.
        comment: lines to put on top.
        masked: classes that are never chosen, about which nothing is asked.
    """
    others = [name for name in range(classes) if name != label and name not in masked]
    lines = [f"; {message(line)}" for line in comment]
    lines += [f"(declare-const X_{place} Real)" for place in range(len(low))]
    lines += [f"(declare-const Y_{place} Real)" for place in range(classes)]
    for place, (least, most) in enumerate(zip(low, high, strict=True)):
        lines.append(f"(assert (>= X_{place} {_number(least)}))")
        lines.append(f"(assert (<= X_{place} {_number(most)}))")
    lines.append("(assert (or")
    lines += [f"    (and (>= Y_{other} Y_{label}))" for other in others]
    lines.append("))")
    return "\n".join(lines) + "\n"


def instances(rows: Sequence[tuple[str, str, int]]) -> str:
    """The CSV file that names network, property and timeout in seconds, one question a line and no header."""
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _number(value: float) -> str:
    """A decimal without an exponent, which SMT-LIB does not have, that reads back as the same float64."""
    text = np.format_float_positional(abs(value), unique=True, trim="0")
    return f"(- {text})" if value < 0 else text
