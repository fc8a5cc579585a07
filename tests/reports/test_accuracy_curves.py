"""The picture of accuracy against the size of changes, where no change of any size alters some labels."""

import re
from dataclasses import replace

import made_up_bounds
import made_up_report

from nmcheck.reports.html.charts import accuracy_curves
from nmcheck.reports.html.page import to_html
from nmcheck.results import UNREACHABLE, BoundsEntry


def unlimited(count: int, reason: str = UNREACHABLE) -> BoundsEntry:
    """The made-up entry of 100 images, the first ``count`` without a number."""
    entry = made_up_bounds.bounds_entry()
    samples = [
        replace(one, lower=None, lower_reason=reason, lower_method=None) if place < count else one
        for place, one in enumerate(entry.per_sample)
    ]
    return replace(entry, per_sample=tuple(samples))


def last_height(entry: BoundsEntry) -> float:
    """Where the certified curve ends, from the bottom axis, as a share of its start."""
    (curve,) = re.findall(r'd="(M[^"]*)"', accuracy_curves(entry, ()))
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", curve)]
    bottom = 258.0 - 42.0
    return (bottom - numbers[-1]) / (bottom - numbers[1])


def test_the_curve_keeps_what_no_change_can_reach():
    assert last_height(unlimited(0)) == 0
    assert abs(last_height(unlimited(30)) - 0.3) < 1e-3
    assert last_height(unlimited(100)) == 1
    assert last_height(unlimited(30, "no method applies")) == 0


def test_the_sentence_says_so():
    assert "half of these are certified against any change" in accuracy_curves(unlimited(80), ())
    assert re.search(r"half of these are certified to 0\.0\d+", accuracy_curves(unlimited(20), ()))


def test_a_page_of_nothing_else_has_the_curve():
    title = "Accuracy against changes"
    assert title in to_html(replace(made_up_report.report(), bounds=(unlimited(100),)))
    assert title not in to_html(replace(made_up_report.report(), bounds=(unlimited(100, "no method applies"),)))
