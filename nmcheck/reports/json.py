"""A result as one JSON document (``results.schema``, docs/report-schema.md and its like)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from nmcheck.outside_text import json_text
from nmcheck.results.record import REASON, Record
from nmcheck.results.schema import key_of


def to_json(report: Record) -> str:
    """The report as indented JSON ending in a newline.

    ASCII only, so that it survives any terminal and any file name. Keys stand in the order of the records' fields, each
    ``<key>_reason`` right after its key; reasons that are None are left out.

    Raises:
        ValueError: if the report holds a NaN or an infinity, which JSON cannot say. The records refuse them too.
    """
    try:
        return json_text(_plain(report)) + "\n"
    except ValueError as error:
        raise ValueError("The report holds a NaN or an infinity, which JSON cannot express.") from error


def _plain(value: object) -> Any:
    if isinstance(value, Record):
        entries = {item.name: getattr(value, item.name) for item in fields(value)}
        return {
            key_of(name): _plain(entry)
            for name, entry in entries.items()
            if not (name.endswith(REASON) and entry is None)
        }
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return value
