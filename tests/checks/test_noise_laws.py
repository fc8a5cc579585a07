"""Noise of every law: sampled in analyze, gate and compare alike, and engines say why they have no moments of it."""

from pathlib import Path

import gate_case
import numpy as np
import pytest
import torch
from checks.banks import build, write_images
from models import one_relu, write

from nmcheck.checks.analyze import analyze
from nmcheck.checks.case import Case, open_case
from nmcheck.checks.compare import compare
from nmcheck.checks.compare_options import CompareOptions
from nmcheck.checks.gate.flip_run import noise
from nmcheck.checks.noise import array_of
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.cli.app import run
from nmcheck.errors import UsageError
from nmcheck.moments.gaussian import GaussianInput, Isotropic
from nmcheck.moments.noise_blocks import noise_blocks
from nmcheck.noise_laws import LAWS, Law
from nmcheck.reports.layout import text_of
from nmcheck.reports.table import analysis_parts
from nmcheck.results.decode import read_report

EVERY_LAW = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
DISTANCE = 0.3
"""Of the images of ``gate_case`` from the boundary, along the first pixel."""
LEVELS = (0.15, 0.3)
WIDTH = 12**0.5
FLIPS = tuple(max(0.0, 0.5 - DISTANCE / (WIDTH * sigma)) for sigma in LEVELS)
"""Exact, 0 and .2113; Gaussian noise of these levels has .0228 and .1587."""


def is_standard(numbers: np.ndarray) -> bool:
    """Mean 0, variance 1, no skew: within 4.5 standard errors, or what rounding to single precision does."""
    found = numbers.astype(float).ravel()
    powers = (found, found**2 - 1, found**3)
    return all(abs(one.mean()) < 4.5 * one.std() / len(found) ** 0.5 + 1e-6 for one in powers)


@EVERY_LAW
def test_numbers_of_a_law_are_standard_and_symmetric(law: Law) -> None:
    structure = Isotropic(law)
    for dtype in (torch.float32, torch.float64):
        assert is_standard(structure.numbers(2000, 100, torch.Generator().manual_seed(0), dtype).numpy())
    x = GaussianInput(torch.zeros(100, dtype=torch.float64), 2.0, structure)
    assert is_standard(x.draws(2000, 0).numpy() / 2)
    assert is_standard(torch.cat(list(noise_blocks(x, 2000, 0, 300))).numpy() / 2)
    assert is_standard(array_of(law, np.random.default_rng(0), (2000, 100)))


def test_uniform_noise_ends_where_it_should(tmp_path: Path) -> None:
    case = case_of(tmp_path, "uniform")
    stream = np.random.Generator(np.random.PCG64(0))
    largest = float(noise(case, 0.3, stream, 1000).abs().max())
    assert 0.99 * 0.3 * 3**0.5 < largest <= 0.3 * 3**0.5


def case_of(folder: Path, law: str) -> Case:
    path, data = gate_case.network(folder), gate_case.data(folder)
    return open_case(AnalyzeOptions(path, str(data), noise=law, samples=gate_case.IMAGES))


@pytest.mark.parametrize("reference", ["control-variate", "plain"])
def test_analyze_samples_what_uniform_noise_does(tmp_path: Path, reference: str) -> None:
    path, data = gate_case.network(tmp_path), gate_case.data(tmp_path)
    asked = AnalyzeOptions(
        path, str(data), LEVELS, noise="uniform", reference=reference, samples=gate_case.IMAGES, reference_samples=1000
    )
    report = analyze(asked)
    assert report.noise.kind == "uniform"
    assert report.moments is None
    assert "analytic moments are of Gaussian noise" in (report.moments_reason or "")
    assert [one.sigma_pixel for one in report.flips] == list(LEVELS)
    for found, exact in zip(report.flips, FLIPS, strict=True):
        for one in found.per_class:
            assert abs(one.sampled - exact) <= 4.5 * (exact * (1 - exact) / one.trials) ** 0.5
    assert {one.sampled for one in report.flips[0].per_image} == {0.0}
    text = text_of(analysis_parts, report)
    assert "no moments. Analytic moments are of Gaussian noise, and this noise is uniform" in " ".join(text.split())
    assert "Flips by predicted class, sigma 0.3" in text


def test_compare_shows_uniform_noise_to_every_model(tmp_path: Path) -> None:
    first, second = gate_case.network(tmp_path), gate_case.network(tmp_path, slope=3.0, name="second.onnx")
    asked = CompareOptions(
        (first, second), str(gate_case.data(tmp_path)), LEVELS, noise="uniform", method="lipschitz", attacks=()
    )
    found = compare(asked)
    assert found.noise.kind == "uniform"
    for column in found.models:
        for flips, exact in zip(column.flips, FLIPS, strict=True):
            assert abs(flips.sampled - exact) <= 4.5 * (exact * (1 - exact) / (gate_case.IMAGES * flips.draws)) ** 0.5
    assert found.models[0].flips == found.models[1].flips


def test_compare_knows_where_noise_is_and_how_it_is_correlated(tmp_path: Path) -> None:
    path, data = gate_case.network(tmp_path), str(gate_case.data(tmp_path))
    first = np.zeros((1, 6, 6))
    first[0, 0, 0] = 1.0
    np.save(tmp_path / "first.npy", first, allow_pickle=False)
    exact = 0.15865525
    for given, moved in (
        ("window:0:1:0:1", True), ("window:1:6:0:6", False), (f"factor:{tmp_path / 'first.npy'}", True),
    ):  # fmt: skip
        found = compare(
            CompareOptions((path, path), data, (0.3,), noise=given, method="lipschitz", attacks=(), draws=400)
        )
        (flips,) = found.models[0].flips
        assert (flips.low <= exact <= flips.high) if moved else flips.sampled == 0


def test_the_gate_samples_what_uniform_noise_does(tmp_path: Path) -> None:
    path, data = gate_case.network(tmp_path), gate_case.data(tmp_path)
    verdicts = {}
    for law in LAWS:
        policy = tmp_path / "policy.toml"
        policy.write_text(f'noise = "{law}"\n[[check]]\nkind = "flip"\nsigma = 0.3\nmax = 0.19\n')
        json = tmp_path / f"{law}.json"
        run(["gate", str(path), "--data", str(data), "--policy", str(policy), "--json", str(json), "-q"])
        report = read_report(json)
        assert report.noise.kind == law
        assert report.gate is not None
        verdicts[law] = report.gate.verdict
    # .1587 of Gaussian noise is below .19, .2113 of uniform noise is not.
    assert verdicts == {"isotropic": "pass", "uniform": "fail"}


def test_a_bank_serves_gaussian_noise_only(tmp_path: Path) -> None:
    network = write(one_relu((1, 1, 8, 8)), tmp_path)
    data = write_images(tmp_path, 8)
    bank = build(network, data)
    with pytest.raises(UsageError, match="a bank serves Gaussian noise only, and --noise is uniform"):
        analyze(AnalyzeOptions(network, data, (0.1,), noise="uniform", engines=("bank",), bank=bank, samples=4))
