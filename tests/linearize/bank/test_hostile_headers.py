"""Headers of banks that no build has written, with their checksum in agreement: refused before they are followed."""

import json
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from hdf5 import dataset
from linearize.bank.stored import Bank, refusal

from nmcheck.errors import BankError
from nmcheck.linearize.bank.layout import checksum
from nmcheck.linearize.bank.store import BankFile

HEADERS: dict[str, object] = {
    "a list": [],
    "a number": 7,
    "nothing": None,
    "a text": "header",
    "no entries": {},
    "deep": "[" * 100_000,
    "deep objects": '{"a":' * 50_000,
    "no JSON": "{",
    "NaN": '{"n": NaN}',
    "an infinite number": '{"n": Infinity}',
    "many digits": '{"n": ' + "9" * 6000 + "}",
}
ENTRIES: dict[str, tuple[str, object]] = {
    f"{name} = {str(value)[:20]}": (name, value)
    for name, values in {
        "model_fingerprint": ["", "z" * 64, 7, None],
        "data_name": [7, None, ["a"], "a" * 20_000],
        "data_sha256": ["0" * 63, None],
        "images": [0, -1, 1.5, True, None, 2, 2**70],
        "gain": [[], 1.0, ["a"], [None], [1.0, 1.0], "1"],
        "offset": [[], [0.0, 0.0], [[0.0]]],
        "cut": [None, 7, ["relu"], "a" * 20_000],
        "cut_kind": ["cuts", None, 7, ["cut"]],
        "linearizer": ["averaged", "newton", None],
        "sigma": [0.1, -1.0, 0.0, "0.1", True, []],
        "pairs": [-1, 8, 1.5, True, 2**40],
        "choice": ["all", None, 3],
        "wanted": [0, 3, None, "4", True],
        "points": [0, -4, 5, 2**62, 2**80, 1.0, None, True],
        "seed": [-1, 2**32, 1.5, None],
        "input_shape": [[], [1, 1, 8, 9], [0], [-1, -64], 64, ["64"], [1] * 1000, None, [64.0]],
        "n": [0, -64, 65, 2**62, 2**80, None, 64.0],
        "p": [0, -7, 8, 2**40, 2**80, None, True],
        "d": [0, 4, 2**62, None],
        "classes": [0, -3, 4, 2**62, None],
        "storage": [None, {}, "gram", {"kind": "gram", "rank": 0}, {"kind": "gram", "rank": 3, "dtype": "float16"},
                    {"kind": "full", "rank": 0, "dtype": "float16"},
                    {"kind": "low-rank", "rank": 0, "dtype": "float32"},
                    {"kind": "low-rank", "rank": 2**62, "dtype": "float16"}, {"kind": "gram", "rank": 0, "dtype": "O"},
                    {"kind": "gram", "rank": 0, "dtype": "float64"}, {"kind": ["gram"], "rank": 0, "dtype": "float16"},
                    {"kind": "gram", "rank": 0, "dtype": "float16", "more": 1}],
        "inner_is_constant": [True, 0, None],
        "outer_is_constant": [False, 1, "yes"],
        "arithmetic": [None, {}, []],
    }.items()
    for value in values
}  # fmt: skip
ARITHMETIC = {
    f"{name} = {value}": (name, value)
    for name, values in {
        "kernels": ["cuda", None, 7],
        "sparse_head": [1, None],
        "chunk": [0, -1, 2**70, None, 1.5],
        "holds_matrix": ["no", None],
        "threads": [0, -1, 2**20, None, True],
        "torch": [None, 2, "a" * 20_000],
    }.items()
    for value in values
}


def write_header(path: Path, text: str) -> None:
    with h5py.File(path, "r+") as raw:
        raw.attrs["header"] = text
        raw.attrs["header_crc32"] = zlib.crc32(text.encode())


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_are_none(copy: Path, name: str) -> None:
    content = HEADERS[name]
    write_header(copy, content if isinstance(content, str) else json.dumps(content))
    assert "is damaged" in refusal(copy) or "no text" in refusal(copy)


@pytest.mark.parametrize("name", ENTRIES)
def test_entries_of_a_header_that_cannot_be(whole: Bank, copy: Path, name: str) -> None:
    key, value = ENTRIES[name]
    header = json.loads(whole.header.to_json())
    assert header[key] != value or type(header[key]) is not type(value)
    write_header(copy, json.dumps(header | {key: value}))
    assert "damaged" in refusal(copy)


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_that_cannot_be(whole: Bank, copy: Path, name: str) -> None:
    key, value = ARITHMETIC[name]
    header = json.loads(whole.header.to_json())
    header["arithmetic"][key] = value
    write_header(copy, json.dumps(header))
    assert "header is damaged" in refusal(copy)


@pytest.mark.parametrize(
    "change", [lambda h: h.pop("seed"), lambda h: h.update(more=1), lambda h: h["arithmetic"].pop("chunk")]
)
def test_entries_missing_and_more(whole: Bank, copy: Path, change) -> None:
    header = json.loads(whole.header.to_json())
    change(header)
    write_header(copy, json.dumps(header))
    assert "header is damaged" in refusal(copy)


def test_a_header_as_it_was_is_read(whole: Bank, copy: Path) -> None:
    """The changes of these tests are what they are refused for."""
    write_header(copy, json.dumps(json.loads(whole.header.to_json())))
    with BankFile(copy) as file:
        assert file.header == whole.header


def write_array(path: Path, name: str, value: float, crc: str) -> None:
    """Another number in an array, with its checksum in agreement."""
    constant = crc == "constants_crc32"
    names = ("constants/bias", "constants/outer") if constant else ("centers", "class_mix", "members", "reach")
    with h5py.File(path, "r+") as raw:
        found = dataset(raw, name)
        found[(0,) * found.ndim] = value
        raw.attrs[crc] = checksum({each.rpartition("/")[2]: dataset(raw, each)[...] for each in names})


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("centers", np.nan, "what was chosen of the points has numbers that are infinite or NaN"),
        ("centers", np.inf, "what was chosen of the points has numbers that are infinite or NaN"),
        ("reach", np.nan, "what was chosen of the points has numbers that are infinite or NaN"),
        ("reach", -1.0, "it counts less than nothing"),
        ("members", -1, "it counts less than nothing"),
        ("class_mix", -5, "it counts less than nothing"),
    ],
)
def test_choices_that_cannot_be(copy: Path, name: str, value: float, reason: str) -> None:
    write_array(copy, name, value, "choice_crc32")
    with BankFile(copy) as file, pytest.raises(BankError, match=reason):
        _ = file.points


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_nothing_can_be_computed_from(whole: Bank, copy: Path, value: float) -> None:
    with BankFile(copy, "r+") as file:
        file.write(0, whole.content[0] | {"norms": np.full_like(whole.content[0]["norms"], value)})
        with pytest.raises(BankError, match="point 0 has numbers that are infinite or NaN"):
            file.read(0)
    write_array(copy, "constants/outer", value, "constants_crc32")
    with BankFile(copy) as file, pytest.raises(BankError, match="what it keeps for all points has numbers"):
        file.constants()
