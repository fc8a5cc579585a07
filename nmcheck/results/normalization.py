"""What each batch or local response normalization does to noise, robustness and accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nmcheck.results.record import Count, NonNegative, Place, Positive, Record, Share


@dataclass(frozen=True, kw_only=True)
class NoiseGain(Record):
    """Noise gain of a layer at one noise level.

    Attributes:
        sigma_pixel: standard deviation of the noise at the model's input, in pixel units.
        gain: root-mean-square standard deviation of the layer's output over that of its input.
        gain_reason: why it could not be computed.
        gain_se: its standard error over the images.
        gain_se_reason: why it could not be computed.
        draws: noise samples an image behind it.
    """

    sigma_pixel: Positive
    gain: NonNegative | None
    gain_reason: str | None = None
    gain_se: NonNegative | None
    gain_se_reason: str | None = None
    draws: Count


@dataclass(frozen=True, kw_only=True)
class NormalizationEntry(Record):
    """One normalization layer.

    Attributes:
        node: unique name of the node.
        index: position of the node in the file; for a pattern, that of its last member.
        outputs: names of the values the node writes.
        kind: ``BatchNormalization`` or ``LRN``.
        recognized_from: ``op`` if the file has the operator, ``pattern`` if it was found decomposed
            into primitive operators.
        lipschitz: certified upper bound of the layer's Lipschitz constant.
        lipschitz_reason: why there is none.
        kappa_in: certified kappa at the layer's input, averaged over the images.
        kappa_in_reason: why there is none.
        kappa_out: certified kappa at its output.
        kappa_out_reason: why there is none.
        noise_gain: noise gain at each noise level.
        removal: how the layer is taken out for comparison: ``identity``, or ``folded`` into its neighbour.
        radius_with: mean certified Lipschitz radius of the model as it is, in pixel units, over the images that both
            models classify correctly.
        radius_with_reason: why there is none.
        radius_without: the same with the layer taken out, over the same images.
        radius_without_reason: why there is none.
        accuracy_without: accuracy with the layer taken out, not retrained.
        accuracy_without_reason: why there is none.
    """

    node: str
    index: Place
    outputs: tuple[str, ...]
    kind: Literal["BatchNormalization", "LRN"]
    recognized_from: Literal["op", "pattern"]
    lipschitz: NonNegative | None
    lipschitz_reason: str | None = None
    kappa_in: NonNegative | None
    kappa_in_reason: str | None = None
    kappa_out: NonNegative | None
    kappa_out_reason: str | None = None
    noise_gain: tuple[NoiseGain, ...]
    removal: Literal["identity", "folded"]
    radius_with: NonNegative | None
    radius_with_reason: str | None = None
    radius_without: NonNegative | None
    radius_without_reason: str | None = None
    accuracy_without: Share | None
    accuracy_without_reason: str | None = None
