import pytest

from nmcheck.execute.table import ROWS, row_for
from pages.operators import lipschitz, moments, relaxation, specimen


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.op)
def test_every_consumer_handles_a_row_or_says_why_not(row):
    assert callable(row.build)
    assert row_for(specimen(row, "first")[1]) is row
    for says in (moments(row), lipschitz(row), relaxation(row)):
        assert says.startswith("yes") or (says.startswith("no: ") and len(says.split()) > 5)


def test_known_answers():
    of = {op: (moments(row), lipschitz(row), relaxation(row)) for (_, op), row in ROWS.items()}
    assert of["Conv"] == ("yes", "yes", "yes")
    assert of["Add"] == ("yes", "yes, with several such inputs, too", "yes, with several such inputs, too")
    assert of["Mul"] == ("yes", "yes", "yes, with several such inputs, too")
    assert of["Pow"][1].startswith("no: ")
    assert of["Pow"][2] == "yes, with the exponents 2, 3, 4"
    assert of["Exp"][2] == "yes"
    assert of["ReduceL2"][1:] == ("yes", "no: nmcheck has no linear bounds for this operator")
    assert of["LayerNormalization"][0] == "yes"
    assert all(says.startswith("no: ") for says in of["LayerNormalization"][1:])
    assert all(says.startswith("no: its output") for says in of["Round"][::2])
