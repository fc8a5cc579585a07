from pathlib import Path

import pytest

from nmcheck.checks.operator_table import bounds, moments, operator_table, specimen
from nmcheck.execute.table import ROWS, row_for

PAGE = Path(__file__).parents[2] / "docs" / "supported-operators.md"


def test_page_equals_the_tables():
    run = "run: python -m nmcheck.checks.operator_table > docs/supported-operators.md"
    assert PAGE.read_text() == operator_table(), run


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.op)
def test_every_consumer_handles_a_row_or_says_why_not(row):
    assert callable(row.build)
    assert row_for(specimen(row, "first")[1]) is row
    for says in (moments(row), bounds(row)):
        assert says.startswith("yes") or (says.startswith("no: ") and len(says.split()) > 5)


def test_known_answers():
    of = {op: (moments(row), bounds(row)) for (_, op), row in ROWS.items()}
    assert of["Conv"] == ("yes", "yes")
    assert of["Add"] == ("yes", "yes, with several such inputs, too")
    assert of["Mul"] == ("yes", "yes")
    assert of["LayerNormalization"][0] == "yes"
    assert of["LayerNormalization"][1].startswith("no: ")
    assert of["Round"][0].startswith("no: its output is constant between jumps")
