"""Certified radii for a policy's box: the box that is asked about, not the pixels' usual one."""

from pathlib import Path

import numpy as np
import pytest
from models import model, node, write

from nmcheck.checks.case import Case, open_case
from nmcheck.checks.gate.methods import CERTIFIERS
from nmcheck.checks.gate.policy import Box
from nmcheck.checks.options import AnalyzeOptions

NORMS = pytest.mark.parametrize("norm", ["l2", "linf"])


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """Class 0 exactly where the first pixel is above -0.5; the images have it at 0.25."""
    first = np.zeros((4, 1), np.float32)
    first[0, 0] = 1
    nodes = [
        node("Flatten", ["x"], ["flat"]),
        node("Gemm", ["flat", "w1", "b1"], ["z"]),
        node("Relu", ["z"], ["h"]),
        node("Gemm", ["h", "w2", "b2"], ["y"]),
    ]
    arrays = {
        "w1": first,
        "b1": np.ones(1, np.float32),
        "w2": np.array([[1.0, 0.0]], np.float32),
        "b2": np.array([0.0, 0.5], np.float32),
    }
    path = write(model(nodes, ("N", 2, 2), arrays), tmp_path)
    np.savez(tmp_path / "x.npz", x=np.full((3, 2, 2), 0.25))
    return open_case(AnalyzeOptions(path, str(tmp_path / "x.npz"), samples=3, device="cpu"))


@NORMS
@pytest.mark.parametrize("method", ["crown-ibp", "crown"])
@pytest.mark.parametrize("box", [None, (-1.0, 1.0), (-0.6, 2.0), (0.5, 1.0)])
def test_no_radius_exceeds_the_distance_that_the_policy_s_box_leaves_open(
    case: Case, norm: str, method: str, box: Box | None
) -> None:
    found = CERTIFIERS[method](case, norm, box, ())  # type: ignore[arg-type]
    for radius in found.radii:
        assert radius is not None
        # The last box does not hold the images, so only what is valid without a box may be said.
        assert 0.7 < radius <= 0.75


@NORMS
@pytest.mark.parametrize("box", [(0.0, 1.0), (-0.4, 1.0)])
def test_a_box_without_the_other_class_leaves_nothing_to_find(case: Case, norm: str, box: Box) -> None:
    diameter = 2 * (box[1] - box[0])
    found = CERTIFIERS["crown"](case, norm, box, ())  # type: ignore[arg-type]
    assert all(radius is not None and radius > diameter for radius in found.radii)
