"""How far an input must move before the label can change: per layer, per method, per image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nmcheck.results.record import ClassKey, Count, CountFromOne, NonNegative, Place, Record, Share

UNREACHABLE = "no change of the input can change the label"
"""Why an infinite radius, which JSON has no number for, is null.

The reason of what is infinite over several images because some of them are begins with it, and says of how many.
"""


def certified_radius(lower: float | None, reason: str | None) -> float:
    """The radius up to which a label is proven, from a record's number and its reason.

    Args:
        lower: the radius as it was recorded; null if infinite or if there is none.
        reason: why it is null.

    Returns:
        Infinity where no change can move the label, 0 where nothing is proven.
    """
    if lower is not None:
        return lower
    return math.inf if reason == UNREACHABLE else 0.0


def stated(value: float | None, reason: str | None) -> float | None:
    """A number as it is meant, from a record's number and its reason: infinity where that is why it is null."""
    return math.inf if value is None and reason is not None and reason.startswith(UNREACHABLE) else value


@dataclass(frozen=True, kw_only=True)
class LayerBounds(Record):
    """One layer's part in the robustness bound.

    kappa is the least norm of a change at the layer's input that can change the label, averaged over the images.

    Attributes:
        node: unique name of the node.
        index: position of the node in the file; for a pattern, that of its last member.
        outputs: names of the values the node writes.
        op: operator type.
        lipschitz: certified upper bound of the layer's own Lipschitz constant.
        lipschitz_reason: why there is none.
        lipschitz_method: how that bound was obtained.
        lipschitz_to_logits: certified upper bound from the layer's input to the logits.
        lipschitz_to_logits_reason: why there is none.
        kappa_published: kappa by the thesis's formula; not certified.
        kappa_published_reason: why there is none.
        kappa_certified: certified lower bound of kappa.
        kappa_certified_reason: why there is none.
        published_sound: whether the published formula is a valid bound for this layer.
        published_statement: why it is or is not, one sentence.
    """

    node: str
    index: Place
    outputs: tuple[str, ...]
    op: str
    lipschitz: NonNegative | None
    lipschitz_reason: str | None = None
    lipschitz_method: str
    lipschitz_to_logits: NonNegative | None
    lipschitz_to_logits_reason: str | None = None
    kappa_published: NonNegative | None
    kappa_published_reason: str | None = None
    kappa_certified: NonNegative | None
    kappa_certified_reason: str | None = None
    published_sound: bool
    published_statement: str


@dataclass(frozen=True, kw_only=True)
class LayerAttack(Record):
    """One layer's kappa from above, beside what is certified and published of the same images.

    The part of the network behind the layer is attacked (DDN, in float64) from what the layer reads at the image.

    Attributes:
        node: unique name of the node.
        images: images for which a change of the layer's input was found that alters the label.
        kappa_attacked: mean norm of the least such change found; kappa is at most that.
        kappa_attacked_reason: why there is none.
        kappa_certified: mean certified kappa of the same images.
        kappa_certified_reason: why there is none.
        certified_above: images whose certified kappa exceeds the norm found: a proof that the bound is wrong.
        kappa_published: mean of the thesis's kappa of the same images; not certified.
        kappa_published_reason: why there is none.
        published_above: images where that exceeds the norm found: a proof that the formula is.
    """

    node: str
    images: Count
    kappa_attacked: NonNegative | None
    kappa_attacked_reason: str | None = None
    kappa_certified: NonNegative | None
    kappa_certified_reason: str | None = None
    certified_above: Count
    kappa_published: NonNegative | None
    kappa_published_reason: str | None = None
    published_above: Count


@dataclass(frozen=True, kw_only=True)
class RadiusEntry(Record):
    """Radii of one method over the correctly classified images, in pixel units.

    An infinite one counts as larger than any other, so that where the mean is infinite median and p5 need not be.

    Attributes:
        mean: mean radius.
        mean_reason: why there is none, or that it is infinite.
        median: median radius.
        median_reason: why there is none, or that it is infinite.
        p5: fifth percentile.
        p5_reason: why there is none, or that it is infinite.
        images: number of correctly classified images summarised.
        certified: whether each radius is a proven lower bound.
        theorem: the statement behind the radii.
        seconds_per_sample: wall time per image, work done once for the model included.
        seconds_per_sample_reason: why it is not stated.
    """

    mean: NonNegative | None
    mean_reason: str | None = None
    median: NonNegative | None
    median_reason: str | None = None
    p5: NonNegative | None
    p5_reason: str | None = None
    images: Count
    certified: bool
    theorem: str
    seconds_per_sample: NonNegative | None
    seconds_per_sample_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class ClassChanges(Record):
    """Where one attack takes the images of one class: a row of the thesis's heat map, Fig. 5.10.

    Attributes:
        class_: the class predicted without a change; the JSON key is ``class``.
        images: how many images that are, misclassified ones included.
        to: how many of them the nearest adversarial example makes each class, by class; a class that is not there
            has 0. Images for which the attack found none are in no class.
    """

    class_: Count
    images: Count
    to: Mapping[ClassKey, CountFromOne]


@dataclass(frozen=True, kw_only=True)
class IteratedStep(Record):
    """One step of the thesis's iterative perturbation (section 2.7): FGS applied to what FGS made of the images.

    Attributes:
        step: 1 for the change of the clean images, 2 for the change of what that made, ...
        images: images for which this step found an adversarial example.
        mean_norm: mean norm of the step's change over those.
        mean_norm_reason: why there is none.
        back: share of them that are again of the class that was predicted for the clean image.
        back_reason: why there is none.
    """

    step: CountFromOne
    images: Count
    mean_norm: NonNegative | None
    mean_norm_reason: str | None = None
    back: Share | None
    back_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class AttackEntry(Record):
    """Norms of the adversarial examples one attack found, in pixel units.

    Attributes:
        mean: mean norm over the images it succeeded on.
        mean_reason: why there is none.
        median: median norm over those.
        median_reason: why there is none.
        success_rate: share of the correctly classified images it succeeded on.
        success_rate_reason: why there is none.
        seconds_per_sample: wall time per image.
        seconds_per_sample_reason: why it is not stated.
        class_changes: which classes the adversarial examples are, by the class predicted without a change, ascending.
    """

    mean: NonNegative | None
    mean_reason: str | None = None
    median: NonNegative | None
    median_reason: str | None = None
    success_rate: Share | None
    success_rate_reason: str | None = None
    seconds_per_sample: NonNegative | None
    seconds_per_sample_reason: str | None = None
    class_changes: tuple[ClassChanges, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SampleBounds(Record):
    """What is known about one image's distance to the decision boundary, in pixel units.

    Attributes:
        index: the image's index in the data.
        label: its label, or the predicted class if the data has no labels.
        predicted: the class the model gives it.
        correct: whether the two agree.
        lower: largest certified radius.
        lower_reason: why there is none, or that it is infinite.
        lower_method: method that gave it, or null.
        upper: norm of an adversarial example checked again in onnxruntime.
        upper_reason: why there is none.
        upper_method: attack that gave it, or null.
    """

    index: Place
    label: Count
    predicted: Count
    correct: bool
    lower: NonNegative | None
    lower_reason: str | None = None
    lower_method: str | None
    upper: NonNegative | None
    upper_reason: str | None = None
    upper_method: str | None

    @property
    def certified_radius(self) -> float:
        """``lower`` as a number: infinite where no change can move the label, 0 where nothing is proven."""
        return certified_radius(self.lower, self.lower_reason)


@dataclass(frozen=True, kw_only=True)
class AccuracyPoint(Record):
    """Accuracy under the worst change of a given norm, from below and from above, over all images.

    Attributes:
        epsilon: the norm, in pixel units.
        certified: share of images that are classified correctly and whose certified radius is at least that.
        attacked: share of images that are classified correctly and for which no adversarial example that near was
            found.
    """

    epsilon: NonNegative
    certified: Share
    attacked: Share


@dataclass(frozen=True, kw_only=True)
class BoundsEntry(Record):
    """Robustness in one norm and one input domain.

    Attributes:
        norm: ``l2`` or ``linf``.
        box: range the perturbed pixels must stay in, or null if they may leave it.
        unit: unit of every radius: ``pixel``, the data range being [0, 1].
        samples: number of images used.
        certificate: what "certified" means here and what it does not cover, a sentence.
        layers: one entry per layer, from the input to the logits.
        radius: radii by method.
        attack: adversarial examples by attack; empty where none was run.
        per_sample: one entry per image.
        accuracy: certified and attacked accuracy by epsilon; empty where none was asked for.
        iterated: the steps of the iterative perturbation; empty where it was not asked for.
        layer_attacks: every layer's kappa from above, in the order of ``layers``; empty where it was not asked for.
    """

    norm: Literal["l2", "linf"]
    box: tuple[float, float] | None
    unit: Literal["pixel"] = "pixel"
    samples: CountFromOne
    certificate: str
    layers: tuple[LayerBounds, ...]
    radius: Mapping[str, RadiusEntry]
    attack: Mapping[str, AttackEntry]
    per_sample: tuple[SampleBounds, ...]
    accuracy: tuple[AccuracyPoint, ...] = ()
    iterated: tuple[IteratedStep, ...] = ()
    layer_attacks: tuple[LayerAttack, ...] = ()
