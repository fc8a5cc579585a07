"""The convention on ties, for arrays and tensors."""

import numpy as np
import pytest
import torch

from nmcheck.decision import predicted_class, takes_over

LOGITS = [[1.0, 3.0, 3.0, 2.0], [0.0, 0.0, 0.0, 0.0], [-1.0, -2.0, -1.0, -1.0], [-5.0, -5.0, 0.0, -0.0]]
FIRST = [1, 0, 0, 2]


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_the_first_of_the_largest_logits_is_predicted(kind) -> None:
    assert predicted_class(kind(LOGITS)).tolist() == FIRST


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_a_class_takes_over_where_it_is_larger_or_equal_and_first(kind) -> None:
    differences, classes = kind([[0.5, 0.0, -0.5]] * 3), kind([0, 1, 2])
    assert takes_over(differences, classes, 1).tolist() == [[True, False, False]] * 3
    assert takes_over(kind([0.0, 0.0, 0.0]), classes, 1).tolist() == [True, False, False]
    assert takes_over(differences, classes, kind([[0], [1], [2]])).tolist() == [
        [True, False, False],
        [True, False, False],
        [True, True, False],
    ]


def test_a_class_is_predicted_where_no_other_takes_over() -> None:
    draw = np.random.default_rng(0)
    # Small whole numbers tie often.
    logits = draw.integers(0, 3, (500, 5)).astype(float)
    for row, predicted in zip(logits, predicted_class(logits), strict=True):
        kept = [not takes_over(row - row[label], np.arange(5), label).any() for label in range(5)]
        assert np.flatnonzero(kept).tolist() == [predicted]
