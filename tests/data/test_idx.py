import gzip
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nmcheck.data import read_data
from nmcheck.data.idx import open_idx
from nmcheck.data.values import ValueCheck
from nmcheck.errors import DataError

X = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
Y = np.array([1, 0], dtype=np.uint8)
CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def read_idx(path):
    """All of one file."""
    with open_idx(path, None) as source:
        check = ValueCheck("d", source.dtype, len(source.shape), (-1e300, 1e300))
        return source.read(np.arange(source.shape[0]), check)


def idx(array, code=0x08):
    return bytes((0, 0, code, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.mark.parametrize("kind", list(CODES))
def test_every_type(tmp_path, kind):
    stored = X.astype(">" + kind)
    (tmp_path / "a").write_bytes(idx(stored, CODES[kind]))
    read = read_idx(tmp_path / "a")
    assert np.array_equal(read, X)
    assert read.dtype == np.dtype(kind)


@pytest.mark.parametrize("zipped", [False, True])
def test_folders_of_both_parts(tmp_path, zipped):
    for part, images in (("t10k", X), ("train", X[:1])):
        for what, array in (("images-idx3", images), ("labels-idx1", Y[: len(images)])):
            path = tmp_path / f"{part}-{what}-ubyte{'.gz' if zipped else ''}"
            path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
    data = read_data(str(tmp_path), None)
    assert np.array_equal(data.images, X)
    assert data.labels is not None
    assert np.array_equal(data.labels, Y)
    assert len(read_data(f"{tmp_path}:train", None)) == 1
    assert len(read_data(f"{tmp_path}:test", None)) == 2


def test_a_lone_part_needs_no_name_and_no_labels(tmp_path):
    (tmp_path / "train-images.idx3-ubyte").write_bytes(idx(X))
    data = read_data(str(tmp_path), None)
    assert len(data) == 2
    assert data.labels is None
    with pytest.raises(DataError, match="no idx images for 'test'"):
        read_data(f"{tmp_path}:test", None)


def test_labels_without_images(tmp_path):
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(Y))
    with pytest.raises(DataError, match="no idx images"):
        read_data(str(tmp_path), None)


def test_a_wrong_number_of_labels(tmp_path):
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(X))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(Y[:1]))
    with pytest.raises(DataError, match="2 images but 1 label;"):
        read_data(str(tmp_path), None)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cut=st.integers(0, len(idx(X)) - 1), zipped=st.booleans())
def test_files_cut_off_anywhere(tmp_path, cut, zipped):
    path = tmp_path / ("a.gz" if zipped else "a")
    content = idx(X)
    path.write_bytes(gzip.compress(content)[: cut % 40] if zipped else content[:cut])
    with pytest.raises(DataError):
        read_idx(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(st.binary(max_size=64))
def test_any_bytes_after_the_magic_number(tmp_path, content):
    path = tmp_path / "a"
    path.write_bytes(b"\0\0" + content)
    try:
        array = read_idx(path)
    except DataError:
        return
    assert array.size * array.itemsize <= len(content)
