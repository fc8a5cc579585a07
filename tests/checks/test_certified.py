"""Certified radii of a linear model, by every method and as the use case runs them: Theorem 3.6 and nothing less."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from models import model, node, weights, write
from torch import Tensor

from nmcheck.bounds.softmax_margin import softmax_margin
from nmcheck.checks.bounds_options import BoundsOptions
from nmcheck.checks.case import Case, open_case
from nmcheck.checks.certified import certified_radii

SHAPE = (2, 4, 4)
N = math.prod(SHAPE)
METHODS = ("lipschitz", "crown-ibp", "crown")


@pytest.fixture
def options(tmp_path: Path) -> dict[str, BoundsOptions]:
    """For both norms: a convolution, an average pool and a dense layer on twelve images."""
    nodes = [
        node("Conv", ["x", "K", "k"], ["c"], pads=[1, 1, 1, 1]),
        node("AveragePool", ["c"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "W", "b"]),
    ]
    arrays = {"K": weights(3, 2, 3, 3), "k": weights(3), "W": weights(12, 4), "b": weights(4) / 10}
    path = write(model(nodes, ("N", *SHAPE), arrays), tmp_path)
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(3).random((12, *SHAPE)))
    data = str(tmp_path / "x.npz")
    return {norm: BoundsOptions(path, data, norm=norm, method="crown", attacks=(), samples=12) for norm in ("2", "inf")}


def found_by(options: BoundsOptions) -> tuple[Case, Mapping[str, Tensor]]:
    case = open_case(options.case_options())
    found = certified_radii(case, options, None, lambda _images: None, box=options.pixel_box)
    return case, {one.method: one.radii for one in found.methods if one.radii is not None}


def theorem_3_6(case: Case, norm: float) -> Tensor:
    function = case.double.function(case.graph.input, case.graph.logits)
    zero = torch.zeros(SHAPE, dtype=torch.float64)
    rows = torch.func.jacrev(lambda x: function(x).flatten())(zero).flatten(1)
    return softmax_margin(case.double(case.images), rows, norm)


@pytest.mark.parametrize(("norm", "order", "exact"), [("2", 2.0, METHODS), ("inf", math.inf, METHODS[1:])])
def test_a_linear_model_has_the_radius_of_theorem_3_6(
    options: dict[str, BoundsOptions], norm: str, order: float, exact: tuple[str, ...]
) -> None:
    case, found = found_by(options[norm])
    true = theorem_3_6(case, order)
    assert tuple(found) == METHODS
    for method in METHODS:
        assert (found[method] <= true).all()
    for method in exact:
        torch.testing.assert_close(found[method], true, rtol=1e-5, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_linf_is_at_most_l2_and_l2_at_most_root_n_times_linf(options: dict[str, BoundsOptions], method: str) -> None:
    (_, l2), (_, linf) = found_by(options["2"]), found_by(options["inf"])
    assert (linf[method] > 0).all()
    assert (linf[method] <= l2[method]).all()
    # Both are rounded down: by Theorem 3.6 the law itself has no allowance.
    assert (l2[method] <= math.sqrt(N) * linf[method] * (1 + 1e-5)).all()
