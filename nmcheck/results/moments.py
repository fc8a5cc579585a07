"""Analytic noise moments of the logits beside their sampled reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from nmcheck.results.bank import BankUse
from nmcheck.results.flips import EstimatedFlips
from nmcheck.results.record import Count, CountFromOne, NonNegative, Positive, Record, Share, one_of

ENGINES = ("propagate", "two-stage", "bank", "diagonal", "published-theorem2", "published-lemma4")
"""Every way to moments, by name."""
EngineName = Annotated[str, one_of(*ENGINES)]


@dataclass(frozen=True, kw_only=True)
class FloorEntry(Record):
    """Relative errors E_r that a perfect engine would show, from the reference's own sampling error.

    Attributes:
        mean_er: expected E_r of the mean.
        mean_er_reason: why it could not be computed.
        var_er: expected E_r of the variance.
        var_er_reason: why it could not be computed.
    """

    mean_er: NonNegative | None
    mean_er_reason: str | None = None
    var_er: NonNegative | None
    var_er_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReferenceEntry(Record):
    """The Monte Carlo run an engine is measured against.

    Attributes:
        method: ``control-variate`` (antithetic pairs with the linear part as control variate) or ``plain``.
        n: noise samples per image.
        pilot: noise samples per image of the pilot run that n was chosen by, which are used for nothing else; 0 where
            n was asked for.
        execution: what ran the noisy images.
        floor: what a perfect engine would show.
        logits: pairs of an image and a logit.
        unmoved: those of them that no noise sample moved by more than rounding: their variance is 0 as far as the
            samples show, and averages leave them out.
        plain: those of the others for which the control variate explains nothing, so that they were sampled plainly.
        heavy_tailed: those whose variance is carried by so few samples that neither it nor its interval is to be
            trusted.
        samples_for_tails: noise samples per image that would do for them, at least.
        samples_for_tails_reason: why none is stated.
    """

    method: Literal["control-variate", "plain"]
    n: CountFromOne
    pilot: Count = 0
    execution: str
    floor: FloorEntry
    logits: Count
    unmoved: Count
    plain: Count
    heavy_tailed: Count
    samples_for_tails: Count | None
    samples_for_tails_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class FlipEntry(Record):
    """Probability that noise changes the predicted class, averaged over the images.

    Attributes:
        analytic: from Gaussian logits with the engine's mean and covariance; an estimate.
        analytic_reason: why it could not be computed.
        sampled: share of changed predictions among independent noise samples.
        sampled_reason: why it could not be computed.
        low: lower end of the exact binomial interval of the sampled probability.
        low_reason: why it could not be computed.
        high: upper end of that interval.
        high_reason: why it could not be computed.
        confidence: level of that interval.
        trials: independent noise samples behind it, over all images.
    """

    analytic: Share | None
    analytic_reason: str | None = None
    sampled: Share | None
    sampled_reason: str | None = None
    low: Share | None
    low_reason: str | None = None
    high: Share | None
    high_reason: str | None = None
    confidence: Share
    trials: Count


@dataclass(frozen=True, kw_only=True)
class ClassMoments(Record):
    """Tightness at one logit, averaged over the images in which noise moves it, whatever their label.

    With x the engine's value and y the reference's, E_r = 2 |x - y| / (|x| + |y|), as in the papers' tables.

    Attributes:
        class_: index of the logit; the JSON key is ``class``.
        images: number of images used.
        unmoved: images in which no noise sample moved the logit (variance 0), which the averages leave out.
        mean_er: E_r of the mean.
        mean_er_reason: why it could not be computed.
        mean_er_se: its standard error over the images.
        mean_er_se_reason: why it could not be computed.
        var_er: E_r of the variance.
        var_er_reason: why it could not be computed.
        var_er_se: its standard error over the images.
        var_er_se_reason: why it could not be computed.
        mean_bias_sd: absolute error of the mean in units of the logit's own standard deviation.
        mean_bias_sd_reason: why it could not be computed.
        var_ratio: engine's variance over the reference's.
        var_ratio_reason: why it could not be computed.
        mean_z: summed error of the mean over the images, divided by the reference's standard error of that sum.
        mean_z_reason: why it could not be computed.
        var_z: the same for the variance.
        var_z_reason: why it could not be computed.
    """

    class_: Count
    images: Count
    unmoved: Count
    mean_er: NonNegative | None
    mean_er_reason: str | None = None
    mean_er_se: NonNegative | None
    mean_er_se_reason: str | None = None
    var_er: NonNegative | None
    var_er_reason: str | None = None
    var_er_se: NonNegative | None
    var_er_se_reason: str | None = None
    mean_bias_sd: NonNegative | None
    mean_bias_sd_reason: str | None = None
    var_ratio: float | None
    var_ratio_reason: str | None = None
    mean_z: float | None
    mean_z_reason: str | None = None
    var_z: float | None
    var_z_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class OverallMoments(Record):
    """Tightness averaged over the images and those of their logits that noise moves.

    Attributes:
        unmoved: pairs of an image and a logit that no noise sample moved (variance 0), which the averages leave out.
        mean_er: E_r of the mean.
        mean_er_reason: why it could not be computed.
        mean_er_se: its standard error over the images.
        mean_er_se_reason: why it could not be computed.
        var_er: E_r of the variance.
        var_er_reason: why it could not be computed.
        var_er_se: its standard error over the images.
        var_er_se_reason: why it could not be computed.
        mean_bias_sd: absolute error of the mean in units of the logit's own standard deviation.
        mean_bias_sd_reason: why it could not be computed.
        var_ratio: engine's variance over the reference's.
        var_ratio_reason: why it could not be computed.
        flip: probability that noise changes the predicted class.
    """

    unmoved: Count
    mean_er: NonNegative | None
    mean_er_reason: str | None = None
    mean_er_se: NonNegative | None
    mean_er_se_reason: str | None = None
    var_er: NonNegative | None
    var_er_reason: str | None = None
    var_er_se: NonNegative | None
    var_er_se_reason: str | None = None
    mean_bias_sd: NonNegative | None
    mean_bias_sd_reason: str | None = None
    var_ratio: float | None
    var_ratio_reason: str | None = None
    flip: FlipEntry


@dataclass(frozen=True, kw_only=True)
class LinearizedNode(Record):
    """A layer without a rule for Gaussian values: its tangent at the propagated mean, and its samples' mean.

    Attributes:
        node: name of the node.
        what: what it is.
    """

    node: str
    what: str


@dataclass(frozen=True, kw_only=True)
class LayerGain(Record):
    """How strong the noise is behind a layer.

    Attributes:
        node: name of the node.
        gain: root mean square of its outputs' standard deviations, over the input noise's, over units and images.
    """

    node: str
    gain: NonNegative


@dataclass(frozen=True, kw_only=True)
class PropagationEntry(Record):
    """How moments were propagated; averages over logits leave out those that no sample of the reference moved.

    Attributes:
        directions: tangents propagated for each image.
        random: whether these are random, because one for every direction of the noise would not fit in memory.
        samples: noisy inputs from which the nonlinear part of the response is estimated.
        samples_reason: why there are none.
        variance_error: standard error of the variances from those, relative; root mean square over images and logits.
        variance_error_reason: why there is none.
        mean_correction_sd: by how much the samples moved the means, in units of each logit's own standard deviation by
            the engine; root mean square over images and logits. 0 where they found nothing beyond chance.
        mean_correction_error_sd: standard error of the means as the samples alone tell them, in the same units: what
            they could not have seen of a bias. 0 where the means are exact.
        direction_error_sd: standard error of the means from random directions, in units of each logit's own standard
            deviation; root mean square over images and logits, from the difference of two halves.
        direction_error_sd_reason: why there is none.
        quadrature_error_sd: error of the numerical integrals that give the means of smooth functions (tanh, GELU, ...),
            in units of the unit's own standard deviation; the largest of any unit and image.
        quadrature_error_sd_reason: why there is none.
        linearized: layers whose slopes are those of their tangent.
        gains: noise behind each elementwise layer.
    """

    directions: CountFromOne
    random: bool
    samples: CountFromOne | None
    samples_reason: str | None = None
    variance_error: NonNegative | None
    variance_error_reason: str | None = None
    mean_correction_sd: NonNegative
    mean_correction_error_sd: NonNegative
    direction_error_sd: NonNegative | None
    direction_error_sd_reason: str | None = None
    quadrature_error_sd: NonNegative | None
    quadrature_error_sd_reason: str | None = None
    linearized: tuple[LinearizedNode, ...]
    gains: tuple[LayerGain, ...]


@dataclass(frozen=True, kw_only=True)
class LeftOut(Record):
    """An engine asked for that cannot run on this model.

    Attributes:
        engine: its name.
        reason: why.
    """

    engine: EngineName
    reason: str


@dataclass(frozen=True, kw_only=True)
class MomentEntry(Record):
    """One engine at one noise level and one cut. Analytic moments are estimates, never certificates.

    Attributes:
        sigma_pixel: standard deviation of the noise in pixel units (data range [0, 1]).
        sigma_model: the same at the model's own input, one value per channel.
        engine: how the moments were computed: ``propagate``, ``two-stage``, ``bank``, ``diagonal``,
            ``published-theorem2`` or ``published-lemma4``.
        baseline: why the engine is there for comparison only and its variance is no estimate; null for estimates.
        cut: ReLU node the network was linearized around, or null if the engine has none.
        cut_kind: ``cut`` if every path from the input to the logits crosses that node, else ``skip``; null without one.
        linearizer: how the parts around the cut were made affine: ``taylor``, ``averaged``, or null.
        propagation: how moments were propagated; null for other engines.
        bank: the bank that served engine ``bank``; null for other engines.
        reference: the Monte Carlo run compared with.
        per_class: tightness per logit.
        overall: tightness over all logits, and flip probability.
        flips: flip probabilities by class and image, and the confusion matrix; null without a covariance.
        flips_reason: why there are none.
        seconds_per_input: wall time of the engine per image, without the reference.
        seconds_per_input_reason: why it is not stated.
        forward_passes_per_input: the same in units of one forward pass of one image.
        forward_passes_per_input_reason: why it is not stated.
    """

    sigma_pixel: Positive
    sigma_model: tuple[float, ...]
    engine: EngineName
    baseline: str | None = None
    cut: str | None
    cut_kind: Literal["cut", "skip"] | None
    linearizer: Literal["taylor", "averaged"] | None
    propagation: PropagationEntry | None
    bank: BankUse | None = None
    reference: ReferenceEntry
    per_class: tuple[ClassMoments, ...]
    overall: OverallMoments
    flips: EstimatedFlips | None
    flips_reason: str | None = None
    seconds_per_input: NonNegative | None
    seconds_per_input_reason: str | None = None
    forward_passes_per_input: NonNegative | None
    forward_passes_per_input_reason: str | None = None
