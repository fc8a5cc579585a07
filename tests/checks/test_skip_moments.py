"""Moments at a ReLU that some paths pass by, from file to report."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from jsonschema import Draft202012Validator
from models import model, node, weights, write
from residual_network import RELUS, SHAPE, SKIPS, residual_network

from nmcheck.affine import AffineMap, AffineReluAffine
from nmcheck.checks.analyze import analyze
from nmcheck.checks.engines import FULL_CORRELATION, MOMENTS, NO_SKIP_TERM
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.checks.plan import LINEARIZED
from nmcheck.moments.affine_relu_affine import GaussianInput, gram_matrix
from nmcheck.reports.json import to_json
from nmcheck.reports.layout import text_of
from nmcheck.reports.table import analysis_parts
from nmcheck.results import MomentEntry, Report
from nmcheck.results.schema import report_schema


def write_images(folder: Path, count: int, shape: tuple[int, ...]) -> str:
    path = folder / "images.npz"
    np.savez(path, allow_pickle=False, x=np.random.default_rng(3).random((count, *shape)))
    return str(path)


def run(folder: Path, cut: str, *, sigma: float = 0.05, engines: tuple[str, ...] = LINEARIZED) -> Report:
    path = write(residual_network(), folder)
    data = write_images(folder, 4, SHAPE[1:])
    return analyze(AnalyzeOptions(path, data, (sigma,), cut=cut, engines=engines, samples=4, reference_samples=500))


def entries(report: Report) -> dict[str, MomentEntry]:
    assert report.moments is not None
    return {entry.engine: entry for entry in report.moments}


@pytest.mark.parametrize("name", RELUS)
def test_every_relu_gives_moments_and_says_what_it_is(tmp_path: Path, name: str) -> None:
    found = entries(run(tmp_path, name, sigma=0.003, engines=("two-stage",)))["two-stage"]
    assert (found.cut, found.cut_kind) == (name, "skip" if name in SKIPS else "cut")
    assert found.overall.mean_bias_sd is not None
    assert found.overall.var_ratio is not None
    # Noise this small leaves the network nearly linear: all ReLUs must agree with the reference.
    assert found.overall.mean_bias_sd < 0.05
    assert abs(found.overall.var_ratio - 1) < 0.1


def test_published_variances_are_left_out_at_a_skip_with_the_reason(tmp_path: Path) -> None:
    report = run(tmp_path, "tail")
    Draft202012Validator(report_schema()).validate(json.loads(to_json(report)))
    found = entries(report)
    for engine in ("published-theorem2", "published-lemma4"):
        one, two = found[engine], found["two-stage"]
        for row in (*one.per_class, one.overall):
            assert row.var_er is row.var_ratio is None
            assert row.var_er_reason == row.var_ratio_reason == NO_SKIP_TERM
        assert [row.var_z for row in one.per_class] == [None] * 3
        assert [row.mean_er for row in one.per_class] == [row.mean_er for row in two.per_class]
    text = " ".join(text_of(analysis_parts, report, 200).split())
    assert "two-stage, skip at tail" in text
    assert "a ReLU that some paths from the input to the logits pass by" in text
    assert text.count(NO_SKIP_TERM) == 1
    at_cut = " ".join(text_of(analysis_parts, run(tmp_path, "head"), 200).split())
    assert "cut at head" in at_cut
    assert "pass by" not in at_cut


def small(skip: bool) -> AffineReluAffine:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return AffineReluAffine(
        AffineMap(normal(5, 4), normal(5)), AffineMap(normal(3, 5), normal(3)), normal(3, 4) if skip else None
    )


@pytest.mark.parametrize("engine", LINEARIZED)
@pytest.mark.parametrize("skip", [False, True])
def test_no_engine_gives_the_variance_of_another_network(engine: str, skip: bool) -> None:
    network, x = small(skip), GaussianInput(torch.ones(4, dtype=torch.float64), 0.3)
    found = MOMENTS[engine](network, x, gram_matrix(network.inner))
    has_value = engine == "two-stage" or not skip
    assert bool(found.variance.isfinite().all()) == has_value == (found.no_variance is None)
    assert bool(found.variance.isnan().any()) != has_value
    exact = MOMENTS["two-stage"](network, x, gram_matrix(network.inner))
    assert torch.equal(found.mean, exact.mean)


def test_lemma_4_says_where_it_has_no_value() -> None:
    network = small(False)
    weight = network.inner.weight.clone()
    weight[1] = weight[0]
    network = replace(network, inner=AffineMap(weight, network.inner.bias))
    x = GaussianInput(torch.ones(4, dtype=torch.float64), 0.3)
    found = MOMENTS["published-lemma4"](network, x, gram_matrix(network.inner))
    assert found.no_variance == FULL_CORRELATION
    assert found.variance.isnan().all()


def test_an_exact_skip_network_agrees_with_its_reference(tmp_path: Path) -> None:
    """B relu(A x + c) + C x as a file: the linearization is exact, so z-scores see sampling noise and no more."""
    nodes = [
        node("Flatten", ["x"], ["flat"]),
        node("Gemm", ["flat", "A", "c"], ["z"]),
        node("Relu", ["z"], ["h"], name="relu"),
        node("Gemm", ["h", "B"], ["through"]),
        node("Gemm", ["flat", "C"], ["past"]),
        node("Add", ["through", "past"]),
    ]
    arrays = {"A": weights(9, 8) / 3, "c": weights(8), "B": weights(8, 3), "C": weights(9, 3)}
    path = write(model(nodes, ("N", 1, 3, 3), arrays), tmp_path)
    data = write_images(tmp_path, 30, (3, 3))
    report = analyze(
        AnalyzeOptions(path, data, (0.1, 0.5), cut="last", engines=("two-stage",), samples=30, reference_samples=1000)
    )
    assert report.moments is not None
    scores: list[float] = []
    for entry in report.moments:
        assert (entry.cut, entry.cut_kind) == ("relu", "skip")
        for row in entry.per_class:
            assert row.mean_z is not None
            assert row.var_z is not None
            scores += [abs(row.mean_z), abs(row.var_z)]
    assert max(scores) < 4
