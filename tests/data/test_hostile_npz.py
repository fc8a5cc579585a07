"""Archives made to do harm, or by accident: read right, or refused in one sentence, and little memory taken."""

import io
import re
import struct
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from data.archives import header, npy, plain, write_zip, zeros_member

from nmcheck.data import read_data
from nmcheck.errors import DataError

X = np.random.default_rng(0).integers(0, 256, (6, 4, 4)).astype(np.uint8)
Y = np.arange(6) % 3
MOST = 32 * 2**20
"""Bytes that may be taken before a refusal."""


def refusal(path: Path | str, samples: int = 4) -> str:
    """The sentence that an archive ends in."""
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(DataError) as refused:
                read_data(str(path), None, samples)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
    sentence = str(refused.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


def odd(position: int, value: float) -> np.ndarray:
    """Images of which one has another value."""
    images = np.full((6, 4, 4), 0.5)
    images[position, 1, 2] = value
    return images


IMAGES = {
    "objects": (npy(np.array([Bomb()] * 6, dtype=object)), "holds Python objects, which nmcheck never unpickles"),
    "objects in records": (plain((6,), "[('a', '|O')]"), "holds Python objects"),
    "records": (npy(np.zeros(6, [("a", "f4")])), "is of type record; give real numbers"),
    "records of version 3": (b"\x93NUMPY\x03\x00" + bytes(8), "is of type record"),
    "sub-arrays": (plain((6,), "('<f4', (4, 4))"), "is of type record|header of the array x is damaged"),
    "complex": (npy(X.astype(complex)), "is of type complex128; give real numbers"),
    "text": (npy(np.array([["a", "b"]])), "give real numbers"),
    "bytes": (npy(np.array([[b"a"]])), "give real numbers"),
    "times": (npy(np.array([["2020-01-01"]], "M8[D]")), "give real numbers"),
    "truths": (npy(X > 3), "the images are of type bool"),
    "one number": (npy(np.float64(3)), r"the images have shape \(\)"),
    "a row": (npy(np.zeros(6)), r"the images have shape \(6,\)"),
    "five axes": (npy(np.zeros((1, 2, 1, 2, 1))), r"the images have shape \(1, 2, 1, 2, 1\)"),
    "no images": (npy(np.zeros((0, 4, 4))), "there are no images"),
    "no pixels": (npy(np.zeros((6, 4, 0))), "there are no images"),
    "NaN": (npy(np.full((6, 4, 4), np.nan)), "image 0 has a value that is NaN or infinite"),
    "infinite in an image not chosen": (npy(odd(5, np.inf)),
                                        "image 5 has a value that is NaN or infinite"),
    "out of range in an image not chosen": (npy(odd(3, 7.0)),
                                            "image 3 has values outside 0 to 1"),
    "cut off": (npy(X)[:-1], "should take 96 bytes for its shape .*but takes 95"),
    "too long": (npy(X) + b"x", "should take 96 bytes .*but takes 97"),
    "no header": (b"", "is not in NumPy's format"),
    "half a header": (npy(X)[:9], "header of the array x is damaged"),
    "another magic number": (b"\x93NUMPZ" + npy(X)[6:], "is not in NumPy's format"),
    "version 9": (b"\x93NUMPY\x09\x00" + npy(X)[8:], "is of type record"),
    "a negative shape": (plain((-6, 4, 4)), "claims the shape"),
    "two negative axes": (plain((-6, -4, 4)) + bytes(96), "claims the shape"),
    "truths as a shape": (plain((True, 4, 4)) + bytes(16), "claims the shape"),
    "a shape that is no tuple": (plain("6") + bytes(6), "header of the array x is damaged"),
    "fractions in a shape": (plain((6.0, 4, 4)) + bytes(96), "header of the array x is damaged"),
    "a huge shape": (plain((2**40, 28, 28), "'<f8'"), "should take .* bytes for its shape"),
    "a shape beyond 64 bits": (plain((2**62, 2**62, 4)), "should take .* bytes for its shape"),
    "a product that wraps round to what is there": (plain((2**32, 2**32, 6)) + bytes(6), "should take"),
    "many axes": (plain((1,) * 60) + bytes(1), "the images have shape"),
    "a call in the header": (header("{'descr': exec('raise SystemExit'), 'fortran_order': False, 'shape': (6,)}"),
                             "header of the array x is damaged"),
    "a deep header": (header("(" * 3000 + ")" * 3000), "header of the array x is damaged"),
    "a chain of signs": (header("-" * 9000 + "1"), "header of the array x is damaged"),
    "a long number": (plain("(" + "9" * 6000 + ", 4, 4)"), "header of the array x is damaged"),
    "an unknown type": (plain((6, 4, 4), "'<q9'"), "header of the array x is damaged"),
    "a type of no bytes": (plain((6, 4, 4), "'|V0'"), "is of type record"),
    "a type that is no text": (plain((6, 4, 4), "7"), "header of the array x is damaged"),
    "another key": (header("{'descr': '|u1', 'fortran_order': False, 'shape': (6, 4, 4), 'more': 1}"),
                    "header of the array x is damaged"),
    "a header of four gigabytes": (header("{}", (2, 0), 2**32 - 1), "header of the array x is damaged"),
    "zeros in the header": (header("\0" * 100), "header of the array x is damaged"),
    "a folder's picture": (b"\x89PNG\r\n\x1a\n", "is not in NumPy's format"),
}  # fmt: skip


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
@pytest.mark.parametrize("name", IMAGES)
def test_images_that_are_none(tmp_path, name, method):
    content, reason = IMAGES[name]
    path = write_zip(tmp_path / "d.npz", {"x.npy": content}, method)
    assert re.search(reason, refusal(path)), refusal(path)


LABELS = {
    "objects": (npy(np.array([Bomb()] * 6, dtype=object)), "array y holds Python objects"),
    "truths": (npy(Y > 1), "the labels are of type bool"),
    "text": (npy(np.array(list("abcabc"))), "array y is of type <U1"),
    "complex": (npy(Y.astype(complex)), "array y is of type complex128"),
    "one-hot": (npy(np.eye(3)[Y]), "the labels have shape .*argmax"),
    "too few": (npy(Y[:5]), "6 images but 5 labels"),
    "too many": (npy(np.zeros(7, int)), "6 images but 7 labels"),
    "one for all": (npy(np.int64(1)), r"the labels have shape \(\)"),
    "halves": (npy(Y + 0.5), "label of image 0 is 0.5"),
    "NaN": (npy(np.full(6, np.nan)), "label of image 0 is nan"),
    "infinite": (npy(np.full(6, np.inf)), "label of image 0 is inf"),
    "negative": (npy(Y - 1), "label of image 0 is -1"),
    "beyond exact floats": (npy(np.full(6, 1e300)), "label of image 0"),
    "beyond 63 bits": (npy(np.full(6, 2**64 - 1, np.uint64)), "label of image 0 is 18446744073709551615"),
    "a huge shape": (plain((2**40,), "'<i8'"), "should take .* bytes|images but"),
    "cut off": (npy(Y)[:-8], "should take 48 bytes"),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_that_are_none(tmp_path, name):
    content, reason = LABELS[name]
    path = write_zip(tmp_path / "d.npz", {"x.npy": npy(X), "y.npy": content})
    assert re.search(reason, refusal(path)), refusal(path)


@pytest.mark.parametrize("dtype", ["u1", ">u2", "<i4", ">i8", "<f2", ">f4", "<f8", "u8", "g"])
def test_labels_of_odd_types_are_read(tmp_path, dtype):
    path = write_zip(tmp_path / "d.npz", {"x.npy": npy(X), "y.npy": npy(Y.astype(dtype)[:, None])})
    labels = read_data(str(path), None).labels
    assert labels is not None
    assert labels.tolist() == Y.tolist()


WAYS = {
    "bzip2": (zipfile.ZIP_BZIP2, "packed by bzip2"),
    "LZMA": (zipfile.ZIP_LZMA, "packed by LZMA"),
}


@pytest.mark.parametrize("name", WAYS)
def test_other_packers_are_named(tmp_path, name):
    method, reason = WAYS[name]
    path = write_zip(tmp_path / "d.npz", {"x.npy": npy(X)}, method)
    assert f"the array x is {reason}, which nmcheck does not read; save it with numpy.savez" in refusal(path)


def test_a_packer_that_nobody_knows_is_named(tmp_path):
    path = write_zip(tmp_path / "d.npz", {"x.npy": npy(X)})
    # The method stands in the list of members, 10 bytes behind its mark, and 8 behind that of the member itself.
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 10] = 77
    path.write_bytes(content)
    assert "packed by method 77" in refusal(path)


def test_an_encrypted_member_is_said(tmp_path):
    path = write_zip(tmp_path / "d.npz", {"x.npy": npy(X)})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    content[6] |= 1
    path.write_bytes(content)
    assert "the array x is encrypted" in refusal(path)


def test_an_array_that_is_not_needed_may_be_anything(tmp_path):
    members = {"x_test.npy": npy(X), "y_test.npy": npy(Y), "x_train.npy": npy(np.array([Bomb()], dtype=object))}
    assert len(read_data(str(write_zip(tmp_path / "d.npz", members)), None)) == 6


def test_two_arrays_of_one_name_are_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for _ in range(2):
                archive.writestr("x.npy", npy(X))
    path = tmp_path / "d.npz"
    path.write_bytes(buffer.getvalue())
    assert "has two arrays called x" in refusal(path)
    assert "has two arrays called x" in refusal(write_zip(path, {"x.npy": npy(X), "x": npy(X)}))


def test_arrays_that_share_bytes_are_refused(tmp_path):
    """As in archives that unpack to petabytes: many names for the same bytes."""
    path = write_zip(tmp_path / "d.npz", {"x.npy": npy(X), "y.npy": npy(Y)})
    content = bytearray(path.read_bytes())
    second = content.rindex(b"PK\1\2")
    content[second + 42 : second + 46] = struct.pack("<I", 10)
    path.write_bytes(content)
    assert "share bytes" in refusal(path)


def bomb(path: Path, shape: tuple[int, ...], claimed: int | None = None) -> Path:
    """Zeros without end in a small file, of the length that the shape needs or of one that is only claimed."""
    packed, length, crc = zeros_member(plain(shape), int(np.prod(shape)))
    length = claimed or length
    name = b"x.npy"
    fields = struct.pack("<HHHHHIII", 20, 0, 8, 0, 0x21, crc, len(packed), length)
    local = b"PK\3\4" + fields + struct.pack("<HH", len(name), 0) + name
    listed = b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, 0) + name
    at = len(local) + len(packed)
    path.write_bytes(local + packed + listed + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(listed), at, 0))
    return path


def test_a_bomb_of_small_images_takes_no_memory(tmp_path):
    """64 MB from 64 kB: read, because it is an array, and only what is wanted is kept."""
    path = bomb(tmp_path / "d.npz", (2**20, 8, 8))
    assert path.stat().st_size < 80_000
    tracemalloc.start()
    try:
        data = read_data(str(path), None, 3)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
    assert (len(data), data.images.shape) == (2**20, (3, 8, 8))


def test_a_bomb_that_is_one_image_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("nmcheck.data.memory._stated", lambda: iter([2**28]))
    path = bomb(tmp_path / "d.npz", (1, 2**13, 2**12))
    assert "takes 839 MB of memory, and this machine has 268 MB left; check the file" in refusal(path)


def test_more_samples_than_memory_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("nmcheck.data.memory._stated", lambda: iter([2**30, 2**20, 2**40]))
    path = write_zip(tmp_path / "d.npz", {"x.npy": npy(np.zeros((100, 32, 32), np.uint8))})
    assert r"the choice of 50 images of shape (32, 32) takes 1.28 MB" in refusal(path, 50)
    assert "take fewer --samples" in refusal(path, 50)
    assert len(read_data(str(path), None, 5).images) == 5


@pytest.mark.parametrize("claimed", [2**31, 300])
def test_a_member_that_is_not_as_long_as_it_claims(tmp_path, claimed):
    assert refusal(bomb(tmp_path / "d.npz", (2**16, 8, 8), claimed))


def test_a_flipped_byte_of_a_pixel_that_is_not_chosen_is_found(tmp_path):
    path = write_zip(tmp_path / "d.npz", {"x.npy": npy(np.full((50, 4, 4), 7, np.uint8))})
    content = bytearray(path.read_bytes())
    content[content.index(b"\7" * 20) + 790] ^= 1
    path.write_bytes(content)
    assert "Bad CRC-32" in refusal(path, 1)


FILES = {
    "nothing": b"",
    "a pickle": b"\x80\x04}\x94.",
    "a list beyond the file": b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, 2**31, 2**31, 0),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "text": b"x,y\n1,2\n",
}


def test_an_archive_of_nothing_is_said(tmp_path):
    (tmp_path / "d.npz").write_bytes(b"PK\5\6" + bytes(18))
    assert "has no array x or x_test (it has none)" in refusal(tmp_path / "d.npz")


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_no_archive(tmp_path, name):
    path = tmp_path / "d.npz"
    path.write_bytes(FILES[name])
    assert "cannot be read as a NumPy .npz archive" in refusal(path)


def test_an_archive_cut_off_anywhere(tmp_path):
    whole = write_zip(tmp_path / "whole.npz", {"x.npy": npy(X), "y.npy": npy(Y)}).read_bytes()
    path = tmp_path / "d.npz"
    for length in range(0, len(whole), 13):
        path.write_bytes(whole[:length])
        refusal(path)


def test_names_are_listed_up_to_ten(tmp_path):
    path = write_zip(tmp_path / "d.npz", {f"a{index}.npy": npy(X) for index in range(40)})
    assert "a8, a9 and 30 more" in refusal(path)


ORDERS = {"C": np.ascontiguousarray, "F": np.asfortranarray}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", ["|u1", "<u2", ">u2", ">i4", "<f2", ">f4", "<f8", ">f8", "<g"])
@pytest.mark.parametrize("shape", [(40, 5), (40, 4, 3), (40, 4, 3, 2)])
def test_chosen_images_are_those_of_the_whole(tmp_path, order, dtype, shape):
    values = np.random.default_rng(1).random(shape) * (1 if "u" not in dtype and "i" not in dtype else 200)
    array = ORDERS[order](values.astype(dtype))
    np.savez(tmp_path / "d.npz", allow_pickle=False, x=array, y=np.arange(40) % 3)
    whole = read_data(f"{tmp_path / 'd.npz'}", (0.0, 200.0))
    assert np.array_equal(whole.images, array)
    for samples in (1, 7, 39):
        part = read_data(f"{tmp_path / 'd.npz'}", (0.0, 200.0), samples, 3)
        assert part.positions is not None
        assert (len(part), len(part.images)) == (40, samples)
        assert np.array_equal(part.images, array[part.positions])
        assert np.array_equal(part.pixels(part.positions), whole.pixels(part.positions))
        assert part.images.dtype == array.dtype.newbyteorder("=")


def test_archives_behind_something_else_are_refused(tmp_path):
    path = write_zip(tmp_path / "d.npz", {"x.npy": npy(X), "y.npy": npy(Y)})
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    assert "it does not begin as one" in refusal(path)


def test_labels_behind_a_damaged_length_are_not_taken_for_missing(tmp_path):
    """The first entry of the list swallows the second as its comment."""
    path = write_zip(tmp_path / "d.npz", {"x.npy": npy(X), "y.npy": npy(Y)})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 32] = 51
    path.write_bytes(content)
    assert "its list of arrays does not agree with the arrays" in refusal(path)


@pytest.mark.parametrize("place", [b"PK\1\2", b"PK\3\4"], ids=["list", "member"])
def test_labels_listed_by_another_name_are_not_taken_for_missing(tmp_path, place):
    """Else the labels would be what the model says."""
    path = write_zip(tmp_path / "d.npz", {"x.npy": npy(X), "y.npy": npy(Y)})
    content = bytearray(path.read_bytes())
    content[content.index(b"y.npy", content.rindex(place))] = ord("z")
    path.write_bytes(content)
    assert "its list of arrays does not agree with the arrays" in refusal(path)


def test_headers_of_python_2_are_read_without_a_warning(tmp_path):
    text = plain((6, 4, 4)).replace(b"(6, 4, 4)", b"(6L, 4, 4)")
    content = header(text[10:].decode("latin1").strip()) + X.tobytes()
    path = write_zip(tmp_path / "d.npz", {"x.npy": content})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(read_data(str(path), None).images, X)
