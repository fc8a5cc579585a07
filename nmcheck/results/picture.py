"""Pictures of images, for pages; they are no part of a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nmcheck.results.record import Record


@dataclass(frozen=True, kw_only=True)
class Picture(Record):
    """One version of an image.

    Attributes:
        kind: ``as it is``, ``noise`` and its sigma, or ``changed`` by the attack that came nearest.
        predicted: the class the model gives it.
        distance: from the image, in pixel units, or null for noise and for the image itself.
        norm: of that distance, or null.
        png: base64 of a PNG file.
    """

    kind: str
    predicted: int
    distance: float | None
    norm: Literal["l2", "linf"] | None
    png: str


@dataclass(frozen=True, kw_only=True)
class PicturedImage(Record):
    """One image in its versions.

    Attributes:
        index: its index in the data.
        label: its label, or the predicted class if the data has no labels.
        pictures: the image as it is, and others.
    """

    index: int
    label: int
    pictures: tuple[Picture, ...]
