import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from record_fields import described, records_of

from nmcheck.results.inspection import Inspection
from nmcheck.results.schema import inspection_schema

PAGE = Path(__file__).parents[2] / "docs" / "inspect-schema.md"
RECORDS = records_of(Inspection)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_key_is_in_the_page(record):
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    page = next(part for part in sections if part.startswith(record.__name__ + "\n"))
    for key, sentence in described(record).items():
        assert f"`{key}`" in page
        assert sentence.replace("``", "`").lower() in page.lower()


@pytest.mark.parametrize(
    "entry",
    [
        {"execute": True, "moments": True, "bounds": False, "reason": ""},
        {"execute": True, "moments": True, "bounds": True, "reason": "why"},
        {"execute": None, "moments": True, "bounds": True, "reason": ""},
    ],
)
def test_a_refusal_needs_its_reason_and_a_reason_a_refusal(entry):
    schema = {"$defs": inspection_schema()["$defs"], "$ref": "#/$defs/OperatorEntry"}
    assert not Draft202012Validator(schema).is_valid({"op": "Add", "domain": "", "count": 1, **entry})
