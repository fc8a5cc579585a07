import io
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nmcheck.data import read_data
from nmcheck.errors import DataError

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (6, 4, 4)).astype(np.uint8)
Y = np.arange(6) % 3


def save(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


def test_x_and_y(tmp_path):
    data = read_data(save(tmp_path / "d.npz", x=X, y=Y), None)
    assert np.array_equal(data.images, X)
    assert data.labels is not None
    assert np.array_equal(data.labels, Y)


def test_labels_are_optional(tmp_path):
    assert read_data(save(tmp_path / "d.npz", x=X), None).labels is None


def test_parts(tmp_path):
    path = save(tmp_path / "d.npz", x_test=X[:2], y_test=Y[:2], x_train=X[2:], y_train=Y[2:])
    assert len(read_data(path, None)) == len(read_data(path + ":test", None)) == 2
    train = read_data(path + ":train", None)
    assert np.array_equal(train.images, X[2:])
    assert train.labels is not None
    assert np.array_equal(train.labels, Y[2:])
    assert train.name.endswith("d.npz:train")


def test_x_wins_over_x_test_unless_a_part_is_asked_for(tmp_path):
    path = save(tmp_path / "d.npz", x=X, x_test=X[:2])
    assert len(read_data(path, None)) == 6
    assert len(read_data(path + ":test", None)) == 2


def test_missing_arrays_are_listed(tmp_path):
    path = save(tmp_path / "d.npz", images=X)
    with pytest.raises(DataError, match=r"no array x or x_test \(it has images\)"):
        read_data(path, None)
    with pytest.raises(DataError, match="no array x_train"):
        read_data(path + ":train", None)


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize("names", [("x", "y"), ("y", "x")])
def test_objects_are_never_unpickled(tmp_path, names):
    bad, good = names
    path = save(tmp_path / "d.npz", **{bad: np.array([Bomb()] * 6, dtype=object), good: X if good == "x" else Y})
    with pytest.raises(DataError, match=f"array {bad} holds Python objects, which nmcheck never unpickles"):
        read_data(path, None)


def test_a_pickle_called_npz(tmp_path):
    path = tmp_path / "d.npz"
    path.write_bytes(b"\x80\x04}\x94.")
    with pytest.raises(DataError, match="cannot be read"):
        read_data(str(path), None)


def test_a_npy_called_npz(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, X)
    path = tmp_path / "d.npz"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(DataError, match="single array"):
        read_data(str(path), None)


def test_a_claim_larger_than_memory(tmp_path):
    header = io.BytesIO()
    shape = (2**40, 28, 28)
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": shape})
    path = tmp_path / "d.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", header.getvalue())
    with pytest.raises(DataError):
        read_data(str(path), None)


ARCHIVES = []
for write in (np.savez, np.savez_compressed):
    buffer = io.BytesIO()
    write(buffer, x=X, y=Y)
    ARCHIVES.append(buffer.getvalue())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(
    original=st.sampled_from(ARCHIVES),
    cut=st.floats(0, 1),
    edits=st.lists(st.tuples(st.floats(0, 0.9999), st.integers(0, 255)), max_size=8),
)
def test_damaged_archives_are_data_errors_or_data(tmp_path, original, cut, edits):
    content = bytearray(original[: round(cut * len(original))] if edits == [] else original)
    for where, value in edits:
        content[int(where * len(content))] = value
    path = tmp_path / "fuzz.npz"
    path.write_bytes(content)
    try:
        data = read_data(str(path), None)
    except DataError:
        return
    assert np.isfinite(data.pixels(np.arange(len(data)))).all()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_data_errors(tmp_path, content):
    path = tmp_path / "fuzz.npz"
    path.write_bytes(content)
    with pytest.raises(DataError):
        read_data(str(path), None)
