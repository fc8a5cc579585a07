"""CSV has every value of the JSON document, to the last digit, and nothing that a spreadsheet obeys."""

import csv
import io
import json
from dataclasses import replace

import made_up_comparison
import made_up_gate
import made_up_report
import pytest
from hostile_text import ATTACKS

from nmcheck.outside_text import cell
from nmcheck.reports.csv import HEADER, to_csv
from nmcheck.reports.json import to_json

RECORDS = {
    "report": made_up_report.report(),
    "comparison": made_up_comparison.comparison(),
    "gate": made_up_gate.report(),
}


def rows(text):
    return list(csv.reader(io.StringIO(text)))


def flattened(document, path=""):
    """Every scalar of a JSON document by its path, lists and objects without members left out."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from flattened(value, f"{path}.{key}".lstrip("."))
    elif isinstance(document, list):
        for position, value in enumerate(document):
            yield from flattened(value, f"{path}[{position}]")
    else:
        yield path, document


@pytest.mark.parametrize("name", RECORDS)
def test_every_value_of_the_json_is_there_with_all_its_digits(name):
    found = rows(to_csv(RECORDS[name]))
    assert tuple(found[0]) == HEADER
    values = {f"{entry}.{key}".lstrip("."): (value, reason) for entry, key, value, reason in found[1:]}
    assert len(values) == len(found) - 1
    wanted = dict(flattened(json.loads(to_json(RECORDS[name]))))
    reasons = {path.removesuffix("_reason") for path in wanted if path.endswith("_reason")}
    assert values.keys() == {path for path in wanted if not path.endswith("_reason")}
    for path, (value, reason) in values.items():
        expected = wanted[path]
        if isinstance(expected, float):
            assert float(value) == expected
        elif isinstance(expected, str):
            assert value.removeprefix("'") == expected
        else:
            assert value == ("" if expected is None else json.dumps(expected)), path
        assert bool(reason) == (path in reasons)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-2+3", "@SUM(A1)", '=HYPERLINK("https://evil.example")'])
def test_no_text_is_a_formula(text):
    assert cell(text) == f"'{text}"
    report = made_up_report.report()
    named = replace(report, model=replace(report.model, path=text))
    assert ["model", "path", f"'{text}", ""] in rows(to_csv(named))


@pytest.mark.parametrize("name", [name for name in ATTACKS if not name.startswith("very long")])
def test_a_text_stays_in_its_cell_and_commands_nothing(name):
    report = made_up_report.report()
    named = replace(report, model=replace(report.model, path=ATTACKS[name]))
    text = to_csv(named)
    assert len(rows(text)) == len(rows(to_csv(report)))
    assert text.replace("\n", "").isprintable()
    assert "##vso[" not in text
    assert "##[" not in text
    assert not any(line.startswith("::") for line in text.splitlines())
