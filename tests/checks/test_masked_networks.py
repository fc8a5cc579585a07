"""A network with a masked class: what commands say of the other classes is what they say without it."""

from pathlib import Path

import numpy as np
import pytest
from masked_networks import KEPT, LOWEST, MASKED, Mask, added, network, picked, saved

from nmcheck.checks.analyze import analyze
from nmcheck.checks.bounds_options import BoundsOptions
from nmcheck.checks.bounds_report import bounds
from nmcheck.checks.inspect import inspect
from nmcheck.checks.moment_entries import MASKED as REASON
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.results import UNREACHABLE, Report

ENGINES = ("propagate", "two-stage", "diagonal")
INFINITE = {"added": added(-np.inf), "picked": picked(-np.inf)}
FINITE = {"-1e4": added(-1e4), "-1e7": added(-1e7), "-1e9": picked(-1e9), "lowest": added(LOWEST)}
MOVING = ("-1e4",)
"""Masks of a size at which float32 still shows what noise does to the logit: it has its part in what is told by all
logits together, such as averages and propagate's corrections."""


def analysed(folder: Path, mask: Mask | None, classes: tuple[int, ...] = (0, 1, 2, 3)) -> Report:
    path, data = saved(network(mask, classes), folder, f"{len(classes)}.onnx")
    return analyze(
        AnalyzeOptions(path, data, sigmas=(0.1,), samples=4, engines=ENGINES, reference_samples=500, device="cpu")
    )


def radii(folder: Path, mask: Mask | None, norm: str, method: str, classes: tuple[int, ...]) -> np.ndarray:
    path, data = saved(network(mask, classes), folder, f"{len(classes)}.onnx")
    found = bounds(BoundsOptions(path, data, norm=norm, method=method, samples=4, attacks=()))
    assert found.bounds is not None
    return np.array([one.lower for one in found.bounds[0].per_sample], dtype=float)


@pytest.mark.parametrize("way", INFINITE)
def test_moments_flips_and_radii_are_those_without_the_class(tmp_path: Path, way: str) -> None:
    found, without = analysed(tmp_path, INFINITE[way]), analysed(tmp_path, None, KEPT)
    assert found.model.masked == (MASKED,)
    assert found.moments is not None
    assert without.moments is not None
    for mine, other in zip(found.moments, without.moments, strict=True):
        masked = mine.per_class[MASKED]
        assert masked.mean_er is masked.var_er is masked.mean_z is None
        assert masked.mean_er_reason == masked.var_er_reason == REASON
        assert [one.class_ for one in mine.per_class] == [0, 1, 2, 3]
        for place, one in zip(KEPT, other.per_class, strict=True):
            assert mine.per_class[place].mean_er == pytest.approx(one.mean_er, rel=1e-4)
            assert mine.per_class[place].var_ratio == pytest.approx(one.var_ratio, rel=1e-5)
        assert mine.overall.var_er == pytest.approx(other.overall.var_er, rel=1e-4)
        assert mine.overall.mean_bias_sd == pytest.approx(other.overall.mean_bias_sd, rel=1e-4)
        assert mine.overall.flip.sampled == other.overall.flip.sampled
        assert mine.overall.flip.analytic == pytest.approx(other.overall.flip.analytic, abs=1e-6)
    assert found.bounds is not None
    assert without.bounds is not None
    for mine, other in zip(found.bounds[0].per_sample, without.bounds[0].per_sample, strict=True):
        assert mine.predicted == KEPT[other.predicted]
        assert mine.lower == pytest.approx(other.lower, rel=1e-6)
        assert mine.upper == pytest.approx(other.upper, rel=1e-4)
    assert not any("unmasked" in name for one in found.graph for name in (*one.inputs, *one.outputs))


@pytest.mark.parametrize("way", FINITE)
def test_a_finite_mask_is_analysed(tmp_path: Path, way: str) -> None:
    found, without = analysed(tmp_path, FINITE[way]), analysed(tmp_path, None, KEPT)
    assert found.moments is not None
    assert without.moments is not None
    for mine, other in zip(found.moments, without.moments, strict=True):
        for place, one in zip(KEPT, other.per_class, strict=True):
            assert mine.per_class[place].var_ratio == pytest.approx(one.var_ratio, rel=1e-2 if way in MOVING else 1e-3)
            assert way in MOVING or mine.per_class[place].mean_er == pytest.approx(one.mean_er, rel=1e-2)
        assert mine.overall.flip.sampled == other.overall.flip.sampled
        if way in MOVING:
            continue
        assert mine.overall.var_er == pytest.approx(other.overall.var_er, rel=1e-2)
        assert mine.overall.mean_bias_sd == pytest.approx(other.overall.mean_bias_sd, rel=1e-2)
        if mine.propagation is not None:
            assert other.propagation is not None
            for name in ("variance_error", "mean_correction_sd", "mean_correction_error_sd"):
                assert getattr(mine.propagation, name) == pytest.approx(getattr(other.propagation, name), rel=1e-3)
    assert found.bounds is not None
    assert without.bounds is not None
    for mine, other in zip(found.bounds[0].per_sample, without.bounds[0].per_sample, strict=True):
        assert mine.lower == pytest.approx(other.lower, rel=1e-6)
        assert mine.upper == pytest.approx(other.upper, rel=1e-3)


@pytest.mark.parametrize(("norm", "method"), [("2", "lipschitz"), ("2", "crown"), ("inf", "crown-ibp")])
@pytest.mark.parametrize("way", [*INFINITE, *FINITE])
def test_every_method_certifies_what_it_does_without_the_class(
    tmp_path: Path, norm: str, method: str, way: str
) -> None:
    mask = (INFINITE | FINITE)[way]
    found = radii(tmp_path, mask, norm, method, (0, 1, 2, 3))
    np.testing.assert_allclose(found, radii(tmp_path, None, norm, method, KEPT), rtol=1e-6)


@pytest.mark.parametrize("norm", ["2", "inf"])
def test_one_class_that_can_be_chosen_is_never_left(tmp_path: Path, norm: str) -> None:
    path, data = saved(network(added(-np.inf, 2), (0, 1)), tmp_path)
    found = bounds(BoundsOptions(path, data, norm=norm, samples=3))
    assert found.bounds is not None
    assert [(one.lower, one.lower_reason, one.upper) for one in found.bounds[0].per_sample] == [
        (None, UNREACHABLE, None)
    ] * 3
    if norm == "2":
        assert all(one.kappa_certified is None for one in found.bounds[0].layers)
        analysis = analyze(AnalyzeOptions(path, data, sigmas=(0.1,), samples=3, reference_samples=500))
        assert analysis.moments is not None
        for entry in analysis.moments:
            assert entry.overall.flip.sampled == 0
            assert entry.overall.flip.analytic in (0, None)


def test_inspect_counts_the_file_s_nodes_and_names_the_class(tmp_path: Path) -> None:
    found = inspect(saved(network(added(-np.inf)), tmp_path)[0])
    assert found.model.masked == (MASKED,)
    assert found.model.nodes == sum(one.count for one in found.operators) == 6
    assert "Class 1 is masked" in found.notes[-1]
    assert found.analyzable.execute
    assert found.analyzable.moments
    assert found.analyzable.bounds
