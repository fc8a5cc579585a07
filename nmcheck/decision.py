"""Which class a network predicts and what changes that: the one place where ties are decided.

The predicted class is the first of the largest logits, as argmax has it in numpy, torch and, unless it is told
otherwise, ONNX. Class c takes over from class l where f_c > f_l, or where f_c = f_l and c < l; a flip is such a change
of the predicted class. A predicted class that is tied has no class before it among its equals, so that a tie alone
never flips it, and logits that are equal everywhere never flip at all. docs/maths.md says what that means for radii,
attacks and precisions.
"""

from __future__ import annotations

from typing import overload

import numpy as np
from torch import Tensor


@overload
def predicted_class(logits: np.ndarray) -> np.ndarray: ...
@overload
def predicted_class(logits: Tensor) -> Tensor: ...
def predicted_class(logits: np.ndarray | Tensor) -> np.ndarray | Tensor:
    """The class of the largest logit along the last axis, the first one in case of a tie; that of a NaN if there is."""
    return logits.argmax(-1)


@overload
def takes_over(difference: np.ndarray, other: np.ndarray, label: np.ndarray | int) -> np.ndarray: ...
@overload
def takes_over(difference: Tensor, other: Tensor, label: Tensor | int) -> Tensor: ...
def takes_over(
    difference: np.ndarray | Tensor, other: np.ndarray | Tensor, label: np.ndarray | Tensor | int
) -> np.ndarray | Tensor:
    """Whether class ``other`` is predicted rather than ``label``, as far as these two are concerned.

    Args:
        difference: f_other - f_label.
        other: classes, of a shape that goes with the differences.
        label: the class, or as many as there are differences.
    """
    tied_before = (difference == 0) & (other < label)  # pyright: ignore[reportOperatorIssue]
    return (difference > 0) | tied_before
