"""Every structure of noise, from the option to the report."""

import json
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from models import model, node, one_relu, weights, write

from nmcheck.checks.analyze import analyze
from nmcheck.checks.case import open_case
from nmcheck.checks.noise_gain import noise_gains
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.reports.json import to_json
from nmcheck.reports.layout import text_of
from nmcheck.reports.table import analysis_parts
from nmcheck.results import MomentEntry, Report
from nmcheck.results.moments import ENGINES as KNOWN
from nmcheck.results.schema import report_schema

SIDE = 5
N = SIDE * SIDE
IMAGES = 6

ENGINES = tuple(engine for engine in KNOWN if engine != "bank")  # tested in test_bank_moments.py


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return write(one_relu((1, 1, SIDE, SIDE)), tmp_path)


@pytest.fixture
def images(tmp_path: Path) -> str:
    path = tmp_path / "images.npz"
    np.savez(path, allow_pickle=False, x=np.random.default_rng(1).random((IMAGES, SIDE, SIDE)))
    return str(path)


def window_mask() -> np.ndarray:
    mask = np.zeros((SIDE, SIDE))
    mask[1:4, 0:2] = 1.0
    return mask


WINDOW = "window:1:4:0:2"


def options_of_noise(folder: Path) -> dict[str, str]:
    scale = np.linspace(0, 2, N).reshape(SIDE, SIDE)
    np.save(folder / "scale.npy", scale, allow_pickle=False)
    np.save(folder / "factor.npy", weights(9, SIDE, SIDE).astype(np.float64) / 3, allow_pickle=False)
    np.save(folder / "window.npy", np.diag(window_mask().ravel()), allow_pickle=False)
    return {
        "isotropic": "isotropic",
        "window": WINDOW,
        "diagonal": f"diagonal:{folder / 'scale.npy'}",
        "factor": f"factor:{folder / 'factor.npy'}",
        "window as a factor": f"factor:{folder / 'window.npy'}",
    }


def run(network: Path, images: str, noise: str, **more: object) -> Report:
    settings: dict[str, object] = {"engines": ("two-stage",), "samples": IMAGES, "reference_samples": 2000, **more}
    return analyze(AnalyzeOptions(network, images, (0.3,), noise=noise, **settings))  # type: ignore[arg-type]


def by_engine(report: Report) -> dict[str, MomentEntry]:
    assert report.moments is not None
    return {entry.engine: entry for entry in report.moments}


@pytest.mark.parametrize("reference", ["control-variate", "plain"])
@pytest.mark.parametrize("kind", ["isotropic", "window", "diagonal", "factor"])
def test_exact_moments_agree_with_the_sampler(
    kind: str, reference: str, network: Path, images: str, tmp_path: Path
) -> None:
    found = by_engine(run(network, images, options_of_noise(tmp_path)[kind], reference=reference))["two-stage"]
    scores = [abs(z) for row in found.per_class for z in (row.mean_z, row.var_z) if z is not None]
    assert len(scores) == 8
    assert max(scores) < 4.5


def test_engines_take_the_structure_and_not_just_its_strength(network: Path, images: str, tmp_path: Path) -> None:
    """A window's noise is not isotropic noise: exact moments of the one miss the reference of the other by far."""
    texts = options_of_noise(tmp_path)
    wide, narrow = (by_engine(run(network, images, texts[kind]))["two-stage"] for kind in ("isotropic", "window"))
    assert wide.overall.flip.sampled != narrow.overall.flip.sampled
    assert wide.reference.floor != narrow.reference.floor


def test_a_window_equals_the_factor_of_its_covariance(network: Path, images: str, tmp_path: Path) -> None:
    """Both have a direction a pixel, so even their samples are the same."""
    texts = options_of_noise(tmp_path)
    one = run(network, images, texts["window"], engines=ENGINES)
    two = run(network, images, texts["window as a factor"], engines=ENGINES)
    assert (one.noise.kind, two.noise.kind) == ("window", "factor")
    first, second = by_engine(one), by_engine(two)
    for engine in ENGINES:
        a, b = first[engine].overall, second[engine].overall
        assert a.mean_er == pytest.approx(b.mean_er, rel=1e-6), engine
        assert a.var_er == pytest.approx(b.var_er, rel=1e-6), engine
        assert a.flip.analytic == pytest.approx(b.flip.analytic, abs=1e-6), engine
        assert a.flip.sampled == b.flip.sampled


def test_the_report_states_the_noise(network: Path, images: str, tmp_path: Path) -> None:
    texts = options_of_noise(tmp_path)
    for kind, directions in (("isotropic", N), ("window", 6), ("diagonal", N - 1), ("factor", 9)):
        report = run(network, images, texts[kind], reference_samples=500)
        document = json.loads(to_json(report))
        Draft202012Validator(report_schema()).validate(document)
        assert document["noise"]["kind"] == kind
        assert document["noise"]["directions"] == directions
        shown = [line for line in text_of(analysis_parts, report, 200).splitlines() if line.startswith("│ noise ")]
        assert len(shown) == (kind != "isotropic")
    window = run(network, images, WINDOW, reference_samples=500)
    assert window.noise.description == "in rows 1:4 and columns 0:2 only, 6 of 25 values; zero outside"


def test_gains_are_those_of_the_noise_there_is(tmp_path: Path) -> None:
    """A BatchNormalization with a factor a channel, and noise in one channel only."""
    ones, zeros = np.ones(2, np.float32), np.zeros(2, np.float32)
    arrays = {"g": np.array([3.0, 5.0], np.float32), "0": zeros, "m": zeros, "v": ones, "W": weights(18, 3)}
    nodes = [
        node("BatchNormalization", ["x", "g", "0", "m", "v"], ["n"], epsilon=0.0),
        node("Flatten", ["n"], ["f"]),
        node("Gemm", ["f", "W"], ["y"]),
    ]
    network = write(model(nodes, (1, 2, 3, 3), arrays), tmp_path)
    np.savez(tmp_path / "x.npz", allow_pickle=False, x=np.random.default_rng(2).random((4, 2, 3, 3)))
    for channel, gain in ((0, 3.0), (1, 5.0)):
        scale = np.zeros((2, 3, 3))
        scale[channel] = 1.0
        np.save(tmp_path / "scale.npy", scale, allow_pickle=False)
        case = open_case(
            AnalyzeOptions(network, str(tmp_path / "x.npz"), (0.1,), noise=f"diagonal:{tmp_path / 'scale.npy'}")
        )
        norm = next(one for one in case.graph.nodes if one.op == "BatchNormalization")
        found = noise_gains(case, (norm,), 0.1, 0, 0)[norm.name]
        assert found.value == pytest.approx(gain, rel=1e-3)
