"""Values of a TOML table, each of the type and in the range it must have."""

from __future__ import annotations

import datetime as dt
import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from nmcheck.outside_text import brief


class TomlTable:
    """Values of one table, each checked as it is taken.

    Args:
        entry: the table.
        complain: raises, given a key (or None) and what is wrong with it.
    """

    def __init__(self, entry: Mapping[str, Any], complain: Callable[[str | None, str], NoReturn]) -> None:
        self._entry, self._complain = entry, complain

    def only(self, known: Iterable[str]) -> None:
        """Complain of keys that are not known."""
        for key in self._entry:
            if key not in known:
                self._complain(key, f"is no key that nmcheck knows{nearest(key, known)}; it knows {', '.join(known)}")

    def text(self, key: str) -> str | None:
        """Text that is not empty, or None."""
        value = self._entry.get(key)
        if value is not None and not (isinstance(value, str) and value.strip()):
            self._complain(key, f"must be text that is not empty, not {brief(value)}")
        return value

    def choice(self, key: str, allowed: tuple[str, ...]) -> Any:
        """One of some words, or None."""
        value = self.text(key)
        if value is not None and value not in allowed:
            self._complain(key, f"is '{value}'{nearest(value, allowed)}; choose from {', '.join(allowed)}")
        return value

    def whole(self, key: str, *, least: int, most: int) -> int | None:
        """A whole number within limits, or None."""
        value = self._entry.get(key)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            self._complain(key, f"must be a whole number of at least {least}, not {brief(value)}")
        if value > most:
            self._complain(key, f"must be a whole number of at most {most:,}, not {brief(value)}")
        return value

    def number(
        self,
        key: str,
        *,
        least: float | None = None,
        most: float | None = None,
        above: float | None = None,
        below: float | None = None,
    ) -> float | None:
        """A finite number within limits, or None."""
        value = self._entry.get(key)
        if value is None:
            return None
        limits = [
            *([f"at least {least:g}"] if least is not None else []),
            *([f"above {above:g}"] if above is not None else []),
            *([f"at most {most:g}"] if most is not None else []),
            *([f"below {below:g}"] if below is not None else []),
        ]
        fits = _is_finite(value)
        fits = fits and (least is None or value >= least) and (most is None or value <= most)
        if not (fits and (above is None or value > above) and (below is None or value < below)):
            self._complain(key, f"must be a number {' and '.join(limits)}, not {brief(value)}")
        return float(value)

    def pair(self, key: str, *, most: float) -> tuple[float, float] | None:
        """Two numbers of at most this size, the lower first, or None."""
        value = self._entry.get(key)
        if value is None:
            return None
        fits = isinstance(value, list) and len(value) == 2 and all(map(_is_finite, value)) and value[0] < value[1]
        if not (fits and -most <= value[0] and value[1] <= most):
            self._complain(key, f"must be two numbers, the lower first, as [0, 1], not {brief(value)}")
        return float(value[0]), float(value[1])

    def date(self, key: str) -> dt.date:
        """A day."""
        value = self._entry[key]
        if isinstance(value, str):
            try:
                value = dt.date.fromisoformat(value)
            except ValueError:
                self._complain(key, f"is no date: {brief(value)}; write it as 2030-12-31")
        # A datetime is a date too, but at which hour of which zone a waiver ends nobody could tell.
        if isinstance(value, dt.datetime) or not isinstance(value, dt.date):
            self._complain(key, f"must be a date as 2030-12-31, not {brief(value)}")
        return value


def _is_finite(value: object) -> bool:
    """Whether it is a number that a float can stand for; TOML has whole numbers of any length."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint at the known word that is most like this one; empty if none is."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean '{found[0]}'?)" if found else ""
