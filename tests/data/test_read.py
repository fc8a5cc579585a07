import numpy as np
import pytest

from nmcheck.data import read_data
from nmcheck.errors import DataError


def test_embedded_mnist():
    data = read_data("mnist", None)
    assert data.images.shape == (10_000, 28, 28)
    assert data.images.dtype == np.uint8
    assert data.labels is not None
    # The class sizes of the official test set, and its first labels.
    assert np.bincount(data.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert data.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.array_equal(read_data("mnist:test", None).images, data.images)


def test_embedded_mnist_is_the_official_file(shared_data):
    official = read_data(f"{shared_data / 'mnist.npz'}:test", None)
    embedded = read_data("mnist", None)
    assert np.array_equal(official.images, embedded.images)
    assert official.labels is not None
    assert embedded.labels is not None
    assert np.array_equal(official.labels, embedded.labels)


@pytest.mark.parametrize("spec", ["nothing.npz", "cifar10", "mnist:valid", "", ":train", "a\0b", "x" * 5000])
def test_no_such_data(spec):
    with pytest.raises(DataError):
        read_data(spec, None)


def test_other_files(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("1,2")
    with pytest.raises(DataError, match=r"not a \.npz file"):
        read_data(str(path), None)


def test_an_empty_folder(tmp_path):
    with pytest.raises(DataError):
        read_data(str(tmp_path), None)


def test_a_range_reaches_the_data(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.full((2, 3, 3), -1.0))
    data = read_data(str(tmp_path / "d.npz"), (-1.0, 1.0))
    assert (data.pixels(np.arange(2)) == 0).all()
