"""How often noise changes the predicted class: sampled, by image and class, and as engines estimate it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nmcheck.results.record import ClassKey, Count, Place, Positive, Record, Share


@dataclass(frozen=True, kw_only=True)
class ConfusionRow(Record):
    """What noise makes of the images that one class is predicted for without it.

    Attributes:
        class_: the class predicted without noise; the JSON key is ``class``.
        images: how many images that are.
        to: probability of each class under noise, averaged over them, by class; a class that is not there has 0.
    """

    class_: Count
    images: Count
    to: Mapping[ClassKey, Share]


@dataclass(frozen=True, kw_only=True)
class ClassFlips(Record):
    """Sampled probability that noise changes the predicted class, averaged over the images predicted alike.

    Attributes:
        class_: the class predicted without noise; the JSON key is ``class``.
        images: how many images that are.
        trials: independent noise samples behind it.
        sampled: share of these that changed the class.
        low: lower end of its exact binomial interval; in a gate's report, of one that holds at every look.
        high: upper end.
    """

    class_: Count
    images: Count
    trials: Count
    sampled: Share
    low: Share
    high: Share


@dataclass(frozen=True, kw_only=True)
class ImageFlips(Record):
    """Sampled probability that noise changes one image's predicted class.

    Attributes:
        index: the image's index in the data.
        label: its label, or the predicted class if the data has no labels.
        predicted: the class predicted without noise.
        sampled: share of the independent noise samples that changed it.
        low: lower end of its exact binomial interval; in a gate's report, of one that holds at every look.
        high: upper end.
    """

    index: Place
    label: Count
    predicted: Count
    sampled: Share
    low: Share
    high: Share


@dataclass(frozen=True, kw_only=True)
class SampledFlips(Record):
    """What the reference's noise does to the predicted classes at one noise level: evidence, whatever the engine.

    Attributes:
        sigma_pixel: the noise level in pixel units.
        confidence: level of the intervals.
        trials: independent noise samples an image.
        per_class: by the class predicted without noise, ascending; classes no image is predicted as are left out.
        per_image: by image.
        confusion: by the class predicted without noise, ascending, the classes predicted under it.
    """

    sigma_pixel: Positive
    confidence: Share
    trials: Count
    per_class: tuple[ClassFlips, ...]
    per_image: tuple[ImageFlips, ...]
    confusion: tuple[ConfusionRow, ...]


@dataclass(frozen=True, kw_only=True)
class ClassFlipEstimate(Record):
    """An engine's estimate for the images predicted alike.

    Attributes:
        class_: the class predicted without noise; the JSON key is ``class``.
        images: how many images that are.
        analytic: probability that noise changes it, averaged over them.
    """

    class_: Count
    images: Count
    analytic: Share


@dataclass(frozen=True, kw_only=True)
class ImageFlipEstimate(Record):
    """An engine's estimate for one image.

    Attributes:
        index: the image's index in the data.
        analytic: probability that noise changes its predicted class.
    """

    index: Place
    analytic: Share


@dataclass(frozen=True, kw_only=True)
class EstimatedFlips(Record):
    """Flips as Gaussian logits with the engine's mean and covariance have them: estimates.

    Attributes:
        per_class: by the class predicted without noise, as in the sampled ``per_class``.
        per_image: by image, in the order of the sampled ``per_image``.
        confusion: by the class predicted without noise, ascending, the classes predicted under it.
        confusion_reason: why there is none.
    """

    per_class: tuple[ClassFlipEstimate, ...]
    per_image: tuple[ImageFlipEstimate, ...]
    confusion: tuple[ConfusionRow, ...] | None
    confusion_reason: str | None = None
