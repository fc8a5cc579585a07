"""A bank's header from its text: every entry of its type, in its range, and in agreement with the others."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import fields
from math import prod
from pathlib import Path
from typing import Any, get_args, get_type_hints

from nmcheck.errors import BankError
from nmcheck.linearize.bank.header import Arithmetic, Header
from nmcheck.linearize.bank.storage import Storage

_MOST = 2**53
_TEXT = 10_000
"""Characters of a name."""
_AXES = 64
_CHANNELS = 2**16
_SEEDS = 2**32
_PAIRS = 2**10
_THREADS = 2**10
"""Far more than any that is written: they say how much memory and how many processors serving and verifying take."""
_Check = Callable[[Any], bool]


def header_from_json(text: str, path: Path) -> Header:
    """The header as it was written.

    Raises:
        BankError: it is none that could have been.
    """
    try:
        found = json.loads(text, parse_constant=_refuse)
        header = _header(found)
    # A text that is nested deeper than Python goes is none either.
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise BankError(f"{path}: the bank's header is damaged; delete the file and build it again.") from error
    wrong = _disagreement(header)
    if wrong is not None:
        raise BankError(f"{path}: the bank's header is damaged, for {wrong}; delete the file and build it again.")
    return header


def _header(found: Any) -> Header:
    entries = _checked(found, Header, _HEADER)
    for name in ("gain", "offset", "input_shape"):
        entries[name] = tuple(entries[name])
    entries["storage"] = Storage(**_checked(entries["storage"], Storage, _STORAGE))
    entries["arithmetic"] = Arithmetic(**_checked(entries["arithmetic"], Arithmetic, _ARITHMETIC))
    entries["gain"], entries["offset"] = (tuple(map(float, entries[name])) for name in ("gain", "offset"))
    return Header(**entries)


def _checked(found: Any, record: type, checks: dict[str, _Check]) -> dict[str, Any]:
    """The entries of a record, no more and no less."""
    names = {field.name for field in fields(record)}
    if not isinstance(found, dict) or set(found) != names:
        raise ValueError(f"no {record.__name__}")
    wrong = [name for name in names if not checks[name](found[name])]
    if wrong:
        raise ValueError(", ".join(wrong))
    return dict(found)


def _disagreement(header: Header) -> str | None:
    """What in a header contradicts the rest of it; None if nothing does."""
    averaged = header.linearizer == "averaged"
    rules = {
        "its input shape does not have n elements": prod(header.input_shape) == header.n,
        "it has more points than it was to have, or than images": header.points <= min(header.wanted, header.images),
        "its scale's factors and offsets are not as many": len(header.gain) == len(header.offset),
        "sigma and pairs are of averages only": (header.sigma is not None, header.pairs > 0) == (averaged, averaged),
        "a rank is of low-rank storage only": (header.storage.rank > 0) == (header.storage.kind == "low-rank"),
    }
    return next((sentence for sentence, holds in rules.items() if not holds), None)


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def _whole(least: int, most: int = _MOST) -> _Check:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _one_of(record: type, name: str) -> _Check:
    """One of the words that the field's type lists."""
    return lambda value: isinstance(value, str) and value in get_args(get_type_hints(record)[name])


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _TEXT


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _list_of(check: _Check, most: int) -> _Check:
    return lambda value: isinstance(value, list) and 1 <= len(value) <= most and all(map(check, value))


_STORAGE: dict[str, _Check] = {
    "kind": _one_of(Storage, "kind"),
    "rank": _whole(0),
    "dtype": _one_of(Storage, "dtype"),
}
_ARITHMETIC: dict[str, _Check] = {
    "kernels": _one_of(Arithmetic, "kernels"),
    "sparse_head": _is_flag,
    "chunk": _whole(1),
    "holds_matrix": _is_flag,
    "threads": _whole(1, _THREADS),
    "torch": _is_text,
}
_HEADER: dict[str, _Check] = {
    "model_fingerprint": _is_digest,
    "data_name": _is_text,
    "data_sha256": _is_digest,
    "images": _whole(1),
    "scale": _is_text,
    "gain": _list_of(_is_number, _CHANNELS),
    "offset": _list_of(_is_number, _CHANNELS),
    "cut": _is_text,
    "cut_kind": _one_of(Header, "cut_kind"),
    "linearizer": _one_of(Header, "linearizer"),
    "sigma": lambda value: value is None or (_is_number(value) and value > 0),
    "pairs": _whole(0, _PAIRS),
    "choice": _one_of(Header, "choice"),
    "wanted": lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 1,
    "points": _whole(1),
    "seed": _whole(0, _SEEDS - 1),
    "input_shape": _list_of(_whole(1), _AXES),
    "n": _whole(1),
    "p": _whole(1),
    "d": _whole(1),
    "classes": _whole(1),
    "storage": lambda value: isinstance(value, dict),
    "inner_is_constant": _is_flag,
    "outer_is_constant": _is_flag,
    "arithmetic": lambda value: isinstance(value, dict),
}
"""What each entry may be."""
