import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmcheck.data import Dataset, describe_selection, digest, read_data, select
from nmcheck.errors import UsageError


def labelled(labels):
    labels = np.asarray(labels, dtype=np.int64)
    return Dataset("d", np.zeros((len(labels), 1, 1), dtype=np.uint8), labels)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 70), st.integers(0, 3))
def test_each_class_in_proportion(labels, samples, seed):
    data = labelled(labels)
    chosen = select(data, samples, seed)
    assert len(chosen) == min(samples, len(labels))
    assert (np.diff(chosen) > 0).all()
    sizes = np.bincount(labels, minlength=5)
    assert data.labels is not None
    counts = np.bincount(data.labels[chosen], minlength=5)
    assert (counts <= sizes).all()
    if samples >= np.count_nonzero(sizes):
        assert ((counts > 0) == (sizes > 0)).all()
    shares = sizes * min(samples, len(labels)) / len(labels)
    # Within one image of the exact share, but for classes lifted to one image at the cost of the largest.
    lifted = np.count_nonzero((shares < 1) & (sizes > 0))
    assert (np.abs(counts - shares) < 1 + lifted).all()


def test_seed_decides():
    data = read_data("mnist", None)
    assert np.array_equal(select(data, 100, 0), select(data, 100, 0))
    assert not np.array_equal(select(data, 100, 0), select(data, 100, 1))
    assert data.labels is not None
    assert np.bincount(data.labels[select(data, 100, 0)]).tolist() == [10, 11, 10, 10, 10, 9, 10, 10, 10, 10]


def test_without_labels_evenly_spaced():
    data = Dataset("d", np.zeros((10, 1, 1), dtype=np.uint8), None)
    assert select(data, 5, 0).tolist() == select(data, 5, 7).tolist() == [0, 2, 4, 6, 8]
    assert select(data, 3, 0).tolist() == [0, 3, 6]


def test_all_if_there_are_no_more():
    assert select(labelled([1, 0]), 2, 0).tolist() == select(labelled([1, 0]), 99, 0).tolist() == [0, 1]


def test_at_least_one():
    with pytest.raises(UsageError, match="at least one"):
        select(labelled([0]), 0, 0)


def test_the_choice_is_stated():
    data = labelled([0] * 2000)
    assert describe_selection(data, 100, 3).startswith("100 of 2,000 images, drawn with seed 3")
    assert describe_selection(data, 2000, 3) == "all 2,000 images"
    bare = Dataset("d", np.zeros((10, 1, 1), dtype=np.uint8), None)
    assert "evenly spaced" in describe_selection(bare, 5, 0)


def test_digest_names_pixels_shape_and_labels():
    pixels = np.linspace(0, 1, 12).reshape(2, 2, 3)
    labels = np.array([0, 1])
    changed = pixels.copy()
    changed[1, 1, 2] = np.nextafter(1, 0)
    names = {
        digest(pixels, labels),
        digest(pixels, None),
        digest(pixels, labels[::-1]),
        digest(changed, labels),
        digest(pixels.reshape(2, 3, 2), labels),
        digest(pixels[::-1], labels),
    }
    assert len(names) == 6
    assert digest(pixels, labels) == digest(np.asfortranarray(pixels), labels)
    assert all(len(name) == 64 for name in names)


@pytest.mark.parametrize(
    ("samples", "seed", "sha256"),
    [
        (20, 0, "b1774f23bb922c8cd980ece69f24cf09ec5a5fa89fca185ffbde08b5c0b58a98"),
        (100, 7, "af13904ffd356a89d4aaa62ec816f6210aa4e66a88e8f36ea74c104368c09f77"),
        (10_000, 0, "1cb5f3ef5ba03415a95af52f7e79d1d3399a6591a5350acb68d6da72ca5f227a"),
    ],
)
def test_the_choice_does_not_depend_on_how_much_is_read(samples, seed, sha256):
    """Digests from before only what is wanted was read: reports and baselines stay comparable."""
    for data in (read_data("mnist", None), read_data("mnist", None, samples, seed)):
        chosen = select(data, samples, seed)
        assert data.labels is not None
        assert digest(data.pixels(chosen), data.labels[chosen]) == sha256


def test_an_image_that_was_not_read_cannot_be_had():
    data = read_data("mnist", None, 5)
    assert data.positions is not None
    with pytest.raises(IndexError, match="was asked for that was not read"):
        data.pixels(np.array([int(data.positions[0]) + 1]))
