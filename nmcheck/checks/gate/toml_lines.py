"""Where a key stands in a TOML file: tomllib reads values and forgets their lines."""

from __future__ import annotations

import re
from collections.abc import Sequence

_HEADER = re.compile(r"^\s*(\[{1,2})([^\[\]]+)\]{1,2}\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*(?:=|\.)""")
_TRIPLE = re.compile(r'"""|' + "'''")

Place = tuple[str, int | None, str | None]
"""A table's name, its number among tables of that name in an array (None for a plain table), and a key in it."""


class TomlLines:
    """Line numbers of headers and keys, from 1.

    Tables and keys written in the usual way, a line each, are found. What is written inside one line (inline tables)
    is found at the line of the key that holds it.

    Args:
        text: of the file.
    """

    def __init__(self, text: str) -> None:
        self._found: dict[Place, int] = {}
        counts: dict[str, int] = {}
        table, number, quoted = "", None, False
        for line, content in enumerate(text.split("\n"), start=1):
            was_quoted = quoted
            if len(_TRIPLE.findall(content)) % 2:
                quoted = not quoted
            if was_quoted:
                continue
            header = _HEADER.match(content)
            if header:
                table = ".".join(part.strip().strip("\"'") for part in header[2].split("."))
                number = None
                if header[1] == "[[":
                    number = counts.get(table, 0)
                    counts[table] = number + 1
                self._found.setdefault((table, number, None), line)
                continue
            key = _KEY.match(content)
            if key:
                self._found.setdefault((table, number, key[1] or key[2] or key[3]), line)

    def line(self, *places: Place) -> int | None:
        """The line of the first of these places that the file has."""
        return next((self._found[place] for place in places if place in self._found), None)

    def of(self, prefix: Sequence[str], name: str, number: int, key: str | None) -> int | None:
        """The line of a key of the ``number``-th ``[[name]]`` below ``prefix``, else of its header or its name."""
        table = ".".join((*prefix, name))
        return self.line((table, number, key), (table, number, None), (".".join(prefix), None, name))
