"""The JSON Schemas of the documents, made of the records themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from msgspec import Meta

from nmcheck.results.comparison import Comparison
from nmcheck.results.inspection import Inspection
from nmcheck.results.record import REASON, Record
from nmcheck.results.report import Report

JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}
_KEYWORDS = {
    "ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum", "pattern": "pattern",
}  # fmt: skip


def report_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that every JSON report of ``schema_version`` 1 obeys.

    >>> report_schema()["title"]
    'nmcheck report, version 1'
    """
    return schema_of(Report)


def inspection_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that every JSON inspection of ``schema_version`` 1 obeys."""
    return schema_of(Inspection)


def comparison_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that every JSON comparison of ``schema_version`` 1 obeys."""
    return schema_of(Comparison)


def schema_of(root: type[Record]) -> dict[str, Any]:
    """The JSON Schema of the documents that a record is written as (``reports.json``)."""
    name = root.__name__.lower()
    records = {record.__name__: _record(record) for record in records_of(root) if record is not root}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://nmcheck.invalid/{name}-v1.schema.json",
        "title": f"nmcheck {name}, version 1",
        **_record(root),
        "$defs": records,
    }


@cache
def key_of(field: str) -> str:
    """The JSON key of a field; a field cannot be called ``class`` in Python."""
    return field.removesuffix("_")


@cache
def sentences(record: type) -> Mapping[str, str]:
    """What a record's docstring says of each field."""
    section = inspect.cleandoc(record.__doc__ or "").split("Attributes:\n")[1].split("\n\n")[0]
    return dict(re.findall(r"^ {4}(\w+): (.*)$", re.sub(r"\n {5,}", " ", section), flags=re.MULTILINE))


def records_of(root: type[Record]) -> list[type[Record]]:
    """A record and all those its fields hold, in the order of first use."""
    found = [root]
    for record in found:
        for annotation in get_type_hints(record).values():
            found += [held for held in records_in(annotation) if held not in found]
    return found


def records_in(annotation: Any) -> list[type[Record]]:
    """The records that a field's type names."""
    if is_dataclass(annotation):
        return [annotation]  # pyright: ignore[reportReturnType]
    return [held for part in get_args(annotation) for held in records_in(part)]


def _record(record: type[Record]) -> dict[str, Any]:
    hints, said = get_type_hints(record, include_extras=True), sentences(record)
    names = [item.name for item in fields(record)]
    properties = {}
    for name in names:
        # A reason that is None is no key at all.
        kind = {"type": "string", "minLength": 1} if name.endswith(REASON) else _kind(hints[name])
        properties[key_of(name)] = {"description": said[name], **kind}
    made: dict[str, Any] = {
        "description": inspect.cleandoc(record.__doc__ or "").split("\n")[0],
        "type": "object",
        "properties": properties,
        "required": [key_of(name) for name in names if not name.endswith(REASON)],
        "additionalProperties": False,
        **record.schema_rules,
    }
    reasons = [name for name in names if name.endswith(REASON)]
    if reasons:
        made["allOf"] = [_needs_its_reason(name.removesuffix(REASON)) for name in reasons]
    return made


def _needs_its_reason(key: str) -> dict[str, Any]:
    return {
        "if": {"properties": {key: {"type": "null"}}},
        "then": {"required": [key + REASON]},
        "else": {"properties": {key + REASON: False}},
    }


def _kind(hint: Any) -> dict[str, Any]:
    """The JSON that values of a type become."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _limited(_kind(parts[0]), parts[1:])
    if origin in (Union, UnionType):
        (some,) = (part for part in parts if part is not NoneType)
        return _or_null(_kind(some))
    if origin is Literal:
        return {"const": parts[0]} if len(parts) == 1 else {"type": JSON_TYPES[type(parts[0])], "enum": list(parts)}
    if origin is not None:
        return _holding(origin, parts)
    return (
        {"$ref": f"#/$defs/{hint.__name__}"}
        if isinstance(hint, type) and is_dataclass(hint)
        else {"type": JSON_TYPES[hint]}
    )


def _holding(origin: Any, parts: tuple[Any, ...]) -> dict[str, Any]:
    if origin is Mapping:
        key = {name: value for name, value in _kind(parts[0]).items() if name != "type"}
        return {"type": "object", **({"propertyNames": key} if key else {}), "additionalProperties": _kind(parts[1])}
    assert origin is tuple
    if parts[-1] is Ellipsis:
        return {"type": "array", "items": _kind(parts[0])}
    return {"type": "array", "prefixItems": [_kind(part) for part in parts], "items": False, "minItems": len(parts)}


def _limited(kind: dict[str, Any], limits: tuple[Meta, ...]) -> dict[str, Any]:
    for limit in limits:
        if limit.extra_json_schema is not None:
            kind = {**kind, **limit.extra_json_schema}
            continue
        if limit.min_length is not None:
            kind["minItems" if kind["type"] == "array" else "minLength"] = limit.min_length
        for name, keyword in _KEYWORDS.items():
            if (value := getattr(limit, name)) is not None:
                kind[keyword] = value
    return kind


def _or_null(kind: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in kind:
        return {"anyOf": [kind, {"type": "null"}]}
    values = {"enum": [*kind["enum"], None]} if "enum" in kind else {}
    return {**kind, "type": [kind["type"], "null"], **values}
