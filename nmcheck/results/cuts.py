"""How well the network is linearized around each of its ReLUs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nmcheck.results.record import Count, NonNegative, Positive, Record


@dataclass(frozen=True, kw_only=True)
class LevelError(Record):
    """The linearization error at one noise level.

    Attributes:
        sigma_pixel: standard deviation of the noise in pixel units.
        error: the relative error, averaged over the images.
        error_reason: why it could not be computed.
    """

    sigma_pixel: Positive
    error: NonNegative | None
    error_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class CutError(Record):
    """A ReLU the network could be linearized around, and the error of that, as ``--cut best`` compares them.

    The relative error at an image is the distance between the linearized network's logits and the network's own, over
    the distance by which noise moves the latter; root mean squares over noise draws, the same for every ReLU.

    Attributes:
        node: name of the node.
        kind: ``cut`` if every path from the input to the logits crosses it, else ``skip``.
        units: how many units it has.
        within_budget: whether the matrices of that linearization fit in memory; if not, nothing was measured.
        chosen: whether it is the one that the moments were computed with.
        error: the relative error, averaged over images and noise levels.
        error_reason: why it could not be computed.
        levels: the relative error at each noise level.
        images: images averaged over.
        draws: noise draws an image and noise level.
    """

    node: str
    kind: Literal["cut", "skip"]
    units: Count
    within_budget: bool
    chosen: bool
    error: NonNegative | None
    error_reason: str | None = None
    levels: tuple[LevelError, ...]
    images: Count
    draws: Count
