"""Policies that are broken on purpose: one sentence with file and, where there is one, line and key; exit code 2."""

import time

import pytest
from hostile_text import check_visible

from nmcheck.checks.gate.options import GateOptions
from nmcheck.checks.gate.policy_file import find_policy, read_policy
from nmcheck.cli.app import run
from nmcheck.errors import UsageError

LOADED = GateOptions
"""What a gate loads first is loaded, so that reading a policy can be timed."""
CHECK = '[[check]]\nkind = "accuracy"\nmin = 0.9\n'
FLIP = '[[check]]\nkind = "flip"\nsigma = 0.1\nmax = 0.9\n'
RADIUS = '[[check]]\nkind = "radius"\nnorm = "l2"\npercentile = 5\nmin = 0.1\n'
MANY = "9" * 5000
LONG = "0x" + "f" * 5000

NUMBERS = {
    "nan": "nan", "inf": "inf", "-inf": "-inf", "negative": "-5", "text": '"0.9"', "true": "true", "1e400": "1e400",
    "-1e400": "-1e400", "hexadecimal of 5,000 digits": LONG, "400 digits": "9" * 400, "list": "[0.9]",
    "table": "{a = 0.9}", "date": "2030-01-01", "above one": "1.0000001", "percent": "90", "empty text": '""',
    "nested": "[[[[[[[[[[[[[[[[[[[[0.9]]]]]]]]]]]]]]]]]]]]",
}  # fmt: skip
"""None of them is a share."""


@pytest.mark.parametrize("value", NUMBERS.values(), ids=NUMBERS)
def test_a_share_that_is_none(tmp_path, capsys, value):
    refused(tmp_path, capsys, CHECK.replace("0.9", value).encode(), "line 3: [[check]]: min must be a number")


@pytest.mark.parametrize("text", [FLIP, RADIUS])
@pytest.mark.parametrize("key", ["sigma", "norm", "percentile", "budget", "box", "alpha", "seed", "samples", "class"])
@pytest.mark.parametrize("value", [LONG, "nan", "-1", "[[nan]]", "true", "1979-05-27", "1e308", "{x = {y = 1}}"])
def test_no_value_of_any_key_is_taken_as_it_is(tmp_path, capsys, text, key, value):
    if key in ("alpha", "seed", "samples"):
        content = f"{key} = {value}\n{text}"
    elif f"\n{key} = " in text:
        content = "\n".join(f"{key} = {value}" if line.startswith(f"{key} = ") else line for line in text.split("\n"))
    else:
        content = f"{text}{key} = {value}\n"
    refused(tmp_path, capsys, content.encode(), f"{key} ")


FILES: dict[str, tuple[bytes, str]] = {
    "number of 5,000 digits": (f"samples = {MANY}\n{CHECK}".encode(), "line 1: a number has too many digits"),
    "later number of 5,000 digits": (f"{CHECK}class = {MANY}\n".encode(), "line 4: a number has too many digits"),
    "lists in lists": (f"samples = {'[' * 100_000}\n{CHECK}".encode(), "line 1: values are nested too deeply"),
    "tables in tables": (f"\nsamples = {'{a=' * 9000}\n{CHECK}".encode(), "line 2: values are nested too deeply"),
    "key of many parts": (f"a{'.a' * 50_000} = 1\n{CHECK}".encode(), "line 1: a key of more than 32 parts"),
    "key of many parts in a check": (f"[[check]]\nkind{'.a' * 5000} = 1\n".encode(), "line 2: a key of more than 32"),
    "header of many parts": (f"[{'.'.join(['a'] * 50_000)}]\n".encode(), "line 1: a key of more than 32 parts"),
    "quoted parts": ((".".join(['"a b"', "'c'"] * 30) + " = 1\n").encode(), "line 1: a key of more than 32 parts"),
    "parts with blanks": ((" . ".join(["a"] * 60) + " = 1\n").encode(), "line 1: a key of more than 32 parts"),
    "key twice": (f"{CHECK}min = 0.8\n".encode(), "Cannot overwrite a value"),
    "table twice": (b"[tool]\n[tool]\n", "line 2"),
    "table and list": (b"[check]\n[[check]]\n", "line 2"),
    "no value": (b"samples =\n", "line 1"),
    "no end of a text": (b'id = "abc\n', "line 1"),
    "date that is none": (f"{CHECK}[[waiver]]\nexpires = 2030-13-45\n".encode(), "line 5"),
    "control character": (b"id = \"a\x1bb\"\n", "line 1"),
    "zero bytes": (b"\x00" * 100, "not valid TOML"),
    "UTF-16": (CHECK.encode("utf-16"), "not UTF-8 text"),
    "Latin-1": ('# \xe9\n'.encode("latin-1"), "not UTF-8 text"),
    "half a pair": (b'id = "\\ud800"\n', "not valid TOML"),
    "huge file": (b"#" + b"a" * 2**20, "more than 1,048,576 bytes"),
    "many blanks in a header": (b"[" + b" " * 500_000 + b"\n", "line 1"),
    "many quotes": (b'a = "' + b'\\"' * 200_000 + b"\n", "line 1"),
    "key of a million letters": (b"a" * 900_000 + b" = 1\n", "is no key that nmcheck knows"),
    "check that is a number": (b"check = 3\n", "must be tables"),
    "checks that are numbers": (b"check = [1, 2]\n", "must be tables"),
    "check that is a table": (b"[check]\n", "must be tables"),
    "deep table for a check": (b"[check" + b".a" * 20 + b"]\n", "must be tables"),
    "kind that is a list": (b"[[check]]\nkind = [1]\n", "line 2: [[check]]: kind must be text"),
    "id that is a table": (CHECK.encode() + b"id = {a = 1}\n", "line 4"),
    "waiver of nothing": (CHECK.encode() + b"[[waiver]]\n", "line 4: [[waiver]]: id is missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_policy(tmp_path, capsys, name):
    content, says = FILES[name]
    refused(tmp_path, capsys, content, says)


def refused(folder, capsys, content, says):
    """A policy ends a gate before anything else is read."""
    path = folder / "nmcheck.toml"
    path.write_bytes(content)
    began = time.process_time()
    assert run(["gate", "none.onnx", "--data", "none.npz", "--policy", str(path)]) == 2
    assert time.process_time() - began < 10
    out, error = capsys.readouterr()
    assert out == ""
    check_visible(error)
    assert error.count("\n") == 1
    assert error.startswith(f"Error: {path}")
    assert says in error
    assert len(error) < 1500


@pytest.mark.parametrize("content", [b"tool = 3\n", b"[tool]\nnmcheck = 3\n", b"tool = [1]\n", b"[" * 50_000, b"\xff"])
def test_a_project_file_that_holds_none(tmp_path, content, monkeypatch):
    path = tmp_path / "pyproject.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"pyproject\.toml"):
        read_policy(path)
    if content != b"[tool]\nnmcheck = 3\n":
        with pytest.raises(UsageError, match="There is no policy here"):
            find_policy(tmp_path)


def test_a_mark_of_the_byte_order_is_no_mistake(tmp_path):
    path = tmp_path / "nmcheck.toml"
    path.write_bytes(b"\xef\xbb\xbf" + CHECK.encode())
    assert read_policy(path).demands[0].threshold == 0.9
    path.write_bytes(b"\xef\xbb\xbf" + b"sample = 1\n" + CHECK.encode())
    with pytest.raises(UsageError, match="line 1: sample is no key"):
        read_policy(path)


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/null", "folder"])
def test_what_is_no_file(tmp_path, capsys, target):
    path = tmp_path if target == "folder" else target
    assert run(["gate", "none.onnx", "--data", "none.npz", "--policy", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
