"""Verdicts: pass on evidence, fail on evidence, else inconclusive.

A share of images lies between what is certified and what attacks leave; each end may come with the interval of the
population the images were drawn from. A demand of at least T passes if the lower end reaches T and fails if the upper
end stays below it; one of at most T the other way round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nmcheck.checks.case import Case
from nmcheck.checks.gate.description import NORMS, level, number, threshold
from nmcheck.checks.gate.evidence import Bracket
from nmcheck.checks.gate.instance import CheckInstance, Interval
from nmcheck.checks.gate.question import Question
from nmcheck.checks.gate.student import student_interval
from nmcheck.counting import counted
from nmcheck.moments.flips import clopper_pearson
from nmcheck.results import UNREACHABLE, ClassMoments, GateCheck, GateExample, MomentEntry, OverallMoments
from nmcheck.results.gate import Verdict

MOST_EXAMPLES = 10
NO_LABELS = "the data has no labels, so the model's own predictions stand for them and nothing is known of accuracy"
EXECUTION = "argmax of the logits in float64"


def judge_accuracy(case: Case, instance: CheckInstance) -> GateCheck:
    """Share of the images classified as labelled."""
    if case.labels is None:
        return instance.record(Interval.missing(NO_LABELS), "inconclusive", f"{NO_LABELS}.", method=EXECUTION)
    if not len(instance.rows):
        return _empty(instance, EXECUTION)
    right, total = int(case.correct.cpu().numpy()[instance.rows].sum()), len(instance.rows)
    ends, verdict = _share(instance, right, right)
    interval = _interval(ends)
    return instance.record(ends, verdict, f"{_some(right, total)} classified as labelled{interval}.", method=EXECUTION)


def judge_certified(case: Case, instance: CheckInstance, found: Bracket) -> GateCheck:
    """Share of the images that are classified as labelled and provably stay so."""
    method = found.lowers.method
    if not len(instance.rows):
        return _empty(instance, method)
    correct, kept, left = _counts(case, instance, found)
    total = len(instance.rows)
    ends, verdict = _share(instance, kept, left)
    if found.lowers.reason is not None and kept == 0:
        ends = Interval(None, ends.low, ends.high, found.lowers.reason, confidence=ends.confidence)
    size = f"{NORMS[found.norm]} norm {instance.demand.epsilon:g}"
    certified = f"{_some(kept, total)} certified by {method} up to {size}"
    broken = _broken(found, correct, left, size)
    if verdict == "pass":
        reason = f"{certified}{_interval(ends)}."
    elif verdict == "fail":
        reason = f"{_some(left, total)} left: {broken}{_interval(ends)}."
    else:
        why = f"; {_bare(found.lowers.reason)}" if found.lowers.reason else ""
        reason = (
            f"{certified} and no more than {left:,} can be ({broken}), which leaves {threshold(instance.demand)} open"
            f"{_interval(ends)}{why}."
        )
    examples = _examples(case, instance, found) if verdict == "fail" else ()
    return instance.record(ends, verdict, reason, method=method, examples=examples)


def judge_attacked(case: Case, instance: CheckInstance, found: Bracket) -> GateCheck:
    """Share of the images that are classified as labelled and that no attack changed.

    What is certified no attack can change, so a certificate is evidence for a pass. Where the attacks ran on all images
    that are classified correctly, what they leave is the quantity itself, and passing says no more than that these
    attacks found nothing.
    """
    method = found.attacks
    if not len(instance.rows):
        return _empty(instance, method)
    correct, kept, left = _counts(case, instance, found)
    total = len(instance.rows)
    size = f"{NORMS[found.norm]} norm {instance.demand.epsilon:g}"
    unattacked = found.unattacked
    broken = _broken(found, correct, left, size)
    if unattacked is None or kept == left:
        ends, verdict = _share(instance, left, left)
        proof = "all that are left are certified" if kept == left else "an empirical upper bound, no proof"
        reason = f"{_some(left, total, 'withstands', 'withstand')} {size} ({broken}; {proof}){_interval(ends)}."
    else:
        ends, verdict = _share(instance, kept, left)
        ends = Interval(None, ends.low, ends.high, unattacked, confidence=ends.confidence)
        if verdict == "pass":
            certified = f"{_some(kept, total)} certified up to {size}"
            reason = f"{certified}, so no attack can change them{_interval(ends)}."
        elif verdict == "fail":
            reason = f"{_some(left, total)} left: {broken}{_interval(ends)}."
        else:
            reason = (
                f"between {kept:,} (certified) and {left:,} ({broken}) of {counted(total, 'image')} withstand "
                f"{size}, which "
                f"leaves {threshold(instance.demand)} open{_interval(ends)}; {_bare(unattacked)}."
            )
    examples = _examples(case, instance, found) if verdict == "fail" else ()
    return instance.record(ends, verdict, reason, method=method, examples=examples)


def judge_radius(case: Case, instance: CheckInstance, found: Bracket) -> GateCheck:
    """A percentile of the radius over the images classified correctly: the order statistic at or below it."""
    method, demand = found.lowers.method, instance.demand
    rows = instance.rows[case.correct.cpu().numpy()[instance.rows]]
    if not len(rows):
        return _empty(instance, method, "no image that is classified correctly")
    low, high = (
        float(np.percentile(values[rows], demand.percentile or 0.0, method="lower"))
        for values in (found.lower, found.upper)
    )
    known = found.lowers.reason is None
    no_low = None if known and math.isfinite(low) else UNREACHABLE if known else found.lowers.reason
    unbroken = found.unattacked or "the attacks found no example of that many images"
    ends = Interval(
        measured=None if no_low else low,
        measured_reason=no_low,
        low=None if no_low else low,
        low_reason=no_low,
        high=high if math.isfinite(high) else None,
        high_reason=None if math.isfinite(high) else unbroken,
    )
    verdict: Verdict = "inconclusive"
    certified = f"certified by {method}: {'unlimited' if no_low == UNREACHABLE else number('radius', low)}"
    attacked = f"adversarial examples: {number('radius', high)}" if math.isfinite(high) else _bare(unbroken)
    if known and low >= demand.threshold:
        verdict, reason = "pass", f"{certified}, over {counted(len(rows), 'image')}."
    elif high < demand.threshold:
        verdict, reason = "fail", f"{attacked}, over {counted(len(rows), 'image')}."
    else:
        certified = certified if known else _bare(str(found.lowers.reason))
        reason = f"{certified}; {attacked}: {threshold(demand)} lies between, over {counted(len(rows), 'image')}."
        if not math.isfinite(high):
            reason = f"{certified}, below {threshold(demand)}, and nothing shows that it is not larger: {attacked}."
    examples = _examples(case, instance, found, demand.threshold) if verdict == "fail" else ()
    return instance.record(ends, verdict, reason, method=method, examples=examples)


def judge_flips(instance: CheckInstance, question: Question | None, execution: str) -> GateCheck:
    """Probability that noise changes the predicted class, averaged over the images.

    Each verdict spends the instance's alpha, as only one of them can be wrong, so the interval has 1 - 2 alpha.
    """
    if question is None or question.interval is None:
        return _empty(instance, execution)
    found = question.interval
    ends = Interval(found.rate, found.low, found.high, confidence=found.confidence)
    verdict: Verdict = "inconclusive" if question.answer is None else "pass" if question.answer == "pass" else "fail"
    flips = round(found.rate * found.n)
    seen = f"{counted(flips, 'flip')} in {counted(found.n, 'noise sample')}; "
    seen += f"{level(found.confidence)} interval, valid at every look: "
    seen += f"{number('flip', found.low)} to {number('flip', found.high)}"
    end = (
        ""
        if verdict != "inconclusive"
        else f", which holds {threshold(instance.demand)}; the budget is spent, raise it"
    )
    return instance.record(ends, verdict, f"{seen}{end}.", method=execution, trials=found.n)


def judge_moments(
    instance: CheckInstance, entries: Sequence[MomentEntry], missing: str | None, trials: int
) -> GateCheck:
    """E_r of an engine's mean or variance; its interval is Student's over the images, an approximation."""
    demand = instance.demand
    entry = next((one for one in entries if (one.sigma_pixel, one.engine) == (demand.sigma, demand.engine)), None)
    if entry is None:
        reason = missing or "the engine did not run"
        return instance.record(Interval.missing(reason), "inconclusive", f"{_bare(reason)}.", method=demand.engine)
    source = entry.overall if instance.of_class is None else entry.per_class[instance.of_class]
    mean = demand.statistic == "mean"
    value, why = (source.mean_er, source.mean_er_reason) if mean else (source.var_er, source.var_er_reason)
    error, why_not = (
        (source.mean_er_se, source.mean_er_se_reason) if mean else (source.var_er_se, source.var_er_se_reason)
    )
    if value is None:
        return instance.record(Interval.missing(str(why)), "inconclusive", f"{_bare(str(why))}.", method=demand.engine)
    if error is None:
        ends = Interval(value, None, None, low_reason=why_not, high_reason=why_not)
        return instance.record(
            ends, "inconclusive", f"E_r is {value:.4g}; {_bare(str(why_not))}.", method=demand.engine
        )
    confidence = 1.0 - instance.alpha
    low, high = student_interval(value, error, _averaged(source, len(instance.rows)), confidence)
    ends = Interval(value, low, high, confidence=confidence)
    verdict: Verdict = "pass" if high <= demand.threshold else "fail" if low > demand.threshold else "inconclusive"
    floor = entry.reference.floor.mean_er if mean else entry.reference.floor.var_er
    reason = (
        f"E_r is {value:.4g} with standard error {error:.2g} over {counted(len(instance.rows), 'image')}"
        f"{'' if floor is None else f', noise floor {floor:.2g}'}{_interval(ends)}."
    )
    return instance.record(ends, verdict, reason, method=demand.engine, trials=trials)


def _averaged(source: ClassMoments | OverallMoments, images: int) -> int:
    """Images that an average is over; of one logit, those in which noise moves it."""
    return images - source.unmoved if isinstance(source, ClassMoments) else images


def _counts(case: Case, instance: CheckInstance, found: Bracket) -> tuple[int, int, int]:
    """Of the instance's images: classified correctly; certified besides; and left by the attacks."""
    rows, epsilon = instance.rows, instance.demand.epsilon or 0.0
    correct = case.correct.cpu().numpy()[rows]
    kept = correct & (found.lower[rows] >= epsilon)
    left = correct & ~(found.upper[rows] <= epsilon)
    return int(correct.sum()), int(kept.sum()), int(left.sum())


def _some(some: int, total: int, singular: str = "is", plural: str = "are") -> str:
    return f"{some:,} of {counted(total, 'image')} {singular if some == 1 else plural}"


def _share(instance: CheckInstance, kept: int, left: int) -> tuple[Interval, Verdict]:
    """Ends and verdict of a share that at least ``kept`` and at most ``left`` of the images belong to."""
    total, wanted = len(instance.rows), instance.demand.threshold
    if instance.demand.about == "images":
        # Counts are compared, not quotients: 0.29 of 100 images is 29 of them.
        least = wanted * total * (1.0 - 1e-12)
        verdict: Verdict = "pass" if kept >= least else "fail" if left < least else "inconclusive"
        return Interval(kept / total, kept / total, left / total), verdict
    low = clopper_pearson(kept, total, 1.0 - instance.alpha).low
    high = clopper_pearson(left, total, 1.0 - instance.alpha).high
    verdict = "pass" if low >= wanted else "fail" if high < wanted else "inconclusive"
    return Interval(kept / total, low, high, confidence=1.0 - instance.alpha), verdict


def _interval(ends: Interval) -> str:
    if ends.confidence is None:
        return ""
    return f"; {level(ends.confidence)} interval {ends.low or 0.0:.4g} to {ends.high or 0.0:.4g}"


def _broken(found: Bracket, correct: int, left: int, size: str) -> str:
    """Why no more than ``left`` images can be counted."""
    wrong = f"{correct:,} are classified as labelled"
    if not found.uppers:
        return wrong
    return f"{wrong}, {found.attacks} changed {correct - left:,} of them within {size}"


def _empty(instance: CheckInstance, method: str, what: str = "no image") -> GateCheck:
    where = "" if instance.of_class is None else f" of class {instance.of_class}"
    reason = f"there is {what}{where} among those used"
    return instance.record(Interval.missing(reason), "inconclusive", f"{reason}; use more --samples.", method=method)


def _examples(
    case: Case, instance: CheckInstance, found: Bracket, limit: float | None = None
) -> tuple[GateExample, ...]:
    """The nearest adversarial examples that show a failure."""
    reach = instance.demand.epsilon if limit is None else limit
    correct, upper = case.correct.cpu().numpy(), found.upper
    rows = [int(row) for row in instance.rows if correct[row] and upper[row] <= (reach or 0.0)]
    chosen: list[GateExample] = []
    for row in sorted(rows, key=lambda row: (upper[row], row))[:MOST_EXAMPLES]:
        best = found.best(row)
        if best is None or best.predicted[row] is None:
            continue
        index = int(case.positions[row])
        chosen.append(
            GateExample(
                index=index,
                label=int(case.classes_of_images[row]),
                predicted=int(best.predicted[row] or 0),
                distance=float(upper[row]),
                file=example_file(found, index),
            )
        )
    return tuple(chosen)


EXAMPLE_FILES = ("adversarial-*.npy",)
"""Patterns of the names of files with examples."""


def example_file(found: Bracket, index: int) -> str:
    """Name of the file of an image's nearest example."""
    within = "" if found.box is None else f"-box-{found.box[0]:g}-{found.box[1]:g}"
    return f"adversarial-{found.norm}{within}-{index}.npy"


def _bare(reason: str | None) -> str:
    return (reason or "").rstrip(".")
