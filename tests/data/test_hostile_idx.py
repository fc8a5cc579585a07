"""idx files that are not what they say: refused in one sentence, before what they claim is taken from memory."""

import gzip
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from nmcheck.data import read_data
from nmcheck.errors import DataError

X = np.random.default_rng(0).integers(0, 256, (9, 3, 4)).astype(np.uint8)
Y = (np.arange(9) % 3).astype(np.uint8)
MOST = 32 * 2**20
IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def idx(array: np.ndarray, code: int = 8) -> bytes:
    return head(array.shape, code) + array.tobytes()


def head(shape: tuple[int, ...], code: int = 8) -> bytes:
    return bytes((0, 0, code, len(shape))) + struct.pack(f">{len(shape)}I", *shape)


def put(folder: Path, images: bytes, labels: bytes | None = idx(Y), packed: bool = False) -> str:
    for name, content in ((IMAGES, images), (LABELS, labels)):
        if content is not None:
            path = folder / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(content) if packed else content)
    return str(folder)


BROKEN = {
    "nothing": b"",
    "three bytes": b"\0\0\10",
    "no magic number": b"\1" + idx(X)[1:],
    "an unknown type": bytes((0, 0, 7, 3)) + idx(X)[4:],
    "cut off in the shape": idx(X)[:11],
    "cut off": idx(X)[:-1],
    "too long": idx(X) + b"x",
    "no axes": bytes((0, 0, 8, 0)) + b"x",
    "255 axes": bytes((0, 0, 8, 255)) + struct.pack(">255I", *[1] * 255) + b"x",
    "one axis": idx(X.reshape(-1)),
    "five axes": idx(X.reshape(9, 3, 2, 2, 1)),
    "no images": head((0, 3, 4)),
    "no pixels": head((9, 0, 4)),
    "a huge number of images": head((2**32 - 1, 28, 28)) + X.tobytes(),
    "a huge image": head((9, 2**32 - 1, 2**32 - 1)) + X.tobytes(),
    "a product that wraps round to what is there": head((2**31, 2**31, 4, 1)),
    "signed bytes": idx(X.astype(np.int8) // 2 - 64, 9),
    "NaN": head((9, 3, 4), 0x0D) + np.full(X.shape, np.nan, ">f4").tobytes(),
    "a zip file": b"PK\3\4" + bytes(100),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("name", BROKEN)
def test_images_that_are_none(tmp_path, name, packed):
    spec = put(tmp_path, BROKEN[name], packed=packed)
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as refused:
            read_data(spec, None, 4)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
    assert str(refused.value).endswith(".")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (idx(Y[:8]), "9 images but 8 labels"),
        (head((2**32 - 1,)), "should hold|9 images but"),
        (idx(np.eye(3, dtype=np.uint8)[Y]), "the labels have shape .*argmax"),
        (idx((Y + 0.5).astype(">f4"), 0x0D), "label of image 0 is 0.5"),
        (idx(Y.astype(np.int8) - 1, 9), "label of image 0 is -1"),
        (b"", "is no idx file|cannot be read"),
    ],
    ids=["too few", "huge", "one-hot", "halves", "negative", "nothing"],
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_labels_that_are_none(tmp_path, labels, reason, packed):
    with pytest.raises(DataError, match=reason):
        read_data(put(tmp_path, idx(X), labels, packed), None, 4)


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("gone"), lambda path: path.mkdir(), os.mkfifo])
def test_labels_that_are_no_file_are_not_taken_for_missing(tmp_path, make):
    """Else the labels would be what the model says, and every accuracy 1."""
    spec = put(tmp_path, idx(X), None)
    assert read_data(spec, None).labels is None
    make(tmp_path / LABELS)
    with pytest.raises(DataError, match=rf"{LABELS} is (a link that leads nowhere|a folder|no regular file)"):
        read_data(spec, None)


def test_images_that_are_no_file_are_said(tmp_path):
    (tmp_path / IMAGES).symlink_to("gone")
    with pytest.raises(DataError, match=rf"{IMAGES} is a link that leads nowhere; put the file there"):
        read_data(str(tmp_path), None)


@pytest.mark.parametrize("damage", ["checksum", "tail", "second member", "no end"])
def test_packed_files_that_are_damaged(tmp_path, damage):
    packed = gzip.compress(idx(X))
    content = {
        "checksum": packed[:-8] + bytes(4) + packed[-4:],
        "tail": packed + b"garbage",
        "second member": packed + gzip.compress(b"x"),
        "no end": packed[:-8],
    }[damage]
    (tmp_path / f"{IMAGES}.gz").write_bytes(content)
    with pytest.raises(DataError):
        read_data(str(tmp_path), None, 2)


def test_a_bomb_takes_no_memory(tmp_path):
    shape = (2**20, 8, 8)
    (tmp_path / f"{IMAGES}.gz").write_bytes(gzip.compress(head(shape) + bytes(2**26), 1))
    tracemalloc.start()
    try:
        data = read_data(str(tmp_path), None, 3)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
    assert (len(data), data.images.shape) == (2**20, (3, 8, 8))


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize(("kind", "code"), [("u1", 8), ("i1", 9), (">i2", 11), (">i4", 12), (">f4", 13), (">f8", 14)])
def test_chosen_images_are_those_of_the_whole(tmp_path, packed, kind, code):
    spec = put(tmp_path, idx((X % 100).astype(kind), code), packed=packed)
    whole = read_data(spec, (0.0, 255.0))
    assert np.array_equal(whole.images, X % 100)
    for samples in (1, 4, 8):
        part = read_data(spec, (0.0, 255.0), samples, 5)
        assert part.positions is not None
        assert (len(part), part.images.dtype) == (9, whole.images.dtype)
        assert np.array_equal(part.pixels(part.positions), whole.pixels(part.positions))


def test_only_the_chosen_bytes_of_a_plain_file_are_read(tmp_path):
    """A file with a hole of a terabyte."""
    shape = (2**24, 256, 256)
    with (tmp_path / IMAGES).open("wb") as file:
        file.write(head(shape))
        file.truncate(16 + 2**40)
        file.seek(16 + 2**39)
        file.write(b"\7")
    data = read_data(str(tmp_path), None, 2)
    assert data.positions is not None
    assert data.positions.tolist() == [0, 2**23]
    assert data.images[1, 0, 0] == 7


def test_values_that_can_be_wrong_are_all_looked_at(tmp_path):
    values = (X / 255).astype(">f4")
    values[7, 1, 1] = np.nan
    with pytest.raises(DataError, match="image 7 has a value that is NaN"):
        read_data(put(tmp_path, idx(values, 0x0D)), None, 1)
