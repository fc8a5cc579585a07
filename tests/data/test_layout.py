import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmcheck.data import channel_axis, to_model_layout
from nmcheck.errors import DataError


def numbered(*shape):
    """Every value different, so that any mix-up shows."""
    return np.arange(np.prod(shape), dtype=np.float64).reshape(shape)


GREY = numbered(3, 4, 5)
HWC = numbered(2, 4, 5, 3)
CHW = np.moveaxis(HWC, -1, 1)


@pytest.mark.parametrize(
    ("shape", "batch_axis"),
    [
        ((1, 1, 4, 5), 0),
        ((1, 4, 5, 1), 0),
        ((1, 4, 5), 0),
        ((4, 5), None),
        ((1, 4, 5), None),
        ((1, 20), 0),
        ((20,), None),
    ],
)
@pytest.mark.parametrize("stored", [GREY, GREY[:, None], GREY[..., None], GREY.reshape(3, 20)])
def test_grey_images_keep_their_rows(stored, shape, batch_axis):
    assert np.array_equal(to_model_layout(stored, shape, batch_axis), GREY.reshape(3, *shape))


@pytest.mark.parametrize("stored", [HWC, CHW])
def test_colour_images_are_moved_to_where_the_model_has_channels(stored):
    assert np.array_equal(to_model_layout(stored, (1, 3, 4, 5), 0)[:, 0], CHW)
    assert np.array_equal(to_model_layout(stored, (1, 4, 5, 3), 0)[:, 0], HWC)
    assert np.array_equal(to_model_layout(stored, (3, 4, 5), None), CHW)


@pytest.mark.parametrize("stored", [HWC, CHW])
def test_vectors_of_colour_images_are_channel_by_channel(stored):
    assert np.array_equal(to_model_layout(stored, (1, 60), 0)[:, 0], CHW.reshape(2, 60))


def test_a_shape_that_fits_is_never_rearranged():
    square = numbered(2, 3, 3, 3)
    assert np.array_equal(to_model_layout(square, (1, 3, 3, 3), 0)[:, 0], square)


def test_features():
    assert np.array_equal(to_model_layout(numbered(4, 7), (1, 7), 0)[:, 0], numbered(4, 7))


@pytest.mark.parametrize(
    ("stored", "shape", "batch_axis", "says"),
    [
        (numbered(2, 28, 28), (1, 1, 5, 7), 0, r"\(28, 28\) .* \(1, 1, 5, 7\).*no image axis that fits; resize"),
        (numbered(2, 4, 6), (1, 1, 6, 4), 0, r"\(4, 6\).*\(1, 1, 6, 4\).*no image axis that fits; reorder"),
        (numbered(2, 28, 28), (1, 10, 3, 4, 5), 0, "no image axis that fits"),
        (numbered(2, 28, 28), (1, 3, 28, 28), 0, "no image axis that fits"),
        (numbered(2, 57), (1, 58), 0, "57 features.*58 values"),
        (numbered(2, 60), (1, 3, 4, 5), 0, "60 features"),
    ],
)
def test_what_does_not_fit_is_named(stored, shape, batch_axis, says):
    with pytest.raises(DataError, match=says):
        to_model_layout(stored, shape, batch_axis)


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple),
    st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple),
    st.sampled_from([None, 0]),
)
def test_nothing_is_lost_or_made_up(sample, shape, batch_axis):
    if batch_axis == 0:
        shape = (1, *shape)
    stored = numbered(2, *sample)
    try:
        moved = to_model_layout(stored, shape, batch_axis)
    except DataError:
        return
    assert moved.shape == (2, *shape)
    for before, after in zip(stored, moved, strict=True):
        assert np.array_equal(np.sort(before, axis=None), np.sort(after, axis=None))


@pytest.mark.parametrize(
    ("shape", "batch_axis", "axis"),
    [
        ((1, 3, 32, 32), 0, 1),
        ((1, 32, 32, 3), 0, 3),
        ((3, 32, 32), None, 0),
        ((1, 1, 28, 28), 0, 1),
        ((1, 28, 28, 1), 0, 3),
        ((1, 784), 0, None),
        ((28, 28), None, None),
        ((1, 16, 32, 32), 0, None),
        ((32, 32, 3, 1), 3, 2),
    ],
)
def test_channel_axis(shape, batch_axis, axis):
    assert channel_axis(shape, batch_axis) == axis
