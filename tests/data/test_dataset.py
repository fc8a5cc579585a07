from typing import Any

import numpy as np
import pytest

from nmcheck.data import Dataset, check_labels
from nmcheck.data.dataset import as_labels
from nmcheck.errors import DataError

EVERY = np.arange(3)


def images(dtype: Any = np.uint8, shape=(3, 4, 5), high=255):
    return np.linspace(0, high, int(np.prod(shape))).reshape(shape).astype(dtype)


def test_bytes_are_divided_by_255():
    data = Dataset("d", images(), None)
    assert np.array_equal(data.pixels(EVERY), images().astype(np.float64) / 255)
    assert data.pixels(EVERY).max() == 1.0


def test_floats_in_zero_to_one_stay_as_they_are():
    stored = images(np.float32, high=1)
    assert np.array_equal(Dataset("d", stored, None).pixels(EVERY), stored)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_a_range_is_mapped_to_zero_to_one(dtype):
    stored = np.array([[[-3, 0], [1, 5]]]).astype(dtype)
    pixels = Dataset("d", stored, None, (-3.0, 5.0)).pixels(np.array([0]))
    assert np.allclose(pixels, [[[0, 3 / 8], [4 / 8, 1]]], atol=1e-15)


def test_the_ends_of_a_range_hold_in_the_precision_of_the_data():
    Dataset("d", np.array([[[0.1, 0.3]]], dtype=np.float32), None, (0.1, 0.3))


@pytest.mark.parametrize(("low", "high"), [(-0.01, 1), (0, 1.01), (0, 255)])
def test_floats_outside_zero_to_one_need_a_range(low, high):
    stored = np.full((3, 2, 2), 0.5)
    stored[1, 0, 0], stored[2, 1, 1] = low, high
    with pytest.raises(DataError, match=r"image [12] has values outside 0 to 1 .*--range"):
        Dataset("d", stored, None)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(4, 3, 3), (4, 6), (4, 3, 3, 2)])
def test_the_first_image_with_a_nan_is_named(value, shape):
    stored = np.zeros(shape, dtype=np.float32)
    stored[2].flat[1] = value
    stored[3].flat[0] = value
    with pytest.raises(DataError, match="image 2 has a value that is NaN or infinite"):
        Dataset("d", stored, None)


def test_features_keep_their_units():
    data = Dataset("d", np.array([[-5.0, 1e4], [2.0, 3.0]]), None)
    assert data.unit == "feature"
    assert np.array_equal(data.pixels(np.array([0])), [[-5.0, 1e4]])
    assert Dataset("d", images(), None).unit == "pixel"
    assert Dataset("d", images(shape=(3, 4)), None).unit == "pixel"


@pytest.mark.parametrize("shape", [(0, 4, 4), (3, 0, 4), (3, 0)])
def test_no_images(shape):
    with pytest.raises(DataError, match="no images"):
        Dataset("d", np.zeros(shape), None)


@pytest.mark.parametrize("shape", [(), (3,), (1, 2, 3, 4, 5)])
def test_shapes_that_are_no_images(shape):
    with pytest.raises(DataError, match="shape"):
        Dataset("d", np.zeros(shape), None)


@pytest.mark.parametrize("dtype", [np.complex128, "U3", bool, "datetime64[s]"])
def test_types_that_are_no_images(dtype):
    with pytest.raises(DataError, match="type"):
        Dataset("d", np.zeros((2, 2, 2), dtype=dtype), None)


def test_labels_of_any_whole_kind():
    for labels in ([0, 1, 2], [0.0, 1.0, 2.0], [[0], [1], [2]], np.array([0, 1, 2], dtype=np.uint8)):
        assert as_labels(np.asarray(labels), 3, "d").tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([0, -1, 2], "label of image 1 is -1"),
        ([0, 0.5, 2], "label of image 1 is 0.5"),
        ([0, np.nan, 2], "label of image 1 is nan"),
        ([0, np.inf, 2], "label of image 1 is inf"),
        ([0, 1], "3 images but 2 labels"),
        (np.eye(3), "argmax"),
        (["a", "b", "c"], "class indices"),
        (3, "shape"),
    ],
)
def test_labels_that_are_none(labels, says):
    with pytest.raises(DataError, match=says):
        as_labels(np.asarray(labels), 3, "d")


def test_labels_must_be_classes_of_the_model():
    data = Dataset("d", images(), np.array([0, 9, 10]))
    check_labels(data, 11)
    with pytest.raises(DataError, match=r"label of image 2 is 10, but the model has 10 classes \(0 to 9\)"):
        check_labels(data, 10)
    check_labels(Dataset("d", images(), None), 1)
