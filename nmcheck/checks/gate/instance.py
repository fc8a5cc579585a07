"""A check on its way to a record: the demand, its class, and what they have in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from nmcheck.checks.case import Case
from nmcheck.checks.gate.description import describe
from nmcheck.checks.gate.policy import Demand, Policy
from nmcheck.errors import UsageError
from nmcheck.results import GateCheck, GateExample
from nmcheck.results.gate import Verdict


@dataclass(frozen=True)
class Interval:
    """What encloses a quantity, and the best single number for it; each None has its reason beside it.

    Attributes:
        measured: the number.
        low: lower end.
        high: upper end.
        measured_reason: why there is no number.
        low_reason: why there is no lower end.
        high_reason: why there is no upper end.
        confidence: least probability that the ends hold the quantity, or None where they are no matter of chance.
    """

    measured: float | None
    low: float | None
    high: float | None
    measured_reason: str | None = None
    low_reason: str | None = None
    high_reason: str | None = None
    confidence: float | None = None

    @staticmethod
    def missing(reason: str) -> Interval:
        """Nothing is known."""
        return Interval(None, None, None, reason, reason, reason)


@dataclass(frozen=True)
class CheckInstance:
    """One demand for one class, or for all.

    Attributes:
        demand: the demand.
        of_class: the class, or None.
        rows: the images of it.
        alpha: probability of a wrong verdict that this instance may spend.
    """

    demand: Demand
    of_class: int | None
    rows: Int64[np.ndarray, " rows"]
    alpha: float

    @property
    def id(self) -> str:
        """Of the check."""
        return f"{self.demand.id}/class-{self.of_class}" if self.demand.classes == "each" else self.demand.id

    def record(
        self,
        ends: Interval,
        verdict: Verdict,
        reason: str,
        *,
        method: str,
        trials: int | None = None,
        examples: tuple[GateExample, ...] = (),
    ) -> GateCheck:
        """The record of this instance."""
        demand = self.demand
        normed = demand.norm is not None
        return GateCheck(
            id=self.id,
            kind=demand.kind,  # pyright: ignore[reportArgumentType]
            against="threshold",
            claim=describe(demand, self.of_class),
            class_=self.of_class,
            norm=demand.norm,
            box=demand.box if normed else None,
            epsilon=demand.epsilon,
            sigma=demand.sigma,
            percentile=demand.percentile,
            statistic=demand.statistic,
            method=method,
            sense=demand.sense,
            threshold=demand.threshold,
            measured=ends.measured,
            measured_reason=ends.measured_reason,
            low=ends.low,
            low_reason=ends.low_reason,
            high=ends.high,
            high_reason=ends.high_reason,
            confidence=ends.confidence,
            images=len(self.rows),
            trials=trials,
            verdict=verdict,
            reason=reason,
            examples=examples,
        )


def check_instances(case: Case, policy: Policy) -> list[CheckInstance]:
    """The demands, those of each class taken apart; these share the demand's alpha.

    A class is the label's, except for flips, where it is the class predicted without noise, and for moments, where it
    is the logit's, all images count and masked classes have none.

    Raises:
        UsageError: a demand is about a class that the model does not have.
    """
    labels, predicted = case.classes_of_images.cpu().numpy(), case.predicted.cpu().numpy()
    everything = np.arange(len(case.positions))
    found: list[CheckInstance] = []
    for demand in policy.demands:
        by = predicted if demand.kind == "flip" else labels
        logits = demand.kind == "moment-tightness"
        if demand.classes is None:
            found.append(CheckInstance(demand, None, everything, policy.alpha))
            continue
        if demand.classes == "each":
            classes = [int(c) for c in (case.unmasked if logits else np.unique(by))]
        elif demand.classes < case.single.classes:
            classes = [demand.classes]
        else:
            raise UsageError(
                f"{policy.name}: check '{demand.id}' is about class {demand.classes}, but {case.graph.model.path} has "
                f"{case.single.classes} classes (0 to {case.single.classes - 1}); correct class."
            )
        alpha = policy.alpha / len(classes)
        found += [CheckInstance(demand, c, everything if logits else np.flatnonzero(by == c), alpha) for c in classes]
    return found
