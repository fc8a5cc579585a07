"""Baselines that are broken on purpose: one sentence that names the file and what is wrong; exit code 2, no verdict."""

import json

import made_up_gate
import pytest
from hostile_text import check_visible

from nmcheck.cli.app import run
from nmcheck.reports.json import to_json

POLICY = '[[check]]\nkind = "accuracy"\nmin = 0.9\n'
GOOD = json.loads(to_json(made_up_gate.report()))

BYTES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "line 1"),
    "no JSON": (b"{", "line 1"),
    "something behind": (b"{}\n\n{}", "line 3"),
    "number of 5,000 digits": (b'{"a":\n' + b"9" * 5000 + b"}", "line 2: 9999"),
    "NaN": (b'{"schema_version": 1,\n"x": NaN}', "line 2: NaN is no number in JSON"),
    "Infinity": (b'{"x": -Infinity}', "line 1: -Infinity is no number in JSON"),
    "1e400": (b'{\n"x": 1e400}', "line 2: 1e400 is too large a number"),
    "lists in lists": (b"[" * 200_000, "nested too deeply"),
    "objects in objects": (b'{"a":' * 100_000, "nested too deeply"),
    "key twice": (b'{"schema_version": 1, "schema_version": 1}', "the key 'schema_version' stands twice"),
    "no text": (b'{"a": "\xff"}', "no text in utf-8"),
    "half a text": (b"\xff\xfe{", "no text in utf-16"),
    "zero bytes": (b"\x00" * 64, "line 1"),
    "list": (b"[1]", "no nmcheck report"),
    "number": (b"1", "no nmcheck report"),
    "null": (b"null", "no nmcheck report"),
}


@pytest.mark.parametrize("name", BYTES)
def test_a_file_that_is_no_report(tmp_path, capsys, name):
    content, says = BYTES[name]
    refused(tmp_path, capsys, content, says)


VALUES = [
    ("data.accuracy", "0.9"), ("data.accuracy", True), ("data.accuracy", -0.1), ("data.accuracy", 50),
    ("data.accuracy", 10**399), ("data.accuracy", [1]), ("data.sha256", 3), ("data.scale", None, "passes"),
    ("noise", 3), ("noise.description", ["x"]), ("model.fingerprint", {"a": 1}), ("schema_version", True),
    ("schema_version", 1.5), ("gate", []), ("gate.checks", {}), ("gate.checks[0]", 3), ("gate.checks[0].id", 3),
    ("gate.checks[0].measured", 90), ("gate.checks[0].measured", "0.4"), ("gate.checks[3].measured", -1),
    ("gate.checks[3].measured", True), ("flips", 3), ("flips[0]", "x"), ("flips[0].per_class[0].trials", -1),
    ("flips[0].per_class[0].trials", 1.5), ("flips[0].per_class[0].trials", 2**60),
    ("flips[0].per_class[0].sampled", 1.5), ("flips[0].per_class[0].class", "0"), ("flips[0].sigma_pixel", "0.1"),
    ("moments[0].overall.mean_er", 2.5), ("moments[0].overall.mean_er", -1), ("moments[0].per_class[2].var_er", "x"),
    ("moments[0].per_class", 3), ("bounds[0].per_sample[0].lower", -1), ("bounds[0].per_sample[0].lower", "inf"),
    ("bounds[0].per_sample[0].upper", True), ("bounds[0].per_sample[0].correct", 1),
    ("bounds[0].per_sample[0].label", 1.0), ("bounds[0].per_sample[0].lower_method", 7), ("bounds", "x"),
]  # fmt: skip


@pytest.mark.parametrize("case", VALUES, ids=lambda case: f"{case[0]} {str(case[1])[:12]}")
def test_a_value_of_the_wrong_type_or_range(tmp_path, capsys, case):
    where, value, *passes = case
    document = json.loads(json.dumps(GOOD))
    put(document, where, value)
    if passes:
        path = tmp_path / "baseline.json"
        path.write_text(json.dumps(document))
        code, error = gate(tmp_path, capsys, path)
        assert (code, "none.onnx" in error) == (3, True)  # read, and on to the model
    else:
        refused(tmp_path, capsys, json.dumps(document).encode(), where)


def put(document, where, value):
    """Replace a value by its path."""
    *parents, last = where.replace("]", "").replace("[", ".").split(".")
    for part in parents:
        document = document[int(part) if part.isdigit() else part]
    document[int(last) if last.isdigit() else last] = value


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_every_encoding_of_json_is_read(tmp_path, capsys, encoding):
    path = tmp_path / "baseline.json"
    path.write_bytes(json.dumps(GOOD).encode(encoding))
    code, error = gate(tmp_path, capsys, path)
    assert (code, "none.onnx" in error) == (3, True)


def test_a_file_without_end_is_not_read_to_its_end(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("nmcheck.results.document.MOST_BYTES", 10**6)
    code, error = gate(tmp_path, capsys, "/dev/zero")
    assert code == 2
    assert "more than 1,000,000 bytes" in error


def gate(folder, capsys, path):
    policy = folder / "nmcheck.toml"
    policy.write_text(POLICY)
    code = run(["gate", "none.onnx", "--data", "none.npz", "--policy", str(policy), "--baseline", str(path), "-q"])
    out, error = capsys.readouterr()
    assert out == ""
    check_visible(error)
    assert error.count("\n") == 1
    return code, error


def refused(folder, capsys, content, says):
    path = folder / "baseline.json"
    path.write_bytes(content)
    code, error = gate(folder, capsys, path)
    assert code == 2
    assert error.startswith(f"Error: {path}: the baseline ")
    assert says in error
    assert len(error) < 1000
