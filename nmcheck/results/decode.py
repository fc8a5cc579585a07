"""Documents read back into records: whoever wrote a file may not have been nmcheck, so all of it is checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from nmcheck.results.comparison import Comparison
from nmcheck.results.document import DocumentError, read_document
from nmcheck.results.inspection import Inspection
from nmcheck.results.record import Record
from nmcheck.results.report import Report
from nmcheck.results.schema import key_of, records_of

R = TypeVar("R", bound=Record)


def read_report(path: Path | str) -> Report:
    """A report of ``nmcheck analyze``, ``bounds`` or ``gate`` as the records it was written from.

    Args:
        path: of its JSON file.

    Raises:
        OSError: it cannot be read.
        DocumentError: it is no JSON, of another version, or has a value that is missing, of another type or out of its
            range; the sentence names the file and where in it.

    >>> read_report("report.json").bounds[0].radius["crown"].mean  # doctest: +SKIP
    0.4425...
    """
    return _read(path, Report)


def read_comparison(path: Path | str) -> Comparison:
    """The same of ``nmcheck compare``.

    Raises:
        OSError: it cannot be read.
        DocumentError: as ``read_report``.
    """
    return _read(path, Comparison)


def read_inspection(path: Path | str) -> Inspection:
    """The same of ``nmcheck inspect``.

    Raises:
        OSError: it cannot be read.
        DocumentError: as ``read_report``.
    """
    return _read(path, Inspection)


def decode(document: Any, record: type[R]) -> R:
    """The record that a document was written from. Keys that this version does not know are passed over.

    Args:
        document: what ``document.read_document`` gives.
        record: what it is of: ``Report``, ``Comparison`` or ``Inspection``.

    Raises:
        DocumentError: as ``read_report``, without the file's name.
    """
    if not isinstance(document, Mapping):
        raise DocumentError(f"it is no nmcheck {record.__name__.lower()}, for it is no object")
    version = document.get("schema_version")
    if version != 1 or isinstance(version, bool):
        raise DocumentError(f"it is no nmcheck {record.__name__.lower()} of schema_version 1, which this nmcheck reads")
    try:
        return msgspec.convert(_with_fields(document, _renamed(record)), record)
    except msgspec.ValidationError as error:
        what, _, where = str(error).replace("`", "").partition(" - at ")
        place = re.sub(r"\w+", lambda name: key_of(name[0]), where.removeprefix("$").removeprefix("."))
        what = re.sub(r"^Expected str matching regex '\^\((\S*)\)\$'", lambda names: f"expected {names[1]}", what)
        raise DocumentError(f"{place or 'it'}: {what[0].lower() + what[1:]}") from error


def _read(path: Path | str, record: type[R]) -> R:
    try:
        return decode(read_document(Path(path)), record)
    except DocumentError as error:
        raise DocumentError(f"{path}: {error}.") from error


@cache
def _renamed(root: type[Record]) -> Mapping[str, str]:
    """Keys that are called otherwise in Python, with their fields."""
    names = {item.name for record in records_of(root) for item in fields(record)}
    return {key_of(name): name for name in names if key_of(name) != name}


def _with_fields(value: Any, renamed: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {renamed.get(key, key): _with_fields(member, renamed) for key, member in value.items()}
    if isinstance(value, list):
        return [_with_fields(member, renamed) for member in value]
    return value
