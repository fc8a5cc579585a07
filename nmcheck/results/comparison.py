"""Several models on the same images and the same noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from nmcheck.results.bounds import BoundsEntry
from nmcheck.results.model import DataEntry, ModelEntry, NoiseEntry, ToolEntry
from nmcheck.results.normalization import NormalizationEntry
from nmcheck.results.record import Count, NonNegative, Positive, Record, Share


@dataclass(frozen=True, kw_only=True)
class ComparedFlips(Record):
    """How often noise changes one model's predicted class at one noise level; every model sees the same noise.

    Attributes:
        sigma_pixel: the noise level in pixel units.
        draws: noise samples an image.
        sampled: share of all draws that changed the predicted class.
        low: lower end of its exact binomial interval, over the images used.
        high: upper end.
        confidence: level of the interval.
    """

    sigma_pixel: Positive
    draws: Count
    sampled: Share
    low: Share
    high: Share
    confidence: Share


@dataclass(frozen=True, kw_only=True)
class ComparedModel(Record):
    """One model's column of the comparison.

    Attributes:
        model: the model.
        data: the images, the same for every model, and what scaling this model takes them in.
        method: the tightest method of certified radii that ran.
        radius: mean certified radius over the images this model classifies correctly and has a finite one for, in
            pixel units.
        radius_reason: why there is none, or that all are infinite.
        example: mean norm of the nearest adversarial example over those of them that have one.
        example_reason: why there is none.
        common_radius: mean certified radius over the images that all models classify correctly and have a finite one
            for.
        common_radius_reason: why there is none.
        common_radius_se: its standard error over those images.
        common_radius_se_reason: why there is none.
        difference: mean over those images of this model's radius less the first model's.
        difference_reason: why there is none.
        difference_se: its standard error, the images taken in pairs.
        difference_se_reason: why there is none.
        flips: one entry per noise level.
        bounds: everything ``nmcheck bounds`` says of the model.
        normalization: one entry per normalization layer; empty if the model has none.
        notes: what was assumed or chosen on the way, a sentence each.
        warnings: what the user should doubt, a sentence each.
        seconds: wall time.
    """

    model: ModelEntry
    data: DataEntry
    method: str
    radius: NonNegative | None
    radius_reason: str | None = None
    example: NonNegative | None
    example_reason: str | None = None
    common_radius: NonNegative | None
    common_radius_reason: str | None = None
    common_radius_se: NonNegative | None
    common_radius_se_reason: str | None = None
    difference: float | None
    difference_reason: str | None = None
    difference_se: NonNegative | None
    difference_se_reason: str | None = None
    flips: tuple[ComparedFlips, ...]
    bounds: BoundsEntry
    normalization: tuple[NormalizationEntry, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: NonNegative


@dataclass(frozen=True, kw_only=True)
class Comparison(Record):
    """Everything ``nmcheck compare`` found.

    Attributes:
        schema_version: version of this layout.
        tool: the program that wrote it.
        seed: seed of the choice of images and of all noise.
        norm: of the changes.
        box: range the changed pixels must stay in, or null.
        noise: what the noise is like.
        common: number of images that all models classify correctly and for which each has a finite radius.
        models: in the order given.
    """

    schema_version: Literal[1] = 1
    tool: ToolEntry
    seed: Count
    norm: Literal["l2", "linf"]
    box: tuple[float, float] | None
    noise: NoiseEntry
    common: Count
    models: Annotated[tuple[ComparedModel, ...], Meta(min_length=2)]
