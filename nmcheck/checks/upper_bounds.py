"""Where norms of adversarial examples come from: anything that can be asked for them."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor


@runtime_checkable
class UpperBounds(Protocol):
    """Finds adversarial examples, each checked again in onnxruntime before it counts."""

    @property
    def name(self) -> str:
        """The attack's name in a report."""
        ...

    def __call__(
        self,
        images: Float[Tensor, "images *sample"],
        classes: Int[Tensor, " images"],
        norm: float,
        box: tuple[float, float] | None,
    ) -> Float[Tensor, " images"] | None:
        """Norms of changes that change the predicted class, infinite where none was found.

        Args:
            images: pixels in the graph's layout.
            classes: the predicted classes.
            norm: 2 or infinity.
            box: range the changed pixels must stay in, or None.
        """
        ...
