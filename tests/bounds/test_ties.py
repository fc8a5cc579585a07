"""Radii where logits tie: unlimited between equal ones, 0 where a change breaks the tie, sound where both are zero."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from models import model, node, weights, write
from tied_networks import IMAGES, images, network, rounds_by_place

from nmcheck.bounds.affine_run import LayerConstants
from nmcheck.bounds.network import network_bounds
from nmcheck.bounds.relaxation.radius import Images, RelaxedRadii
from nmcheck.bounds.relaxation.relaxation import LinearBounds, Relaxation
from nmcheck.checks.bounds_options import BoundsOptions
from nmcheck.checks.case import open_case
from nmcheck.checks.certified import certified_radii
from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph
from nmcheck.linearize.steps import network_of

NORMS = pytest.mark.parametrize("norm", ["2", "inf"])


def radii(
    path: Path, data: str, norm: str = "2", *, scale: str = "unit", method: str = "crown-ibp"
) -> dict[str, np.ndarray]:
    """By a method and those it starts from, as far as they apply."""
    options = BoundsOptions(path, data, norm=norm, method=method, attacks=(), samples=IMAGES, scale=scale)
    found = certified_radii(open_case(options.case_options()), options, None, lambda _images: None, box=None)
    return {one.method: one.radii.numpy() for one in found.methods if one.radii is not None}


@pytest.mark.parametrize(("norm", "scale"), [("2", "unit"), ("inf", "mean=0.5:std=0.25")])
def test_logits_that_are_all_equal_have_no_radius(norm: str, scale: str, tmp_path: Path) -> None:
    found = radii(network(tmp_path, [0] * 4), images(tmp_path), norm, scale=scale, method="crown")
    assert set(found) == {"lipschitz", "crown-ibp", "crown"}
    assert all(np.isinf(one).all() for one in found.values())


@pytest.mark.parametrize("scale", ["unit", "mean=0.5:std=0.25"])
def test_a_linear_classifier_behind_a_scale_has_equal_logits_too(scale: str, tmp_path: Path) -> None:
    """Two affine layers in a row have an allowance for cancellation, but not between rows that are one."""
    w = weights(2, 25)[[0, 1, 0]]
    nodes = [node("Flatten", ["x"], ["u"]), node("Gemm", ["u", "w"], transB=1)]
    path = write(model(nodes, ("N", 5, 5), {"w": w}), tmp_path)
    pair = write(model(nodes, ("N", 5, 5), {"w": w[:2]}), tmp_path, "pair.onnx")
    found, alone = radii(path, images(tmp_path), scale=scale), radii(pair, images(tmp_path), scale=scale)
    for method in found:
        np.testing.assert_allclose(found[method], alone[method], rtol=1e-9)
        assert (found[method] > 0).all()


@pytest.mark.parametrize(
    ("order", "norm", "method"), [((0, 1, 2, 3, 0), "2", "crown"), ((1, 0, 0, 2, 3, 0), "inf", "crown-ibp")], ids=str
)
def test_an_equal_of_the_predicted_class_changes_no_radius(
    order: tuple[int, ...], norm: str, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds_by_place(monkeypatch)
    leading = 0 if order.count(0) > 1 else 1
    alone = radii(network(tmp_path, [0, 1, 2, 3], leading=leading), images(tmp_path), norm, method=method)
    found = radii(network(tmp_path, order, leading=leading), images(tmp_path), norm, method=method)
    for name in alone:
        np.testing.assert_allclose(found[name], alone[name], rtol=1e-6)
        assert (found[name] > 0).all()


def without_constants(folder: Path, order: list[int]) -> Path:
    """A product of two values in front of the classes: linear bounds and no Lipschitz constant."""
    draw = np.random.default_rng(2)
    nodes = [
        node("Flatten", ["x"], ["u"]),
        node("Gemm", ["u", "A"], ["z"]),
        node("Mul", ["z", "z"], ["s"]),
        node("Gemm", ["s", "B", "b"], transB=1),
    ]
    arrays = {
        "A": draw.standard_normal((25, 6)) / 25,
        "B": draw.standard_normal((3, 6))[order],
        "b": np.array([3.0, 0.0, 0.0])[order],
    }
    return write(model(nodes, ("N", 5, 5), {name: one.astype(np.float32) for name, one in arrays.items()}), folder)


def test_equal_logits_need_no_constant_of_what_is_in_front_of_them(tmp_path: Path) -> None:
    found = radii(without_constants(tmp_path, [0, 0]), images(tmp_path))
    assert "lipschitz" not in found
    assert all(np.isinf(one).all() for one in found.values())
    found = radii(without_constants(tmp_path, [0, 1, 0, 2]), images(tmp_path))
    assert all(((one > 0) & np.isfinite(one)).all() for one in found.values())


@NORMS
@pytest.mark.parametrize("twist", [1, -1])
def test_a_tie_that_a_change_breaks_has_radius_zero(norm: str, twist: int, tmp_path: Path) -> None:
    """At x = 0.5 both logits are equal and class 0 is predicted; their difference has a slope, of either sign."""
    w = np.array([[0.0], [twist]], np.float32)
    b = np.array([0.0, -0.5 * twist], np.float32)
    path = write(model([node("Gemm", ["x", "w", "b"], transB=1)], ("N", 1), {"w": w, "b": b}), tmp_path)
    np.savez(tmp_path / "half.npz", x=np.array([[0.5], [0.5 - 0.125 * twist]]))
    for one in radii(path, str(tmp_path / "half.npz"), norm).values():
        assert one[0] == 0
        assert one[1] == pytest.approx(0.125, rel=1e-5)


def test_kappa_is_unlimited_in_front_of_equal_rows_and_zero_behind_them(tmp_path: Path) -> None:
    program = Program(load_graph(network(tmp_path, [0, 0, 0], head="Relu", shift=3.0)), torch.float64)
    with np.load(images(tmp_path)) as data:
        found = network_bounds(program.graph, program, torch.from_numpy(data["x"]))
    *front, last = (layer.kappa_certified for layer in found.layers)
    assert all(one is not None and torch.isinf(one).all() for one in front)
    # The last ReLU reads the logits themselves, each of which can move alone.
    assert last is not None
    assert (last == 0).all()


@NORMS
def test_radii_end_where_a_class_in_front_ties_at_zero(norm: str, tmp_path: Path) -> None:
    """Class 1 is predicted while relu(x - 0.2) is positive; below, both logits are 0 and class 0 is first."""
    nodes = [node("Gemm", ["x", "w", "b"], ["z"], transB=1), node("Relu", ["z"])]
    arrays = {"w": np.array([[0], [1]], np.float32), "b": np.array([-1, -0.25], np.float32)}
    path = write(model(nodes, ("N", 1), arrays), tmp_path)
    np.savez(tmp_path / "x.npz", x=np.array([[0.75], [0.26]]))
    for one in radii(path, str(tmp_path / "x.npz"), norm).values():
        assert (one <= [0.5, 0.01 + 1e-7]).all()


@pytest.mark.parametrize(("own", "reach"), [(0, [math.inf, math.inf, math.inf]), (2, [0, 0, math.inf])])
def test_a_bound_of_exactly_zero_keeps_out_only_classes_that_come_later(
    own: int, reach: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linear bounds that say no more than that a difference is not negative."""
    path = write(model([node("Gemm", ["x", "w"], transB=1)], ("N", 2), {"w": np.eye(3, 2, dtype="f")}), tmp_path)
    program = Program(load_graph(path), torch.float64)
    relaxation = Relaxation(program.graph, program, network_of(program), LayerConstants(program.graph, program))

    def nothing(relaxed, value, seeds, owner, backward=None) -> LinearBounds:
        return LinearBounds(torch.zeros(len(owner)).double(), torch.zeros((len(owner), 2)).double(), owner)

    monkeypatch.setattr(relaxation, "lower_bounds", nothing)
    logits = torch.zeros(1, 3).double()
    logits[0, own] = 1.0
    asked = Images(torch.zeros(1, 1, 2).double(), logits, 2.0)
    found = RelaxedRadii(relaxation, tighten=False).reach(asked, torch.ones(1).double(), torch.tensor([0]))
    assert found.tolist() == [reach]
