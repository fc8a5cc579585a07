"""A report read back from its file: whoever wrote it may not have been nmcheck, so nothing in it is taken on trust."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

MOST_BYTES = 2**28
"""Of a report: some hundred times those of 10,000 images of 1,000 classes."""
_MOST_DIGITS = 400
"""More have no float."""

Rule = Callable[[object], str | None]
"""What a value must be, in words that follow "not", if it is not; None if it is."""


class DocumentError(ValueError):
    """The file is no document that can be used; ``str(error)`` says why in words that follow its name."""


def read_document(path: Path) -> Any:
    """The values of a JSON file, of any of JSON's encodings, with or without a mark of the byte order.

    Raises:
        OSError: it cannot be read.
        DocumentError: it is no JSON, or has what nmcheck never writes: numbers that are no finite floats, a key twice
            in one object, more than ``MOST_BYTES`` bytes, or values nested by the hundreds.
    """
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise DocumentError(f"it has more than {MOST_BYTES:,} bytes")
    encoding = json.detect_encoding(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DocumentError(f"it is no text in {encoding}") from error

    def refuse(written: str, why: str) -> NoReturn:
        found = re.search(rf"(?<![\w.+-]){re.escape(written)}", text)
        where = "" if found is None else f"line {text.count(chr(10), 0, found.start()) + 1}: "
        raise DocumentError(f"{where}{written[:40]}{'...' if len(written) > 40 else ''} {why}")

    def whole(written: str) -> int:
        return int(written) if len(written) <= _MOST_DIGITS else refuse(written, "has too many digits")

    def real(written: str) -> float:
        value = float(written)
        return value if math.isfinite(value) else refuse(written, "is too large a number")

    try:
        return json.loads(
            text,
            parse_int=whole,
            parse_float=real,
            parse_constant=lambda written: refuse(written, "is no number in JSON"),
            object_pairs_hook=_without_repetition,
        )
    except RecursionError as error:
        raise DocumentError("its values are nested too deeply") from error
    except json.JSONDecodeError as error:
        raise DocumentError(f"line {error.lineno}: {error.msg}, which is no JSON") from error


def check_values(document: object, rules: Mapping[str, Rule]) -> None:
    """See whether the values that will be used are of the right type and range. What is missing or null passes.

    Args:
        document: the whole of it.
        rules: by path: names of keys with dots between, ``[]`` behind those of lists and ``{}`` behind those of objects
            whose every member is meant.

    Raises:
        DocumentError: naming the first value that is not, by its path.
    """
    for path, rule in rules.items():
        for where, value in _found(document, "", path.split(".")):
            wanted = rule(value)
            if wanted is not None:
                raise wrong_value(where, value, wanted)


def wrong_value(where: str, value: object, wanted: str) -> DocumentError:
    """What is wrong with a value that is not what it must be."""
    return DocumentError(f"{where} is {_brief(value)}, not {wanted}")


def number(least: int | float = -math.inf, most: int | float = math.inf, *, whole: bool = False) -> Rule:
    """A number within limits, none of them a bool."""
    kind = "whole number" if whole else "number"
    ends = [f"of at least {least:g}"] if least > -math.inf else []
    limits = " and ".join([*ends, *([f"at most {most:g}"] if most < math.inf else [])])

    def rule(value: object) -> str | None:
        fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        return None if fits and least <= value <= most else f"a {kind} {limits}".rstrip()  # pyright: ignore

    return rule


def text(*choices: str) -> Rule:
    """A text; one of these if there are any."""
    wanted = f"one of {', '.join(choices)}" if choices else "a text"
    return lambda value: None if isinstance(value, str) and (not choices or value in choices) else wanted


def flag(value: object) -> str | None:
    """True or false."""
    return None if isinstance(value, bool) else "true or false"


def _found(value: object, where: str, parts: list[str]) -> Iterator[tuple[str, object]]:
    """The values at a path, with where each stands."""
    if value is None:
        return
    if not parts:
        yield where, value
        return
    if not isinstance(value, Mapping):
        raise wrong_value(where or "it", value, "an object")
    name = parts[0].removesuffix("[]").removesuffix("{}")
    inner, here = value.get(name), f"{where}.{name}".lstrip(".")
    if parts[0].endswith("{}") and inner is not None:
        if not isinstance(inner, Mapping):
            raise wrong_value(here, inner, "an object")
        for key, member in inner.items():
            yield from _found(member, f"{here}.{key}", parts[1:])
        return
    if name == parts[0]:
        yield from _found(inner, here, parts[1:])
        return
    if inner is not None and not isinstance(inner, list):
        raise wrong_value(here, inner, "a list")
    for position, member in enumerate(inner or ()):
        yield from _found(member, f"{here}[{position}]", parts[1:])


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise DocumentError(f"the key '{name}' stands twice in one object")
        found[name] = value
    return found


def _brief(value: object) -> str:
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    shown = json.dumps(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}..."
