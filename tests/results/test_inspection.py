import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from nmcheck.results import inspection
from nmcheck.results.model import ToolEntry
from nmcheck.results.record import Record
from nmcheck.results.schema import inspection_schema

PAGE = Path(__file__).parents[2] / "docs" / "inspect-schema.md"
RECORDS = [
    entry
    for entry in (*vars(inspection).values(), ToolEntry)
    if inspect.isclass(entry) and entry.__module__ == "nmcheck.results.inspection"
]


def described(record) -> dict[str, str]:
    """Sentence per field, read off the docstring."""
    section = inspect.cleandoc(record.__doc__).split("Attributes:\n")[1].split("\n\n")[0]
    joined = re.sub(r"\n {5,}", " ", section)
    return dict(re.findall(r"^ {4}(\w+): (.*)$", joined, flags=re.MULTILINE))


def test_schema_is_a_schema():
    Draft202012Validator.check_schema(inspection_schema())


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_schema_and_page_match_the_record(record):
    assert issubclass(record, Record)
    schema = inspection_schema()
    entry = schema if record.__name__ == "Inspection" else schema["$defs"][record.__name__]
    sentences = described(record)
    assert list(sentences) == [item.name for item in fields(record)] == entry["required"]
    assert {key: value["description"] for key, value in entry["properties"].items()} == sentences
    assert entry["additionalProperties"] is False
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    page = next(part for part in sections if part.startswith(record.__name__ + "\n"))
    for key, sentence in sentences.items():
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
