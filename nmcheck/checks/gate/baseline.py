"""A report of an earlier run as the mark not to fall below.

The report may be a gate's or an analysis's: what the checks measure is taken from its sections, so that it need not
have had the same policy. It is refused where a comparison would be between different things. Where a check has a
confidence interval, so has the baseline, of the same confidence, and its worst end is the mark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nmcheck.checks.gate.baseline_values import check_baseline
from nmcheck.checks.gate.description import number
from nmcheck.checks.gate.student import student_interval
from nmcheck.errors import UsageError
from nmcheck.moments.confidence_sequence import anytime_interval
from nmcheck.moments.flips import clopper_pearson
from nmcheck.outside_text import brief
from nmcheck.results import GateBaseline, GateCheck, Report, certified_radius
from nmcheck.results.document import DocumentError, read_document
from nmcheck.results.gate import Verdict

RELATIVE = ("radius", "moment-tightness")
"""Kinds whose drop is relative to the baseline; others are shares and probabilities, whose drop is absolute."""


@dataclass(frozen=True)
class Baseline:
    """A report read back.

    Attributes:
        path: of its file.
        report: the document.
        max_drop: how much worse a check may be.
    """

    path: Path
    report: Mapping[str, Any]
    max_drop: float

    @property
    def entry(self) -> GateBaseline:
        """For the gate's report."""
        return GateBaseline(fingerprint=str(self.report["model"]["fingerprint"]), max_drop=self.max_drop)


def read_baseline(path: Path, max_drop: float) -> Baseline:
    """Read a report.

    Raises:
        UsageError: it is no report of a version that nmcheck knows.
    """
    try:
        report = read_document(path)
    except OSError as error:
        raise UsageError(f"{path}: the baseline cannot be read ({error.strerror}); name a JSON report.") from error
    except DocumentError as error:
        raise _unusable(path, error) from error
    named = isinstance(report, dict) and isinstance(report.get("model"), dict) and isinstance(report.get("data"), dict)
    if not named or report.get("schema_version") != 1 or "fingerprint" not in report["model"]:
        raise UsageError(
            f"{path}: the baseline is no nmcheck report of schema_version 1; write one with nmcheck gate --json."
        )
    try:
        check_baseline(report)
    except DocumentError as error:
        raise _unusable(path, error) from error
    return Baseline(path, report, max_drop)


def check_comparable(baseline: Baseline, report: Report) -> None:
    """Refuse a baseline of other data or noise.

    Raises:
        UsageError: naming what differs.
    """
    old, new = baseline.report, report
    _same(baseline, "data (sha256 of the images used)", old["data"].get("sha256"), new.data.sha256)
    _same(baseline, "input scale", old["data"].get("scale"), new.data.scale)
    _same(baseline, "labels", old["data"].get("labels"), new.data.labels)
    if "noise" in old:
        _same(baseline, "noise", old["noise"].get("description"), new.noise.description)


def compare(baseline: Baseline, checks: Sequence[GateCheck]) -> tuple[GateCheck, ...]:
    """A check against the baseline for every check that measured something.

    Raises:
        UsageError: the baseline has nothing to compare a check with: another norm, size, noise level or method.
    """
    try:
        return tuple(_compared(baseline, check) for check in checks if check.measured is not None)
    except (ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise _refusal(baseline, f"is not whole ({type(error).__name__}: {error})") from error


def _compared(baseline: Baseline, check: GateCheck) -> GateCheck:
    low, high = _interval(baseline, check)
    drop = baseline.max_drop
    worst = low if check.sense == "min" else high
    allowed = (
        worst * (1 - drop if check.sense == "min" else 1 + drop)
        if check.kind in RELATIVE
        else (worst - drop if check.sense == "min" else worst + drop)
    )
    if check.kind not in RELATIVE:
        allowed = min(1.0, max(0.0, allowed))
    best = check.high if check.sense == "min" else check.low
    kept = check.low if check.sense == "min" else check.high
    # Of certified and attacked ends the baseline speaks of the same end as the check measured.
    if check.confidence is None:
        best = kept = check.measured
    assert check.measured is not None
    slack = 1e-12 * max(1.0, abs(allowed))
    verdict: Verdict = "inconclusive"
    end = "the intervals overlap"
    if check.kind == "moment-tightness" and check.confidence is None:
        end = (check.high_reason or "it has no interval").rstrip(".")
    elif kept is not None and (kept >= allowed - slack if check.sense == "min" else kept <= allowed + slack):
        verdict = "pass"
    elif best is not None and (best < allowed if check.sense == "min" else best > allowed):
        verdict = "fail"
    was = number(check.kind, low) if low == high else f"{number(check.kind, low)} to {number(check.kind, high)}"
    unit = f"{100 * drop:g} % of it" if check.kind in RELATIVE else f"{100 * drop:g} percentage points"
    now = number(check.kind, check.measured)
    if check.confidence is not None and check.low is not None and check.high is not None:
        now = f"{now} ({number(check.kind, check.low)} to {number(check.kind, check.high)})"
    end = "" if verdict != "inconclusive" else f"; {end}"
    return replace(
        check,
        id=f"baseline/{check.id}",
        against="baseline",
        claim=f"{check.claim.rpartition(' at ')[0]} no more than {unit} worse than the baseline",
        threshold=allowed,
        verdict=verdict,
        reason=f"it was {was} and is {now}{end}.",
        examples=(),
        waiver=None,
    )


def _interval(baseline: Baseline, check: GateCheck) -> tuple[float, float]:
    """Ends of the baseline's value; equal where it has no error."""
    found = next(
        (one for one in (baseline.report.get("gate") or {}).get("checks", []) if one.get("id") == check.id), None
    )
    if found is not None:
        for key in ("kind", "norm", "box", "epsilon", "sigma", "percentile", "statistic", "method"):
            mine = getattr(check, key)
            _same(
                baseline,
                f"{key} of check '{check.id}'",
                found.get(key),
                list(mine) if isinstance(mine, tuple) else mine,
            )
    if check.kind == "flip":
        return _flips(baseline, check)
    if check.kind == "moment-tightness":
        return _moments(baseline, check)
    value = _accuracy(baseline, check) if check.kind == "accuracy" else _from_samples(baseline, check)
    if check.confidence is None:
        return value, value
    # A share in the population; the images are the same, so there were as many.
    population = clopper_pearson(round(value * check.images), check.images, check.confidence)
    return population.low, population.high


def _accuracy(baseline: Baseline, check: GateCheck) -> float:
    if check.class_ is None and baseline.report["data"].get("accuracy") is not None:
        return float(baseline.report["data"]["accuracy"])
    found = _gate_value(baseline, check)
    if found is None:
        raise _refusal(baseline, f"has no accuracy of class {check.class_}")
    return found


def _gate_value(baseline: Baseline, check: GateCheck) -> float | None:
    checks = (baseline.report.get("gate") or {}).get("checks", [])
    return next((one.get("measured") for one in checks if one.get("id") == check.id), None)


def _flips(baseline: Baseline, check: GateCheck) -> tuple[float, float]:
    """The interval of the rate of the classes asked about, pooled; valid whenever the baseline's sampling stopped."""
    entries = baseline.report.get("flips") or []
    entry = next((one for one in entries if one.get("sigma_pixel") == check.sigma), None)
    if entry is None:
        raise _refusal(baseline, f"has no flips at sigma {check.sigma:g}")
    rows = [one for one in entry["per_class"] if check.class_ is None or one["class"] == check.class_]
    trials = sum(one["trials"] for one in rows)
    if not trials:
        raise _refusal(baseline, f"has no flips of class {check.class_}")
    flips = sum(round(one["sampled"] * one["trials"]) for one in rows)
    assert check.confidence is not None
    found = anytime_interval(flips, trials, 1.0 - check.confidence)
    return found.low, found.high


def _moments(baseline: Baseline, check: GateCheck) -> tuple[float, float]:
    """Student's interval of the baseline's E_r over its images, the check's; a point if the check has none."""
    entries = baseline.report.get("moments") or []
    key = "mean_er" if check.statistic == "mean" else "var_er"
    what = f"{key} of engine {check.method} at sigma {check.sigma:g}"
    for one in entries:
        if one.get("sigma_pixel") == check.sigma and one.get("engine") == check.method:
            source = one["overall"] if check.class_ is None else one["per_class"][check.class_]
            value, error = source.get(key), source.get(f"{key}_se")
            if value is None:
                break
            if check.confidence is None:
                return float(value), float(value)
            if error is None:
                raise _refusal(baseline, f"has no standard error of {what}, so there is no interval to compare with")
            return student_interval(float(value), float(error), check.images, check.confidence)
    raise _refusal(baseline, f"has no {what}")


def _from_samples(baseline: Baseline, check: GateCheck) -> float:
    box = None if check.box is None else list(check.box)
    entries = baseline.report.get("bounds") or []
    entry = next((one for one in entries if one.get("norm") == check.norm and one.get("box") == box), None)
    if entry is None:
        raise _refusal(
            baseline, f"has no bounds in norm {check.norm} {'without a box' if box is None else f'in the box {box}'}"
        )
    rows = [one for one in entry["per_sample"] if check.class_ is None or one["label"] == check.class_]
    if not rows:
        raise _refusal(baseline, f"has no images of class {check.class_}")
    attacked = check.kind == "attacked-accuracy"
    if not attacked:
        methods = {one["lower_method"] for one in rows if one["lower_method"] is not None}
        if methods - {check.method}:
            _same(baseline, f"method of check '{check.id}'", ", ".join(sorted(methods)), check.method)
    values = np.array([_upper(one) if attacked else _lower(one) for one in rows])
    correct = np.array([bool(one["correct"]) for one in rows])
    if check.kind == "radius":
        if not correct.any():
            raise _refusal(baseline, "classifies none of these images correctly")
        return float(np.percentile(values[correct], check.percentile or 0.0, method="lower"))
    holds = values > (check.epsilon or 0.0) if attacked else values >= (check.epsilon or 0.0)
    return float(np.mean(correct & holds))


def _lower(sample: Mapping[str, Any]) -> float:
    return certified_radius(sample["lower"], sample.get("lower_reason"))


def _upper(sample: Mapping[str, Any]) -> float:
    return math.inf if sample["upper"] is None else float(sample["upper"])


def _same(baseline: Baseline, what: str, old: object, new: object) -> None:
    if old != new:
        raise _refusal(baseline, f"has another {what}: {_short(old)}, and this run has {_short(new)}")


def _refusal(baseline: Baseline, why: str) -> UsageError:
    return UsageError(f"{baseline.path}: the baseline {why}; measure a baseline with the same data and policy.")


def _unusable(path: Path, error: DocumentError) -> UsageError:
    return UsageError(f"{path}: the baseline cannot be used: {error}; write one with nmcheck gate --json.")


def _short(value: object) -> str:
    text = value if isinstance(value, str) else brief(value)
    return f"{text[:16]}..." if len(text) > 40 else text
