"""Analytic flips where logits tie: the convention decides, not what rounding leaves of a margin."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch

from nmcheck.decision import predicted_class
from nmcheck.moments.flips import gaussian_class_probabilities, gaussian_flip_probability

CLASSES = 5


def doubled(*equal: int, spread: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    """Moments of logits of which some are one and the same, in the lead."""
    draw = torch.Generator().manual_seed(len(equal))
    factor = spread * torch.randn(CLASSES, 3, generator=draw, dtype=torch.float64)
    mean = -3 * torch.rand(CLASSES, generator=draw, dtype=torch.float64) - 1
    factor[list(equal)], mean[list(equal)] = factor[equal[0]].clone(), 1.0
    return mean, factor @ factor.mT


GROUPS = [group for size in (2, 3, CLASSES) for group in combinations(range(CLASSES), size)]


@pytest.mark.parametrize("equal", GROUPS, ids=str)
def test_logits_that_are_one_and_the_same_flip_as_if_there_were_one(equal: tuple[int, ...]) -> None:
    mean, covariance = doubled(*equal)
    kept = [c for c in range(CLASSES) if c not in equal[1:]]
    alone = gaussian_flip_probability(mean[kept], covariance[kept][:, kept], kept.index(equal[0]))
    assert alone < 1e-2
    assert gaussian_flip_probability(mean, covariance, equal[0]) == pytest.approx(alone, abs=1e-12)
    for later in equal[1:]:
        assert gaussian_flip_probability(mean, covariance, later) == 1.0
    shares = gaussian_class_probabilities(mean, covariance, equal[0])
    fewer = gaussian_class_probabilities(mean[kept], covariance[kept][:, kept], kept.index(equal[0]))
    assert shares is not None
    assert fewer is not None
    assert shares[kept] == pytest.approx(fewer, abs=1e-12)
    assert (shares[list(equal[1:])] == 0).all()


def test_equal_rivals_share_nothing_with_those_behind_them() -> None:
    """Label 1, and 0, 2 and 3 one rival: class 0 gets all that flips."""
    mean = torch.tensor([0.0, 0.4, 0.0, 0.0], dtype=torch.float64)
    row = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    factor = torch.cat([row, 0.0 * row, row, row]) + torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    shares = gaussian_class_probabilities(mean, factor @ factor.mT, 1)
    assert shares is not None
    assert shares[[2, 3]].tolist() == [0, 0]
    assert shares[0] == pytest.approx(0.5 * math.erfc(0.2), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_makes_no_variance_of_a_margin_that_never_moves(dtype: torch.dtype) -> None:
    """Covariances of equal rows as a matrix product leaves them, of either sign, and means a rounding apart."""
    eps = torch.finfo(dtype).eps
    for off in (-3, -1, 1, 2, 3):
        covariance = torch.full((2, 2), 0.7, dtype=torch.float64)
        covariance[1, 1] *= 1 + off * eps
        mean = torch.tensor([5.0, 5.0 * (1 - off * eps)], dtype=torch.float64)
        assert gaussian_flip_probability(mean, covariance, 0, eps) == 0.0
        assert gaussian_flip_probability(mean, covariance, 1, eps) == 1.0


@pytest.mark.parametrize(("apart", "flip"), [(0.0, 0.0), (1e-3, 0.0), (-1e-3, 1.0), (1e-9, 0.0), (-1e-9, 1.0)])
def test_logits_that_move_together_keep_their_distance(apart: float, flip: float) -> None:
    factor = torch.randn(1, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = torch.cat([factor, factor])
    mean = torch.tensor([2.0 + apart, 2.0], dtype=torch.float64)
    assert gaussian_flip_probability(mean, rows @ rows.mT, 0) == flip


def test_constant_logits_are_what_they_are_however_large() -> None:
    none = torch.zeros(2, 2, dtype=torch.float64)
    mean = torch.tensor([1e6, 1e6 * (1 - 2**-52)], dtype=torch.float64)
    assert gaussian_flip_probability(mean, none, 0) == 0.0
    assert gaussian_flip_probability(mean.flip(0), none, 0) == 1.0
    assert gaussian_flip_probability(torch.zeros(4), torch.zeros(4, 4), 0) == 0.0
    assert gaussian_flip_probability(torch.zeros(4), torch.zeros(4, 4), 1) == 1.0


def test_a_margin_of_little_variance_still_has_one() -> None:
    """A ten-thousandth of the logits' deviation, far above rounding: the closed form of two classes."""
    common, own = 1.0, 1e-4
    covariance = torch.tensor([[common, common], [common, common + own**2]], dtype=torch.float64)
    mean = torch.tensor([own, 0.0], dtype=torch.float64)
    assert gaussian_flip_probability(mean, covariance, 0) == pytest.approx(0.5 * math.erfc(1 / math.sqrt(2)), rel=1e-6)


@pytest.mark.parametrize("mask", [-1e4, -1e7])
@pytest.mark.parametrize("equal", [(0, 4), (1, 2, 3)])
def test_masked_classes_leave_ties_alone(mask: float, equal: tuple[int, ...]) -> None:
    mean, covariance = doubled(*equal)
    masked = (set(range(CLASSES)) - set(equal)).pop()
    mean[masked], covariance[masked], covariance[:, masked] = mask, 0.0, 0.0
    assert gaussian_flip_probability(mean, covariance, equal[0]) == pytest.approx(0.0, abs=1e-2)
    shares = gaussian_class_probabilities(mean, covariance, equal[0])
    assert shares is not None
    assert shares[masked] == 0


def test_analytic_flips_agree_with_sampling_under_the_convention() -> None:
    """Any classes may be equal, the label being the first of the largest means."""
    draw = np.random.default_rng(1)
    for _ in range(30):
        kinds = draw.integers(0, 3, CLASSES)
        factor = torch.from_numpy(draw.standard_normal((3, 2)))[kinds]
        mean = torch.from_numpy(draw.integers(0, 2, 3).astype(float))[kinds]
        label = int(predicted_class(mean))
        normals = torch.from_numpy(draw.standard_normal((20_000, 2)))
        # Equal rows are copied, so that products of them do not differ by their places.
        first = torch.tensor([int(np.flatnonzero(kinds == kind)[0]) for kind in kinds])
        logits = (mean + normals @ factor.mT)[:, first]
        rate = float((predicted_class(logits) != label).double().mean())
        found = gaussian_flip_probability(mean, factor @ factor.mT, label)
        assert abs(found - rate) < 4.5 * math.sqrt(max(rate * (1 - rate), 1e-5) / 20_000) + 1e-3
