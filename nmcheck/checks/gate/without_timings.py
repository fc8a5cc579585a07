"""A report without times: the same inputs give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TypeVar

from nmcheck.results.record import REASON, Record

NO_TIMES = "a gate's report holds no times, so that the same inputs give the same file"
_TIMES = ("seconds", "seconds_per_input", "seconds_per_sample", "forward_passes_per_input")
_Any = TypeVar("_Any")


def without_times(value: _Any) -> _Any:
    """A record, or a tuple or mapping of them, with every time in it replaced by a reason."""
    if isinstance(value, tuple):
        return tuple(without_times(member) for member in value)  # pyright: ignore[reportReturnType]
    if isinstance(value, Mapping):
        return {key: without_times(member) for key, member in value.items()}  # pyright: ignore[reportReturnType]
    if not isinstance(value, Record):
        return value
    changed = {
        item.name: without_times(getattr(value, item.name))
        for item in fields(value)
        if isinstance(getattr(value, item.name), (Record, tuple, Mapping))
    }
    for name in _TIMES:
        if hasattr(value, name):
            changed.update({name: None, name + REASON: NO_TIMES})
    return replace(value, **changed)
