"""``--reference-error``: the number of samples from a pilot run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from models import one_relu, write

from nmcheck.checks.analyze import analyze
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.errors import UsageError

N = 25


@pytest.fixture
def options(tmp_path: Path) -> AnalyzeOptions:
    network = write(one_relu((1, N)), tmp_path)
    np.savez(tmp_path / "x.npz", allow_pickle=False, x=np.random.default_rng(1).random((6, N)))
    data = str(tmp_path / "x.npz")
    return AnalyzeOptions(network, data, (0.05, 0.6), engines=("two-stage",), samples=6, reference_error=0.01)


@pytest.mark.parametrize("reference", ["control-variate", "plain"])
def test_the_floor_comes_out_as_asked_for(options: AnalyzeOptions, reference: str) -> None:
    report = analyze(replace(options, reference=reference))
    assert report.moments is not None
    counts = [entry.reference.n for entry in report.moments]
    for entry in report.moments:
        mean, variance = entry.reference.floor.mean_er, entry.reference.floor.var_er
        assert mean is not None
        assert variance is not None
        found = max(mean, variance)
        # 500 samples tell the floor to some 10 %; it cannot be missed by more than the pilot's own error.
        assert found == pytest.approx(0.01, rel=0.25)
        assert entry.reference.n % 2 == 0
        assert entry.reference.pilot == 500
    assert counts[0] != counts[1]
    assert any("noise floor of 0.01" in note for note in report.notes)


def test_the_pilot_run_leaves_the_reference_as_it_is_without(options: AnalyzeOptions) -> None:
    """Same count, same numbers: what the pilot drew is not used again."""
    options = replace(options, sigmas=(0.6,))
    chosen = analyze(options).moments
    assert chosen is not None
    asked = analyze(replace(options, reference_error=None, reference_samples=chosen[0].reference.n)).moments
    assert asked is not None
    assert asked[0].reference == replace(chosen[0].reference, pilot=0)
    assert asked[0].overall == chosen[0].overall


def test_a_coarse_floor_takes_no_fewer_samples_than_intervals_need(options: AnalyzeOptions) -> None:
    report = analyze(replace(options, reference_error=1.0))
    assert report.moments is not None
    assert {entry.reference.n for entry in report.moments} == {500}


def test_more_samples_than_a_million_are_refused_with_what_can_be_had(options: AnalyzeOptions) -> None:
    with pytest.raises(UsageError, match=r"--reference-error 1e-05 would take .* ask for at least 0\.00") as refused:
        analyze(replace(options, reference_error=1e-5, sigmas=(0.6,)))
    least = float(str(refused.value).rstrip(".").rsplit(" ", 1)[1])
    assert 0 < least < 0.01


@pytest.mark.parametrize("target", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_floors_are_refused(options: AnalyzeOptions, target: float) -> None:
    with pytest.raises(UsageError, match="--reference-error must be a positive number"):
        replace(options, reference_error=target)
