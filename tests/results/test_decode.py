"""A document is read back as what it was written from, or refused in a sentence."""

import json
from dataclasses import replace
from pathlib import Path

import made_up_bounds
import made_up_comparison
import made_up_report
import pytest

import nmcheck
from nmcheck.reports.json import to_json
from nmcheck.results.comparison import Comparison
from nmcheck.results.decode import decode
from nmcheck.results.document import DocumentError
from nmcheck.results.report import Report

ROOT = Path(__file__).parents[2]


def documents():
    report = made_up_report.report()
    yield report
    yield replace(report, bounds=(made_up_bounds.attacked_entry(),))
    yield replace(report, moments=None, moments_reason="no ReLU", bounds=None, bounds_reason="no rule")
    yield made_up_comparison.comparison()


@pytest.mark.parametrize("record", list(documents()), ids=lambda record: type(record).__name__)
def test_read_back_a_document_is_the_record(tmp_path, record):
    path = tmp_path / "document.json"
    path.write_text(to_json(record))
    read = nmcheck.read_report if isinstance(record, Report) else nmcheck.read_comparison
    found = read(path)
    assert type(found) is type(record)
    assert to_json(found) == path.read_text()


def edits():
    yield "model.fingerprint", lambda d: d["model"].pop("fingerprint"), "missing required field fingerprint"
    yield "seed", lambda d: d.update(seed=None), "seed: expected int, got null"
    yield "seed below 0", lambda d: d.update(seed=-1), "seed: expected int >= 0"
    yield "text", lambda d: d["bounds"][0]["layers"][0].update(lipschitz="1"), r"bounds\[0\].layers\[0\].lipschitz: exp"
    yield "norm", lambda d: d["bounds"][0].update(norm="l7"), r"bounds\[0\].norm: invalid enum value 'l7'"
    yield "share", lambda d: d["moments"][0]["overall"]["flip"].update(high=1.5), r"flip.high: expected float <= 1"
    yield "digest", lambda d: d["data"].update(sha256="abc"), "data.sha256: expected str matching regex"
    yield "engine", lambda d: d["moments"][0].update(engine="x"), r"moments\[0\].engine: expected propagate|two-stage"
    yield (
        "class",
        lambda d: d["moments"][0]["per_class"][0].update({"class": -1}),
        r"per_class\[0\].class: expected int",
    )
    yield (
        "no reason",
        lambda d: d["moments"][0]["overall"].update(mean_er=None),
        "mean_er is None without a mean_er_reason",
    )
    yield (
        "reason",
        lambda d: d["moments"][0]["overall"].update(mean_er_reason="why"),
        "is given and has a mean_er_reason",
    )
    yield "half a box", lambda d: d["bounds"][0].update(box=[0.0]), r"bounds\[0\].box: expected array of length 2"
    yield "version", lambda d: d.update(schema_version=2), "it is no nmcheck report of schema_version 1"
    yield "version as a bool", lambda d: d.update(schema_version=True), "it is no nmcheck report of schema_version 1"
    yield "no version", lambda d: d.pop("schema_version"), "it is no nmcheck report of schema_version 1"


@pytest.mark.parametrize(
    ("what", "edit", "said"), list(edits()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_damaged_report_is_refused_in_a_sentence(tmp_path, what, edit, said):
    document = json.loads(to_json(made_up_report.report()))
    edit(document)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(document))
    with pytest.raises(DocumentError, match=said) as refusal:
        nmcheck.read_report(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert str(refusal.value).endswith(".")
    assert "\n" not in str(refusal.value)


def test_what_is_no_document_is_refused():
    for value in ([], "report", None, 3):
        with pytest.raises(DocumentError, match="no object"):
            decode(value, Report)


def test_a_report_is_no_comparison():
    with pytest.raises(DocumentError, match="missing required field"):
        decode(json.loads(to_json(made_up_report.report())), Comparison)


def test_keys_of_later_versions_are_passed_over():
    document = json.loads(to_json(made_up_report.report()))
    document["model"]["new"] = [1, {"a": None}]
    assert to_json(decode(document, Report)) == to_json(made_up_report.report())
