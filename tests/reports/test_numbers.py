import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmcheck.reports.numbers import MISSING, percent, significant, with_error, z_score

finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.034712, 3, "0.0347"),
        (1.0, 4, "1.000"),
        (0.9996, 3, "1.00"),
        (66.57, 4, "66.57"),
        (1234.5, 2, "1200"),
        (99999.0, 3, "1.00e+05"),
        (0.00012, 2, "0.00012"),
        (0.000099999, 2, "0.00010"),
        (0.000027, 3, "2.70e-05"),
        (-143.2, 3, "-143"),
        (0.0, 3, "0"),
        (None, 3, MISSING),
        (math.inf, 3, "inf"),
        (-math.inf, 3, "-inf"),
    ],
)
def test_significant(value, digits, text):
    assert significant(value, digits) == text


@given(finite.filter(lambda x: x == 0 or abs(x) > 1e-300), st.integers(2, 5))
def test_significant_is_right_to_its_digits(value, digits):
    assert math.isclose(float(significant(value, digits)), value, rel_tol=0.51 * 10 ** (1 - digits), abs_tol=0)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.06051, 0.00312, "0.0605 ± 0.0031"),
        (0.1219, 0.0996, "0.12 ± 0.10"),
        (12.0, 3.0, "12.0 ± 3.0"),
        (1234.0, 120.0, "1234 ± 120"),
        (2.1e-9, 3.2e-10, "2.10e-09 ± 3.2e-10"),
        (1e-12, 3.2e-10, "1.0e-12 ± 3.2e-10"),
        (0.5, None, "0.500"),
        (0.5, 0.0, "0.500"),
        (None, None, MISSING),
    ],
)
def test_with_error(value, error, text):
    assert with_error(value, error) == text


@given(finite, st.floats(min_value=1e-300, max_value=1e300))
def test_with_error_is_never_off_by_more_than_the_error(value, error):
    shown, shown_error = map(float, with_error(value, error).split(" ± "))
    assert abs(shown - value) <= max(0.5 * error, 1e-6 * abs(value))
    assert math.isclose(shown_error, error, rel_tol=0.06)


@pytest.mark.parametrize(("value", "text"), [(0.0, "+0.0"), (-3.14, "-3.1"), (1e7, "+1e+07"), (None, MISSING)])
def test_z_score(value, text):
    assert z_score(value) == text


@pytest.mark.parametrize(
    ("value", "images", "text"),
    [
        (0.99, 100, "99 %"),
        (0.987, 1000, "98.7 %"),
        (1.0, 1, "100 %"),
        (0.98765, 10_000, "98.77 %"),
        (None, 10, MISSING),
    ],
)
def test_percent(value, images, text):
    assert percent(value, images) == text
