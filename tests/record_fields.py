"""What the records say of themselves: their sentences, what they are made of, and the JSON that each field becomes."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

NAMES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def described(record: type) -> dict[str, str]:
    """Sentence per field, read off the docstring."""
    section = inspect.cleandoc(record.__doc__ or "").split("Attributes:\n")[1].split("\n\n")[0]
    joined = re.sub(r"\n {5,}", " ", section)
    return dict(re.findall(r"^ {4}(\w+): (.*)$", joined, flags=re.MULTILINE))


def records_of(root: type) -> list[type]:
    """A record and all those its fields hold, in the order of first use."""
    found = [root]
    for record in found:
        for annotation in get_type_hints(record).values():
            found += [held for held in _records_in(annotation) if held not in found]
    return found


def _records_in(annotation: Any) -> list[type]:
    if is_dataclass(annotation):
        return [annotation]  # type: ignore[list-item]
    return [held for part in get_args(annotation) for held in _records_in(part)]


def agrees(annotation: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a schema admits the JSON of just such values, ranges aside."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        (some,) = (part for part in parts if part is not NoneType)
        return _admits_null(schema) and agrees(some, _without_null(schema))
    if _admits_null(schema):
        return False
    if origin is Literal:
        return set(schema.get("enum", [schema.get("const")])) == set(parts)
    if origin is not None:
        return _holds_alike(origin, parts, schema)
    if is_dataclass(annotation):
        return schema.get("$ref") == f"#/$defs/{annotation.__name__}"  # type: ignore[union-attr]
    return isinstance(schema["const"], annotation) if "const" in schema else schema.get("type") == NAMES[annotation]


def _holds_alike(origin: Any, parts: tuple[Any, ...], schema: Mapping[str, Any]) -> bool:
    """The same of a mapping, a tuple of any length or one of fixed length."""
    if origin is Mapping:
        return schema.get("type") == "object" and agrees(parts[1], schema["additionalProperties"])
    assert origin is tuple
    if schema.get("type") != "array":
        return False
    if parts[-1] is Ellipsis:
        return "prefixItems" not in schema and agrees(parts[0], schema["items"])
    members = schema.get("prefixItems", [])
    is_fixed = (schema["items"], schema.get("minItems"), len(members)) == (False, len(parts), len(parts))
    return is_fixed and all(map(agrees, parts, members))


def _admits_null(schema: Mapping[str, Any]) -> bool:
    types = schema.get("type")
    return (isinstance(types, list) and "null" in types) or {"type": "null"} in schema.get("anyOf", [])


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    if "anyOf" in schema:
        (some,) = (part for part in schema["anyOf"] if part != {"type": "null"})
        return some
    (some,) = (name for name in schema["type"] if name != "null")
    rest = {**schema, "type": some}
    if "enum" in rest:
        rest["enum"] = [value for value in rest["enum"] if value is not None]
    return rest
