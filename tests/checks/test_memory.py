"""What an analysis takes of memory is known before it begins, and what does not fit is not begun."""

from pathlib import Path

import models
import numpy as np
import pytest
from onnx import ModelProto
from onnx.helper import make_node

from nmcheck.checks import plan
from nmcheck.checks.analyze import analyze
from nmcheck.checks.memory import LEAST_TANGENTS, PROCESS, MemoryPlan, analysis_memory
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.cli.app import run
from nmcheck.errors import UnsupportedError
from nmcheck.graph.cuts import cut_points
from nmcheck.graph.load import load_graph
from nmcheck.moments.propagation.budget import BUDGET
from nmcheck.results import Report

INPUTS, WIDE, NARROW, CLASSES = 5, 300, 20, 3


def two_layers() -> ModelProto:
    """A narrow ReLU in front of a wide one."""
    rng = np.random.default_rng(0)
    weights = {
        "W0": rng.normal(size=(INPUTS, NARROW)).astype(np.float32),
        "W1": rng.normal(size=(NARROW, WIDE)).astype(np.float32),
        "W2": rng.normal(size=(WIDE, CLASSES)).astype(np.float32),
    }
    nodes = [
        make_node("MatMul", ["x", "W0"], ["a0"], name="first"),
        make_node("Relu", ["a0"], ["r0"], name="narrow"),
        make_node("MatMul", ["r0", "W1"], ["a1"], name="second"),
        make_node("Relu", ["a1"], ["r1"], name="wide"),
        make_node("MatMul", ["r1", "W2"], ["y"], name="third"),
    ]
    return models.model(nodes, ("N", INPUTS), weights)


@pytest.fixture
def graph(tmp_path: Path):
    return load_graph(models.write(two_layers(), tmp_path))


def options(folder: Path, **more) -> AnalyzeOptions:
    rng = np.random.default_rng(1)
    np.savez(folder / "data.npz", x=rng.random((4, INPUTS)), y=np.zeros(4, int))
    return AnalyzeOptions(
        model=models.write(two_layers(), folder), data=str(folder / "data.npz"), reference_samples=500, **more
    )


def cuts(report: Report) -> list[str | None]:
    return [entry.cut for entry in report.moments or ()][:1]


def allowing(monkeypatch: pytest.MonkeyPatch, allowed: int | None) -> None:
    monkeypatch.setattr(plan, "memory_plan", lambda graph, images: MemoryPlan(graph, images, allowed))


def test_the_matrices_are_those_of_the_cut(graph) -> None:
    narrow, wide = (point.node for point in cut_points(graph))
    without, small, large = (analysis_memory(graph, cut, 10) for cut in (None, narrow, wide))
    assert without.matrices == 0
    assert small.matrices == 8 * (NARROW * INPUTS + NARROW**2 + CLASSES * (INPUTS + NARROW))
    assert large.peak - without.peak == 8 * (WIDE * INPUTS + WIDE**2 + CLASSES * (INPUTS + WIDE))
    assert analysis_memory(graph, None, 1010).base - without.base == 1000 * INPUTS * 16


def test_a_relu_that_does_not_fit_is_passed_over_and_named(tmp_path: Path, graph, monkeypatch) -> None:
    narrow, wide = (point.node for point in cut_points(graph))
    between = analysis_memory(graph, wide, 4, propagates=False).peak - 1
    assert analysis_memory(graph, narrow, 4, propagates=False).peak < between
    allowing(monkeypatch, between)
    report = analyze(options(tmp_path, engines=("two-stage",)))
    assert cuts(report) == ["narrow"]
    assert any("linearize around narrow instead of wide: wide has 300 units" in note for note in report.notes)
    allowing(monkeypatch, between + 1)
    assert cuts(analyze(options(tmp_path, engines=("two-stage",)))) == ["wide"]


def test_a_relu_asked_for_that_does_not_fit_is_refused(tmp_path: Path, graph, monkeypatch, capsys) -> None:
    wide = cut_points(graph)[-1].node
    allowing(monkeypatch, analysis_memory(graph, wide, 4, propagates=False).peak - 1)
    asked = options(tmp_path)
    assert run(["analyze", str(asked.model), "--data", asked.data, "--cut", "wide"]) == 2
    assert "wide has 300 units" in capsys.readouterr().err


def test_where_nothing_fits_both_figures_are_said(tmp_path: Path, monkeypatch, capsys) -> None:
    allowing(monkeypatch, PROCESS)
    asked = options(tmp_path)
    with pytest.raises(UnsupportedError, match=r"would take at least .* GiB of memory, and this process may take"):
        analyze(asked)
    assert run(["analyze", str(asked.model), "--data", asked.data]) == 3
    assert "GiB" in capsys.readouterr().err


@pytest.fixture
def image_graph(tmp_path: Path):
    """A network of 3 x 224 x 224 inputs, of whose noise few are held at once."""
    return load_graph(
        models.write(models.model([models.node("Relu", ["x"])], (1, 3, 224, 224)), tmp_path, "image.onnx")
    )


def test_few_large_inputs_are_held_at_once(image_graph) -> None:
    n = 3 * 224 * 224
    needed = analysis_memory(image_graph, None, 4)
    assert needed.sampling == 8 * (5 * 64 * n + 3 * (2**24 // n) * n)
    assert needed.least < 1.5e9


def test_propagation_is_given_what_is_left(image_graph) -> None:
    needed = analysis_memory(image_graph, None, 4)
    assert needed.tangents == BUDGET
    assert MemoryPlan(image_graph, 4, None).tangents(None) == (BUDGET, None)
    assert MemoryPlan(image_graph, 4, needed.peak).tangents(None) == (BUDGET, None)
    budget, note = MemoryPlan(image_graph, 4, needed.base + 2**29).tangents(None)
    assert budget == 2**29
    assert note is not None
    assert "0.5 GiB of tangents at a time instead of 1 GiB" in note
    assert MemoryPlan(image_graph, 4, needed.base).tangents(None)[0] == LEAST_TANGENTS


def test_small_tangents_are_not_said_to_be_fewer(graph) -> None:
    assert MemoryPlan(graph, 4, analysis_memory(graph, None, 4).peak - 1).tangents(None) == (BUDGET, None)
