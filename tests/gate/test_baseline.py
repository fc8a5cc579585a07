"""The marks that a baseline sets: ends of its own intervals."""

from pathlib import Path
from typing import Any

import made_up_gate
import pytest
import scipy.stats

from nmcheck.checks.gate.baseline import Baseline, compare
from nmcheck.errors import UsageError
from nmcheck.moments.confidence_sequence import anytime_interval
from nmcheck.moments.flips import clopper_pearson
from nmcheck.results import GateCheck

IMAGES, CONFIDENCE = 25, 0.98


def tightness(value: float, error: float | None, of_class: int | None = None, statistic: str = "variance") -> GateCheck:
    """A check of moments as ``judge_moments`` records it."""
    reach = 0.0 if error is None else float(scipy.stats.t.ppf(0.5 + 0.5 * CONFIDENCE, IMAGES - 1)) * error
    known = error is not None
    return made_up_gate.check(
        "tight",
        "moment-tightness",
        claim="relative error E_r at most 0.5",
        class_=of_class,
        sigma=0.1,
        statistic=statistic,
        method="propagate",
        sense="max",
        measured=value,
        low=value - reach if known else None,
        high=value + reach if known else None,
        low_reason=None if known else "one image has no standard error",
        high_reason=None if known else "one image has no standard error",
        confidence=CONFIDENCE if known else None,
        images=IMAGES,
    )


def moments(value: float, error: float | None) -> dict[str, Any]:
    """A report in which class 1 has these errors of mean and variance, and all else is far worse."""
    fields = ("mean_er", "var_er")
    worse = {**dict.fromkeys(fields, 1.9), **dict.fromkeys((f"{one}_se" for one in fields), 0.1)}
    mine = {**dict.fromkeys(fields, value), **dict.fromkeys((f"{one}_se" for one in fields), error)}
    entry = {"sigma_pixel": 0.1, "engine": "propagate", "overall": worse, "per_class": [worse, mine]}
    return {"moments": [{**entry, "engine": "diagonal", "per_class": [worse, worse]}, entry]}


def compared(report: dict[str, Any], check: GateCheck, drop: float = 0.0) -> GateCheck:
    """The check against a baseline."""
    (found,) = compare(Baseline(Path("old.json"), report, drop), [check])
    assert (found.id, found.against) == (f"baseline/{check.id}", "baseline")
    return found


@pytest.mark.parametrize("statistic", ["mean", "variance"])
@pytest.mark.parametrize("where", [1, None])
@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ((0.2, 0.01), (0.2, 0.01), "pass"),
        # A worse value, which the baseline's own error covers, and one that it does not.
        ((0.2, 0.02), (0.21, 0.005), "pass"),
        ((0.2, 0.001), (0.21, 0.01), "inconclusive"),
        ((0.2, 0.001), (0.3, 0.01), "fail"),
        ((0.2, 0.05), (0.3, 0.01), "inconclusive"),
        ((0.2, 0.1), (0.3, 0.01), "pass"),
    ],
)
def test_moments_are_compared_with_the_upper_end_of_students_interval(statistic, where, old, new, verdict):
    report = moments(old[0], old[1])
    entry = report["moments"][1]
    if where is None:
        entry["overall"], entry["per_class"][1] = entry["per_class"][1], entry["overall"]
    found = compared(report, tightness(new[0], new[1], where, statistic))
    assert found.verdict == verdict
    mark = old[0] + scipy.stats.t.ppf(0.99, IMAGES - 1) * old[1]
    assert found.threshold == pytest.approx(mark, rel=1e-12)
    assert f"it was {2 * old[0] - mark if mark < 2 * old[0] else 0:.4g} to {mark:.4g} and is" in found.reason


def test_a_drop_is_relative_to_the_end():
    found = compared(moments(0.2, 0.01), tightness(0.2, 0.01, 1), drop=0.1)
    assert found.threshold == pytest.approx(1.1 * (0.2 + scipy.stats.t.ppf(0.99, IMAGES - 1) * 0.01))


def test_a_baseline_without_a_standard_error_is_refused():
    with pytest.raises(UsageError, match=r"old.json: the baseline has no standard error of var_er of engine propagate"):
        compared(moments(0.2, None), tightness(0.2, 0.01, 1))
    with pytest.raises(UsageError, match=r"the baseline has no var_er of engine propagate at sigma 0\.1"):
        compared({"moments": []}, tightness(0.2, 0.01, 1))


@pytest.mark.parametrize("error", [None, 0.01])
def test_a_check_without_an_interval_decides_nothing(error):
    # As points the new value is far better, and that would be no evidence.
    found = compared(moments(0.2, error), tightness(0.1, None, 1))
    assert found.verdict == "inconclusive"
    assert found.reason == "it was 0.2 and is 0.1; one image has no standard error."


def test_flips_are_compared_with_an_interval_of_the_same_confidence():
    rows = [{"class": c, "trials": 1000, "sampled": flips / 1000} for c, flips in ((0, 12), (1, 30))]
    report = {"flips": [{"sigma_pixel": 0.1, "per_class": rows}]}
    for of_class, flips, trials in ((None, 42, 2000), (1, 30, 1000)):
        own = anytime_interval(flips, trials, 1.0 - CONFIDENCE)
        check = made_up_gate.check(
            "flip", "flip", claim="flips at most 0.5", class_=of_class, sigma=0.1, sense="max",
            measured=own.rate, low=own.low, high=own.high, confidence=CONFIDENCE,
        )  # fmt: skip
        found = compared(report, check, drop=0.01)
        assert found.verdict == "pass"
        assert found.threshold == pytest.approx(own.high + 0.01, rel=1e-12)


@pytest.mark.parametrize("right", [20, 23])
def test_shares_in_the_population_are_compared_with_an_interval_too(right):
    report = {"data": {"accuracy": 23 / IMAGES}}
    mine = clopper_pearson(right, IMAGES, CONFIDENCE)
    check = made_up_gate.check(
        "right", "accuracy", claim="accuracy at least 0.5", measured=mine.rate, low=mine.low, high=mine.high,
        confidence=CONFIDENCE, images=IMAGES,
    )  # fmt: skip
    found = compared(report, check)
    assert found.threshold == pytest.approx(clopper_pearson(23, IMAGES, CONFIDENCE).low, rel=1e-12)
    assert found.verdict == ("pass" if right == 23 else "inconclusive")
    # A count of these images is no matter of chance.
    counted = made_up_gate.check("right", "accuracy", claim="accuracy at least 0.5", measured=right / IMAGES)
    assert compared(report, counted).threshold == pytest.approx(23 / IMAGES)
