"""Radii that no change can exhaust: what summaries say of them, in records, in JSON and in tables."""

from dataclasses import replace

import made_up_bounds
import numpy as np
import pytest
import torch
from made_up_comparison import comparison
from made_up_report import report

from nmcheck.checks.bounds import mean_kappa, radius_entry
from nmcheck.reports.bounds_report import bounds_parts
from nmcheck.reports.comparison_table import comparison_parts
from nmcheck.reports.layout import text_of
from nmcheck.reports.overlay import overlay_of
from nmcheck.results import UNREACHABLE, RadiusEntry, stated


def entry(radii: list[float], wrong: int = 0) -> RadiusEntry:
    """Of these radii, and of some images more that are classified wrongly."""
    correct = np.array([True] * len(radii) + [False] * wrong)
    values = torch.tensor([*radii, *[np.inf] * wrong], dtype=torch.float64)
    return radius_entry(values, None, correct, theorem="made up", certified=True, seconds=0.1)


@pytest.mark.parametrize("infinite", range(12))
def test_an_infinite_radius_is_a_number_beyond_all(infinite: int) -> None:
    values = np.random.default_rng(infinite).random(11)
    values[:infinite] = np.inf
    ranked, found = sorted(values.tolist()), entry(values.tolist())
    assert stated(found.p5, found.p5_reason) == ranked[0]
    assert stated(found.median, found.median_reason) == ranked[5]


def test_one_infinite_radius_leaves_median_and_percentile_as_they_are() -> None:
    found = entry([0.1 * step for step in range(1, 12)] + [np.inf], wrong=3)
    assert (found.mean, found.mean_reason) == (None, f"{UNREACHABLE} of 1 of 12 images")
    assert found.median == pytest.approx(0.65)
    assert found.p5 == pytest.approx(0.1)
    assert found.median_reason is found.p5_reason is None


def test_most_of_them_infinite_leave_the_percentile() -> None:
    found = entry([0.1, 0.2, 0.3, *[np.inf] * 20])
    assert found.p5 == pytest.approx(0.2)
    reason = f"{UNREACHABLE} of 20 of 23 images"
    assert (found.mean, found.mean_reason, found.median, found.median_reason) == (None, reason, None, reason)
    assert stated(found.median, found.median_reason) == np.inf


def test_all_of_them_infinite() -> None:
    found = entry([np.inf] * 4)
    assert (found.mean, found.median, found.p5) == (None, None, None)
    assert {found.mean_reason, found.median_reason, found.p5_reason} == {UNREACHABLE}


def test_what_is_not_known_is_not_infinite() -> None:
    found = radius_entry(None, "no rule", np.array([True]), theorem="", certified=True, seconds=0.1)
    assert (found.mean_reason, found.median_reason, found.p5_reason) == ("no rule",) * 3
    assert stated(found.mean, found.mean_reason) is None
    none = entry([], wrong=2)
    assert none.mean_reason == none.p5_reason
    assert none.mean_reason is not None
    assert none.mean_reason.startswith("none of the images is classified correctly")
    assert stated(none.p5, none.p5_reason) is None


def test_a_kappa_that_is_infinite_for_some_images_says_for_how_many() -> None:
    assert mean_kappa(torch.tensor([1.0, torch.inf, torch.inf]), None) == (None, f"{UNREACHABLE} of 2 of 3 images")
    assert mean_kappa(torch.tensor([1.0, 2.0]), None) == (1.5, None)


def line_of(text: str, start: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.lstrip().startswith(start))
    return line.split()


def test_tables_tell_infinite_from_unknown() -> None:
    made = made_up_bounds.bounds_entry()
    unlimited, unknown = entry([0.1, 0.2, 0.3, *[np.inf] * 20]), {}
    for name in ("mean", "median", "p5"):
        unknown |= {name: None, f"{name}_reason": "no rule for the operator Foo"}
    samples = (
        replace(made.per_sample[0], index=9001, lower=None, lower_reason=UNREACHABLE, lower_method=None),
        replace(made.per_sample[1], index=9002, lower=None, lower_reason="no rule for the operator Foo"),
        *made.per_sample[2:],
    )
    layers = replace(made.layers[0], node="first", kappa_certified=None, kappa_certified_reason=UNREACHABLE)
    shown = replace(
        made,
        radius={"crown": unlimited, "lipschitz": replace(made.radius["lipschitz"], **unknown)},
        per_sample=samples,
        layers=(layers, *made.layers[1:]),
    )
    text = text_of(bounds_parts, replace(report(), bounds=(shown,)))
    crown = line_of(text, "crown  ")
    assert crown[crown.index("inf") :][:3] == ["inf", "inf", "0.200"]
    assert line_of(text, "lipschitz  ").count("–") == 3
    assert line_of(text, "9001 ")[3] == "inf"
    assert line_of(text, "9002 ")[3] == "–"
    assert "inf" in line_of(text, "first  ")
    assert f"inf mean, median: {UNREACHABLE} of 20 of 23 images." in text
    assert f"inf lower: {UNREACHABLE}." in text
    assert "– lower: no rule for the operator Foo." in text


def test_a_comparison_shows_a_model_that_nothing_can_move() -> None:
    row = line_of(text_of(comparison_parts, comparison()), "certified radius, its correct images")
    assert row[-3:] == ["0.0347", "inf", "0.0347"]


def test_a_viewer_s_summary_has_the_infinite_mean() -> None:
    made = replace(made_up_bounds.bounds_entry(), radius={"lipschitz": entry([np.inf] * 4)})
    summary = overlay_of(replace(report(), bounds=(made,))).summary
    assert "mean certified l2 radius inf (lipschitz)" in summary
