import math

import numpy as np
import pytest

from nmcheck.execute.comparison import relative_difference


@pytest.mark.parametrize(
    ("ours", "theirs", "wanted"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 3.0], [1.0, -4.0], 7 / 4),
        ([0.5, 0.0], [0.0, 0.0], 0.5),
        ([], [], 0.0),
        ([math.inf, 1.0], [math.inf, 1.0], 0.0),
        (1.0, 2.0, 0.5),
    ],
)
def test_largest_difference_by_largest_reference(ours, theirs, wanted):
    assert relative_difference(np.array(ours), np.array(theirs)) == wanted


def test_nan_passes_no_threshold():
    assert not relative_difference(np.array([math.nan, 1.0]), np.array([1.0, 1.0])) <= 1e9
    assert not relative_difference(np.array([1.0, 1.0]), np.array([math.nan, 1.0])) <= 1e9
    assert not relative_difference(np.array([math.inf, 1.0]), np.array([1.0, 1.0])) <= 1e9
