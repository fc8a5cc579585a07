import json
from dataclasses import replace

import made_up_report
import pytest

from nmcheck.reports.json import to_json


def test_reasons_stand_beside_their_key_and_only_when_needed():
    document = json.loads(to_json(made_up_report.report()))
    flips = [entry["overall"]["flip"] for entry in document["moments"]]
    assert "analytic_reason" not in flips[0]
    assert flips[1]["analytic"] is None
    keys = list(flips[1])
    assert keys.index("analytic_reason") == keys.index("analytic") + 1


def test_class_is_called_class():
    rows = json.loads(to_json(made_up_report.report()))["moments"][0]["per_class"]
    assert [row["class"] for row in rows] == list(range(10))


def test_every_number_survives():
    report = made_up_report.report()
    document = json.loads(to_json(report))
    assert report.moments
    for entry, written in zip(report.moments, document["moments"], strict=True):
        for row, cells in zip(entry.per_class, written["per_class"], strict=True):
            assert (row.mean_er, row.var_z) == (cells["mean_er"], cells["var_z"])
    assert document["bounds"][0]["radius"]["lipschitz"]["mean"] == 0.034712
    assert document["bounds"][0]["box"] is None


def test_same_report_same_text_ending_in_a_newline():
    text = to_json(made_up_report.report())
    assert text == to_json(made_up_report.report())
    assert text.endswith("}\n")


def test_any_file_name_can_be_written():
    report = made_up_report.report()
    odd = replace(report, model=replace(report.model, path="mod\udce9le\u00e9.onnx"))
    text = to_json(odd)
    assert text.isascii()
    # Half a surrogate pair is no text to strict readers of JSON, so it is there as its escape.
    assert json.loads(text)["model"]["path"] == "mod\\udce9le\u00e9.onnx"


def test_infinity_is_refused():
    report = made_up_report.report()
    object.__setattr__(report, "seconds", float("inf"))
    with pytest.raises(ValueError, match="NaN or an infinity"):
        to_json(report)
