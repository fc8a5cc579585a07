"""Texts that attack whoever shows them, and what must not be found where they were shown."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from html.parser import HTMLParser
from typing import Any

from nmcheck.results.record import Record

ATTACKS: dict[str, str] = {
    "title of the terminal": "\x1b]0;INJECTED\x07",
    "colors and cursor": "\x1b[31m\x1b[2J\x1b[10A",
    "C1 command": "\x9b31m\x9d0;INJECTED\x9c",
    "clipboard": "\x1b]52;c;SU5KRUNURUQ=\x1b\\",
    "link of a terminal": "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "backspaces": "pass\b\b\b\bfail\x7f",
    "carriage return": "fail\rpass",
    "line break": "a\nINJECTED",
    "Windows line break": "a\r\nINJECTED",
    "other line breaks": "a\u2028INJECTED\u2029INJECTED\x85INJECTED\x0bINJECTED\x0cINJECTED",
    "zero byte": "a\x00b",
    "right to left": "\u202egnp.evil\u202c",
    "isolates": "\u2066\u2067\u2068\u2069\u200e\u200f\u061c",
    "nothing to see": "a\u200b\u200c\u200d\u2060\ufeff\u00adb\U000e0041",
    "half a pair": "mod\udce9l\ud83d",
    "command to GitHub": "::error file=x::INJECTED",
    "command on a line of its own": "a\n::error::INJECTED\n::stop-commands::x",
    "command to GitHub, percent": "%0A::error::INJECTED%0D%25",
    "command to GitHub of old": "##[error]INJECTED",
    "command to Azure": "##vso[task.setvariable variable=x]INJECTED",
    "command to TeamCity": "##teamcity[buildStop comment='INJECTED']",
    "markup of rich": "[bold red]INJECTED[/] [link=https://evil.example]x[/link] :skull:",
    "script": "</script><script>INJECTED</script>",
    "picture": "\"'><img src=x onerror=INJECTED>",
    "comment and entity": "<!-- --> &lt;b&gt; &#60;b&#62; ]]> <![CDATA[",
    "styled": "</style></title></svg><style>*{display:none}</style>",
    "cells of a table": "a | b |\n|---|---|\n| INJECTED | \\| \\\\| |",
    "code": "`` ` ``` INJECTED ```` \\`",
    "headings and lists": "# INJECTED\n- INJECTED\n1. INJECTED\n> INJECTED\n---\n===",
    "links": "[INJECTED](https://evil.example) ![x](//evil.example/x.png) <https://evil.example>",
    "links without markup": "https://evil.example www.evil.example a@evil.example",
    "mentions": "@everyone #1 owner/repo#1 GH-1 :tada: $x$",
    "emphasis": "*a* _b_ **c** ~~d~~ ~e~",
    "message string": "{0} {{1}} [INJECTED](1)",
    "very long word": "x" * 100_000,
    "very long text": "so it goes " * 20_000,
}

ALL = " ".join(text for name, text in ATTACKS.items() if not name.startswith("very long"))
"""Everything at once."""


def poisoned(record: Any, attack: str = ALL, *, skip: tuple[str, ...] = ()) -> Any:
    """A record in which every text that comes from outside, or may, ends in an attack.

    Words of a fixed list stay, and so do texts that are numbers and those of fields in ``skip``.
    """
    if isinstance(record, tuple):
        return tuple(poisoned(member, attack, skip=skip) for member in record)
    if isinstance(record, Mapping):
        return {key: poisoned(member, attack, skip=skip) for key, member in record.items()}
    if isinstance(record, str):
        return record if record.isdigit() else f"{record}{attack}"
    if not isinstance(record, Record):
        return record
    kept = {item.name for item in fields(record) if "Literal" in str(item.type) or str(item.type) == "Verdict"}
    changed = {
        item.name: poisoned(getattr(record, item.name), attack, skip=skip)
        for item in fields(record)
        if item.name not in kept and item.name not in skip
    }
    return replace(record, **changed)


def check_visible(text: str) -> None:
    """No sequence that commands a terminal or turns text round, no line that a CI system obeys."""
    hidden = sorted({letter for letter in text if letter != "\n" and not letter.isprintable()})
    assert not hidden, [ascii(letter) for letter in hidden]
    for line in text.split("\n"):
        assert not re.match(r"\s*::[a-z]", line), line[:200]
        assert not re.search(r"##\w*\[", line), line[:200]


def check_lines(text: str, most: int) -> None:
    """Nothing injected stands at the beginning of a line, and there are no more of these than there should be."""
    assert not re.search(r"(?m)^\s*INJECTED", text)
    assert text.count("\n") <= most


class Tags(HTMLParser):
    """The elements of a page, with the names of their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(" ".join([tag, *(name for name, _ in attrs)]))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(f"/{tag}")

    def handle_decl(self, decl: str) -> None:
        self.found.append(f"!{decl}")

    def handle_comment(self, data: str) -> None:
        self.found.append(f"comment {data}")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def check_json(text: str) -> Any:
    """JSON that any reader takes, with no control character in it; what it says."""
    assert text.isascii()
    check_visible(text)
    assert "##" not in text
    document = json.loads(text)
    json.dumps(document, ensure_ascii=False).encode()
    return document
