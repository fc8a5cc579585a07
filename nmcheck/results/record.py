"""The rules every record obeys: a number that could not be computed is None and says why; ranges stand with types."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, ClassVar

from msgspec import Meta

REASON = "_reason"

Share = Annotated[float, Meta(ge=0, le=1)]
"""A share or a probability."""
NonNegative = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=0)]
CountFromOne = Annotated[int, Meta(ge=1)]
Place = Annotated[int, Meta(ge=-1)]
"""The index of a node or an image; -1 for one that nmcheck put in, or that was left out of the data."""
Name = Annotated[str, Meta(min_length=1)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
ClassKey = Annotated[str, Meta(pattern="^[0-9]+$")]
"""A class as a key of an object."""


def one_of(*names: str) -> Meta:
    """For a text that is one of these, where who writes it has it as a ``str``."""
    return Meta(pattern=f"^({'|'.join(names)})$", extra_json_schema={"enum": list(names)})


@dataclass(frozen=True, kw_only=True)
class Record:
    """Base of the report's records.

    A field ``<key>_reason`` belongs to the field ``<key>``: exactly one of the two is None.

    Attributes:
        schema_rules: what the JSON Schema of a record says beyond its fields.

    Raises:
        ValueError: if a value and its reason are both given or both missing, or a number is NaN or infinite.
    """

    schema_rules: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        names = {item.name for item in fields(self)}
        for name in names:
            value = getattr(self, name)
            if any(not math.isfinite(number) for number in _numbers(value)):
                raise ValueError(f"{type(self).__name__}.{name} is {value}: a report holds finite numbers or None")
            reason = name + REASON
            if reason not in names:
                continue
            if value is None and not getattr(self, reason):
                raise ValueError(f"{type(self).__name__}.{name} is None without a {reason}")
            if value is not None and getattr(self, reason) is not None:
                raise ValueError(f"{type(self).__name__}.{name} is given and has a {reason}")


def with_texts(value: Any, change: Callable[[str], str]) -> Any:
    """A record, or a tuple or mapping of them, with every text in it changed; the keys of mappings are texts too."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, tuple):
        return tuple(with_texts(member, change) for member in value)
    if isinstance(value, Mapping):
        return {with_texts(key, change): with_texts(member, change) for key, member in value.items()}
    if not isinstance(value, Record):
        return value
    return replace(value, **{item.name: with_texts(getattr(value, item.name), change) for item in fields(value)})


def _numbers(value: object) -> Iterator[float]:
    """The floats of a field: the value itself or the members of a tuple."""
    if isinstance(value, float):
        yield value
    elif isinstance(value, tuple):
        yield from (member for member in value if isinstance(member, float))
