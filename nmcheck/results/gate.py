"""What the gate decided: a verdict, and the checks it follows from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nmcheck.results.record import Count, NonNegative, Place, Record, Sha256, Share

Verdict = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True, kw_only=True)
class GateWaiver(Record):
    """A person's decision to ship although a check does not pass.

    Attributes:
        reason: why, as the policy says.
        expires: last day it holds, as YYYY-MM-DD.
        state: ``valid``, or ``expired`` if that day is over.
    """

    reason: str
    expires: str
    state: Literal["valid", "expired"]


@dataclass(frozen=True, kw_only=True)
class GateExample(Record):
    """An adversarial example behind a check that fails; written as a file where the user names a folder.

    Attributes:
        index: the image's index in the data.
        label: its label.
        predicted: the class the model gives the example, as onnxruntime says.
        distance: its distance from the image in the check's norm, in pixel units.
        file: name of the file in the folder given with ``--examples``.
    """

    index: Place
    label: Count
    predicted: Count
    distance: NonNegative
    file: str


@dataclass(frozen=True, kw_only=True)
class GateCheck(Record):
    """One demand of the policy and what became of it.

    ``low`` and ``high`` enclose the quantity that the demand is about: ends of a confidence interval where it is
    sampled, certified and attacked ends where it is bounded, both equal to ``measured`` where it is simply counted.

    Attributes:
        id: name of the check, unique, which waivers and baselines refer to.
        kind: what is measured.
        against: what it is compared with: the policy's ``threshold``, or the ``baseline``.
        claim: what the policy demands, in words.
        class_: the class it is about, or null for all; the JSON key is ``class``.
        norm: norm of the change, or null.
        box: range the changed pixels must stay in, or null.
        epsilon: size of the change in pixel units, or null.
        sigma: standard deviation of the noise in pixel units, or null.
        percentile: which percentile of the radii, or null.
        statistic: which moment's error, ``mean`` or ``variance``, or null.
        method: how it was measured; a baseline must have used the same.
        sense: ``min`` if the quantity must be at least the threshold, ``max`` if at most.
        threshold: the policy's number, or what the baseline and the allowed drop make it.
        measured: the best single number for the quantity.
        measured_reason: why there is none.
        low: lower end.
        low_reason: why there is none.
        high: upper end.
        high_reason: why there is none.
        confidence: least probability that the interval holds the quantity; null where the ends are no matter of chance.
        images: images behind it.
        trials: noise samples behind it, over all images; null where there are none.
        verdict: ``pass`` or ``fail`` on evidence, else ``inconclusive``.
        reason: what the verdict rests on, a sentence.
        examples: adversarial examples that show a failure; empty otherwise.
        waiver: the policy's waiver of it, or null.
    """

    id: str
    kind: Literal["accuracy", "certified-accuracy", "attacked-accuracy", "flip", "radius", "moment-tightness"]
    against: Literal["threshold", "baseline"]
    claim: str
    class_: Count | None
    norm: Literal["l2", "linf"] | None
    box: tuple[float, float] | None
    epsilon: NonNegative | None
    sigma: NonNegative | None
    percentile: NonNegative | None
    statistic: Literal["mean", "variance"] | None
    method: str
    sense: Literal["min", "max"]
    threshold: NonNegative
    measured: NonNegative | None
    measured_reason: str | None = None
    low: Share | None
    low_reason: str | None = None
    high: Share | None
    high_reason: str | None = None
    confidence: Share | None
    images: Count
    trials: Count | None
    verdict: Verdict
    reason: str
    examples: tuple[GateExample, ...] = ()
    waiver: GateWaiver | None = None

    @property
    def waived(self) -> bool:
        """Whether it does not pass and a valid waiver lets it."""
        return self.verdict != "pass" and self.waiver is not None and self.waiver.state == "valid"


@dataclass(frozen=True, kw_only=True)
class GateBaseline(Record):
    """The report compared with.

    Attributes:
        fingerprint: that of its model.
        max_drop: how much worse a check may be: of shares and probabilities absolute, of radii and errors relative.
    """

    fingerprint: Sha256
    max_drop: NonNegative


@dataclass(frozen=True, kw_only=True)
class GateEntry(Record):
    """The gate's decision.

    Attributes:
        verdict: ``fail`` if a check fails that is not waived, else ``inconclusive`` if one is and is not waived, else
            ``pass``.
        exit_code: 0 or 1, which follows from the verdict and ``on_inconclusive``.
        on_inconclusive: what an inconclusive verdict counts as.
        reason: the decision in one sentence.
        policy_sha256: digest of the policy file.
        alpha: probability that a check resting on chance decides wrongly is at most this.
        baseline: the report compared with, or null.
        checks: one entry per demand, in the policy's order.
    """

    verdict: Verdict
    exit_code: Count
    on_inconclusive: Literal["pass", "fail"]
    reason: str
    policy_sha256: Sha256
    alpha: NonNegative
    baseline: GateBaseline | None
    checks: tuple[GateCheck, ...]
