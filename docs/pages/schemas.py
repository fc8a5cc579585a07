"""The pages of the JSON documents, of their records; what stands above a page's marker is written by hand and kept."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from nmcheck.results.comparison import Comparison
from nmcheck.results.inspection import Inspection
from nmcheck.results.record import REASON, Record
from nmcheck.results.report import Report
from nmcheck.results.schema import JSON_TYPES, key_of, records_in, records_of, sentences

DOCS = Path(__file__).parents[1]
MARKER = "<!-- From here on written by docs/make.py: change the records, not this. -->\n"
REPORT, COMPARISON, INSPECTION = "report-schema.md", "compare-schema.md", "inspect-schema.md"
PAGES: Mapping[str, type[Record]] = {REPORT: Report, COMPARISON: Comparison, INSPECTION: Inspection}


def schema_page(name: str) -> str:
    """A page as it should be.

    Raises:
        ValueError: it has no marker.
    """
    head, marker, _ = (DOCS / name).read_text(encoding="utf-8").partition(MARKER)
    if not marker:
        raise ValueError(f"docs/{name} has no line '{MARKER.strip()}'")
    return head + marker + "".join(_section(record, name) for record in _own(name))


def _own(name: str) -> Iterator[type[Record]]:
    """The records a page describes: a comparison's that a report has, too, stand on the report's page."""
    for record in _first_to_last(PAGES[name], []):
        if name != COMPARISON or record not in records_of(Report):
            yield record


def _first_to_last(record: type[Record], found: list[type[Record]]) -> list[type[Record]]:
    """A record, then what its first field holds with all that is in it, then its second's."""
    if record not in found:
        found.append(record)
        for hint in get_type_hints(record).values():
            for held in records_in(hint):
                _first_to_last(held, found)
    return found


def _section(record: type[Record], name: str) -> str:
    hints, said = get_type_hints(record, include_extras=True), sentences(record)
    told = inspect.cleandoc(record.__doc__ or "").split("Attributes:")[0].strip()
    lines = [f"\n## {record.__name__}\n", told.replace("``", "`") + "\n"]
    lines += ["| key | type | meaning |", "|---|---|---|"]
    for field in (item.name for item in fields(record)):
        if field.endswith(REASON):
            continue
        key, meaning = f"`{key_of(field)}`", _sentence(said[field])
        if field + REASON in said:
            key += f"<br>`{field}{REASON}`"
            meaning += f" Reason: {said[field + REASON]}"
        lines.append(f"| {key} | {_kind(hints[field], name)} | {meaning} |".replace("``", "`"))
    return "\n".join(lines) + "\n"


def _sentence(text: str) -> str:
    return (text[0].upper() + text[1:]).replace("|", "\\|")


def _kind(hint: Any, name: str) -> str:  # noqa: PLR0911
    """A type in words."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _choices(parts[1:]) or _kind(parts[0], name)
    if origin in (Union, UnionType):
        return " or ".join([*(_kind(part, name) for part in parts if part is not NoneType), "null"])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in parts)
    if origin is Mapping:
        return f"object of {_kind(parts[1], name)}"
    if origin is tuple:
        return f"list of {_kind(parts[0], name)}" if parts[-1] is Ellipsis else f"pair of {_kind(parts[0], name)}s"
    if isinstance(hint, type) and is_dataclass(hint):
        elsewhere = "" if hint in list(_own(name)) else REPORT
        return f"[{hint.__name__}]({elsewhere}#{hint.__name__.lower()})"
    return JSON_TYPES[hint]


def _choices(limits: tuple[Any, ...]) -> str:
    names = [one for limit in limits for one in (limit.extra_json_schema or {}).get("enum", ())]
    return ", ".join(f"`{one}`" for one in names)
