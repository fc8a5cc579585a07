"""A result as CSV: a line for every number and text of its JSON, all digits kept, for spreadsheets and data frames."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import fields
from io import StringIO
from typing import Any

from nmcheck.outside_text import cell
from nmcheck.results.record import REASON, Record
from nmcheck.results.schema import key_of

HEADER = ("entry", "key", "value", "reason")


def to_csv(record: Record) -> str:
    """Comma-separated lines, one for every value; an object's own values stand before the objects in it.

    Columns: ``entry``, the path of the object that the value is in (``moments[0].per_class[3]``, empty for the document
    itself); ``key``; ``value``, numbers with all their digits, truths as true and false, empty for null; ``reason``,
    why a number is missing. Lists of numbers and texts have a line a member: ``sigma_model[0]``.

    Text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    file = StringIO()
    lines = csv.writer(file, lineterminator="\n")
    lines.writerow(HEADER)
    lines.writerows(_lines(record, ""))
    return file.getvalue()


def _lines(record: Record, entry: str) -> Iterator[tuple[str, str, str, str]]:
    later: list[tuple[str, Any]] = []
    for name in (item.name for item in fields(record)):
        if name.endswith(REASON):
            continue
        key, value = key_of(name), getattr(record, name)
        members = list(_members(key, value))
        for member, held in members:
            if isinstance(held, Record):
                later.append((member, held))
            else:
                yield cell(entry), cell(member), _value(held), cell(getattr(record, name + REASON, None) or "")
    for member, held in later:
        yield from _lines(held, f"{entry}.{member}".lstrip("."))


def _members(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """What a field holds, by name: itself, or the members of a list or an object."""
    if isinstance(value, tuple):
        yield from ((f"{key}[{position}]", member) for position, member in enumerate(value))
    elif isinstance(value, Mapping):
        yield from ((f"{key}.{name}", member) for name, member in value.items())
    else:
        yield key, value


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return cell(value) if isinstance(value, str) else repr(value)
