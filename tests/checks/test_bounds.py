"""The use case behind ``nmcheck bounds``."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from models import model, node, residual, small_lenet, weights, write

from nmcheck.bounds.relaxation.method import MOST_OPERATIONS, choose, node_operations, operation_count
from nmcheck.checks.bounds import low_radius
from nmcheck.checks.bounds_options import BoundsOptions
from nmcheck.checks.bounds_report import bounds
from nmcheck.errors import UnsupportedError, UsageError
from nmcheck.graph.load import load_graph
from nmcheck.reports.bounds_report import bounds_parts
from nmcheck.reports.json import to_json
from nmcheck.reports.layout import text_of
from nmcheck.results.report import Report
from nmcheck.results.schema import report_schema


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bounds")
    pick = np.random.default_rng(0)
    np.savez(path / "images.npz", x=pick.random((12, 8, 8)), y=pick.integers(0, 3, 12))
    np.savez(path / "wide.npz", x=pick.normal(size=(5, 4)), y=np.zeros(5, dtype=np.int64))
    write(small_lenet(), path, "lenet.onnx")
    write(residual(), path, "residual.onnx")
    attention = [node("Softmax", ["x"], ["s"], axis=-1), node("MatMul", ["s", "W"], ["y"])]
    write(model(attention, ("N", 4), {"W": weights(4, 3)}), path, "softmax.onnx")
    return path


def run(folder: Path, name: str = "lenet.onnx", **options: Any) -> Report:
    data = str(folder / "images.npz")
    return bounds(BoundsOptions(**{"model": folder / name, "data": data, "samples": 6, "attacks": ()} | options))


def test_each_method_is_no_worse_than_the_one_before(folder: Path) -> None:
    report = run(folder, optimize=2)
    assert report.bounds is not None
    (entry,) = report.bounds
    assert list(entry.radius) == ["published", "lipschitz", "crown-ibp", "crown", "crown-optimized"]
    means = [entry.radius[name].mean for name in ("lipschitz", "crown-ibp", "crown", "crown-optimized")]
    if entry.radius["crown"].images:
        assert means == sorted(means, key=lambda mean: mean or 0)
    assert all(sample.lower is not None and sample.lower > 0 for sample in entry.per_sample)
    assert {sample.lower_method for sample in entry.per_sample} <= {"crown-ibp", "crown", "crown-optimized"}
    assert all(sample.upper is None and sample.upper_reason for sample in entry.per_sample)
    assert entry.layers
    assert any(note.startswith("Method crown:") for note in report.notes)


@pytest.mark.parametrize("norm", ["2", "inf"])
@pytest.mark.parametrize("box", [False, True])
def test_the_report_fits_its_schema_and_can_be_drawn(folder: Path, norm: str, box: bool) -> None:
    report = run(folder, norm=norm, box=box, method="crown-ibp")
    jsonschema.validate(json.loads(to_json(report)), report_schema())
    assert report.bounds is not None
    (entry,) = report.bounds
    assert (entry.norm, entry.box) == ("l2" if norm == "2" else "linf", (0.0, 1.0) if box else None)
    assert bool(entry.layers) == (norm == "2" and not box)
    text = text_of(bounds_parts, report)
    assert "certified radius" in text
    assert all(str(sample.index) in text for sample in entry.per_sample)


def test_radii_in_linf_are_smaller_than_in_l2(folder: Path) -> None:
    found = {}
    for norm in ("2", "inf"):
        report = run(folder, norm=norm)
        assert report.bounds is not None
        found[norm] = [sample.lower for sample in report.bounds[0].per_sample]
    assert all(linf < l2 for linf, l2 in zip(found["inf"], found["2"], strict=True))


def test_auto_falls_back_and_says_why(folder: Path) -> None:
    images = str(folder / "wide.npz")
    report = run(folder, "softmax.onnx", data=images, value_range=(-5.0, 5.0))
    assert report.bounds is not None
    assert list(report.bounds[0].radius) == ["published", "lipschitz"]
    assert any("Softmax" in note and note.startswith("Method lipschitz") for note in report.notes)
    with pytest.raises(UnsupportedError, match="Softmax"):
        run(folder, "softmax.onnx", data=images, value_range=(-5.0, 5.0), method="crown")


@pytest.mark.parametrize("images", [1, 2, 19, 20, 21, 60, 100])
def test_at_most_a_twentieth_of_the_images_lies_below_the_low_radius(images: int) -> None:
    radii = np.random.default_rng(images).random(images)
    found = low_radius(radii)
    assert found in radii
    assert (radii < found).mean() <= 0.05
    assert (radii <= found).mean() >= 0.05


def test_auto_counts_operations(folder: Path) -> None:
    graph = load_graph(folder / "lenet.onnx")
    conv, pool, _, hidden, relu, _ = graph.nodes
    assert node_operations(graph, conv) == 4 * 9 * 36
    assert node_operations(graph, hidden) == 36 * 7
    before_pool = 2 * 144 * 4 * 9 * 36
    before_relu = 2 * 7 * (4 * 9 * 36 + node_operations(graph, pool) + 36 * 7)
    assert operation_count(graph) == before_pool + before_relu
    assert relu.op == "Relu"
    assert choose("auto", graph, None, 2**29).method == "crown"
    assert choose("auto", graph, None, 2**10).method == "crown-ibp"
    assert choose("auto", graph, "no.", 2**29).method == "lipschitz"
    assert choose("crown", graph, None, 2**10).method == "crown"
    assert operation_count(graph) < MOST_OPERATIONS


PRODUCTS = {
    "x W'": (("N", 4), node("MatMul", ["x", "w"]), weights(4, 3), 12),
    "W x": ((4,), node("MatMul", ["w", "x"]), weights(3, 4), 12),
    "W x of columns": (("N", 4, 2), node("MatMul", ["w", "x"]), weights(3, 4), 24),
    "W x of a column": ((4, 1), node("Gemm", ["w", "x"], transA=1), weights(4, 3), 12),
    "x w of a vector": (("N", 3, 4), node("MatMul", ["x", "w"]), weights(4), 12),
}  # fmt: skip


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_weight_counts_once_for_every_product_on_whichever_side(tmp_path: Path, name: str) -> None:
    shape, product, weight, count = PRODUCTS[name]
    graph = load_graph(write(model([product], shape, {"w": weight}), tmp_path))
    assert node_operations(graph, graph.nodes[0]) == count


@pytest.mark.parametrize(
    "options",
    [{"norm": "1"}, {"method": "sdp"}, {"optimize": -1}, {"optimize": 3, "method": "lipschitz"}, {"memory": 0},
     {"samples": 0}],
)  # fmt: skip
def test_options_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        BoundsOptions(model=Path("m.onnx"), data="mnist", **options)  # pyright: ignore[reportArgumentType]


def test_a_box_needs_pixels_in_it(folder: Path) -> None:
    # Vectors of any range are features in units of their own.
    with pytest.raises(UsageError, match="--box keeps pixels in 0 to 1"):
        run(folder, "residual.onnx", data=str(folder / "wide.npz"), box=True)
