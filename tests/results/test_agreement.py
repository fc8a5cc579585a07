"""The schemas say what the records are: the same types, keys, sentences and reasons, and no more."""

from dataclasses import fields
from typing import Any, get_args, get_type_hints

import pytest
from jsonschema import Draft202012Validator
from record_fields import agrees, described, records_of

from nmcheck.results.comparison import Comparison
from nmcheck.results.inspection import Inspection
from nmcheck.results.record import REASON, Record
from nmcheck.results.report import Report
from nmcheck.results.schema import comparison_schema, inspection_schema, report_schema

SCHEMAS = {Report: report_schema(), Inspection: inspection_schema(), Comparison: comparison_schema()}
ROOTS = pytest.mark.parametrize("root", list(SCHEMAS), ids=lambda root: root.__name__)
RECORDS = pytest.mark.parametrize(
    ("root", "record"),
    [
        pytest.param(root, record, id=f"{root.__name__}-{record.__name__}")
        for root in SCHEMAS
        for record in records_of(root)
    ],
)


def entry_of(root: type, record: type) -> dict[str, Any]:
    return SCHEMAS[root] if record is root else SCHEMAS[root]["$defs"][record.__name__]


@ROOTS
def test_a_schema_is_a_schema(root: type) -> None:
    Draft202012Validator.check_schema(SCHEMAS[root])


@ROOTS
def test_a_schema_defines_the_records_a_document_is_made_of(root: type) -> None:
    assert set(SCHEMAS[root]["$defs"]) == {record.__name__ for record in records_of(root) if record is not root}


@RECORDS
def test_a_schema_has_the_keys_of_the_record_and_their_sentences(root: type, record: type) -> None:
    assert issubclass(record, Record)
    entry = entry_of(root, record)
    sentences = {name.removesuffix("_"): text for name, text in described(record).items()}
    assert list(sentences) == [item.name.removesuffix("_") for item in fields(record)] == list(entry["properties"])
    assert {key: value["description"] for key, value in entry["properties"].items()} == sentences
    assert entry["required"] == [key for key in sentences if not key.endswith(REASON)]
    assert entry["additionalProperties"] is False


@RECORDS
def test_a_schema_has_the_types_of_the_record(root: type, record: type) -> None:
    properties = entry_of(root, record)["properties"]
    hints = get_type_hints(record)
    for name in (item.name for item in fields(record)):  # pyright: ignore[reportArgumentType]
        annotation = hints[name]
        schema = properties[name.removesuffix("_")]
        # A reason that is None is no key at all.
        some = get_args(annotation)[0] if name.endswith(REASON) else annotation
        assert agrees(some, schema), (name, annotation, schema)


@RECORDS
def test_a_null_needs_its_reason_and_a_reason_a_null(root: type, record: type) -> None:
    entry = entry_of(root, record)
    keys = {item.name.removesuffix(REASON) for item in fields(record) if item.name.endswith(REASON)}
    said = {next(iter(rule["if"]["properties"])): rule for rule in entry.get("allOf", [])}
    assert said.keys() == keys
    for key, rule in said.items():
        assert rule["if"] == {"properties": {key: {"type": "null"}}}
        assert rule["then"] == {"required": [key + REASON]}
        assert rule["else"] == {"properties": {key + REASON: False}}


def test_what_two_documents_share_they_define_alike() -> None:
    shared = report_schema()["$defs"]
    mine = comparison_schema()["$defs"]
    assert mine.keys() - shared.keys() == {"ComparedModel", "ComparedFlips"}
    for name in mine.keys() & shared.keys():
        assert mine[name] == shared[name], name


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (float, {"type": ["number", "null"]}),
        (float | None, {"type": "number"}),
        (float, {"type": "integer"}),
        (tuple[str, ...], {"type": "array", "items": {"type": "number"}}),
        (tuple[float, float], {"type": "array", "items": {"type": "number"}}),
        (Record, {"$ref": "#/$defs/Report"}),
        (Record | None, {"$ref": "#/$defs/Record"}),
    ],
)
def test_a_schema_of_something_else_does_not_agree(annotation: Any, schema: dict[str, Any]) -> None:
    assert not agrees(annotation, schema)
