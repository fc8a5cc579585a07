"""Text from outside, made fit for each kind of output.

Names of nodes, values and files, producers, classes, the ids and reasons of a policy, strings of a report read back,
the words of other libraries' exceptions: whoever made them may have put in sequences that command a terminal or a CI
system, letters that hide or turn the direction of reading, line breaks that fake a line of ours, or markup. Each
renderer passes all it writes through the function of its kind, in one place, so that no table, page or message has to
remember it. JSON alone keeps the true names, escaped.
"""

from __future__ import annotations

import html
import json
import re
import reprlib
import unicodedata

LONGEST_WORD = 400
"""Letters of a name that are shown in full."""
LONGEST_TEXT, LONGEST_MESSAGE = 20_000, 4_000
"""Letters of a text, and of a sentence on standard error, that are shown in full."""
_BREAKS = re.compile("[\t\n\r\v\f]+")
_UNUSUAL = re.compile("[^ -~]")
_CI_COMMAND = re.compile(r"##(?=\w*\[)")
"""How a line, anywhere in it, commands Azure Pipelines, TeamCity (``##vso[...]``) and GitHub of old (``##[...]``)."""
_FIRST = re.compile(r"(?m)^((?:[ \t]|\x1b\[[\d;]*m)*):(?=:)")
"""Colons that begin a line, behind blanks and our own colors."""
_MARKUP = re.compile(r"[\\`*_{}\[\]>#|~]")
_LINKED = re.compile(r"://|\bwww\.|@|#\d|\bgh-\d|:[\w+-]+:|\$", re.IGNORECASE)
"""Words that GitHub makes links, mentions, pictures or formulas of, whatever backslashes stand in them."""
_BLOCK = re.compile(r"^(?:([-+=])(?=[\s=-]|$)|(\d{1,9})([.)])(?=\s|$)|:(?=:))")
"""What at the beginning of a line is a list or a rule in Markdown, or a command to GitHub's log."""
_SURROGATES = re.compile(r"\\\\|\\ud[89ab]..\\ud[c-f]..|\\(ud[89a-f]..)", re.IGNORECASE)
"""In JSON's escapes: an escaped backslash, a pair, and one half alone."""


def visible(text: str, longest: int = LONGEST_TEXT) -> str:
    r"""On one line and without letters that command, hide or turn round: these as Python escapes them (``\x1b``).

    Line breaks and tabs become spaces. Words of more than ``LONGEST_WORD`` letters, and texts of more than
    ``longest``, lose their middle.
    """
    if len(text) <= LONGEST_WORD and text.isprintable():
        return text
    if len(text) > longest:
        text = _shortened(text, longest // 2, longest // 4)
    words = _BREAKS.sub(" ", text).split(" ")
    shown = " ".join([word if len(word) <= LONGEST_WORD else _shortened(word, 60, 60) for word in words])
    return _UNUSUAL.sub(lambda found: found[0] if found[0].isprintable() else _escape(found[0]), shown)


def brief(value: object) -> str:
    """A value read from a file, as Python writes it, however large or deeply nested it is."""
    return _BRIEF.repr(value)


def message(text: str) -> str:
    """A sentence for standard error."""
    return drawn(" ".join(visible(text, LONGEST_MESSAGE).split()))


def drawn(text: str) -> str:
    """Lines made of visible text, for a terminal or a log: without what a CI system takes for a command to it.

    GitHub obeys lines that begin with ``::``; where a table breaks a name, its rest may.
    """
    return _FIRST.sub(r"\1\\x3a", _CI_COMMAND.sub(r"#\\x23", text))


def cell(text: str) -> str:
    """A text in a cell of CSV, on one line: no formula to a spreadsheet (CWE-1236), no command to a CI log."""
    shown = drawn(visible(text))
    return f"'{shown}" if shown[:1] in ("=", "+", "-", "@") else shown


def markdown(text: str) -> str:
    """Plain words of GitHub's Markdown, on one line: no sign is markup, no word a link, a mention or a picture."""
    words = (code(word) if _LINKED.search(word) else _unmarked(word) for word in visible(text).split())
    return _BLOCK.sub(lambda found: f"{found[2] or ''}\\{found[1] or found[3] or found[0]}", " ".join(words))


def code(text: str) -> str:
    """A name to the letter, for Markdown in and outside of tables."""
    shown = _CI_COMMAND.sub(r"#\\x23", " ".join(visible(text).split()))
    # In a table a pipe ends the cell even inside of code, unless one backslash stands before it, and no second.
    shown = re.sub(r"(?<=\\)\|", r"x7c", shown).replace("|", r"\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    space = " " if shown.startswith("`") or shown.endswith("`") or not shown else ""
    return f"{fence}{space}{shown}{space}{fence}"


def markup(text: str) -> str:
    """Text or a quoted attribute of HTML and SVG."""
    return html.escape(visible(text)).replace("##", "#&#35;")


def xml(text: str) -> str:
    """Text or an attribute that an XML library writes: without the characters that XML 1.0 cannot hold."""
    return visible(text)


def sarif(text: str) -> str:
    """A message string of SARIF 2.1.0: without placeholders (3.11.5) and embedded links (3.11.6)."""
    return visible(text).replace("{", "{{").replace("}", "}}").replace("](", "] (")


def annotation(level: str, text: str, **properties: str) -> str:
    """A workflow command of GitHub Actions, with its escapes."""
    pairs = ",".join(f"{key}={_data(value, ':,')}" for key, value in properties.items())
    return f"::{level} {pairs}::{_data(text)}"


def json_text(document: object, indent: int | None = 2) -> str:
    """JSON in ASCII, whose strings read back as they are.

    Only half a surrogate pair, which a file name that is no text has, would be no valid JSON for many readers; it is
    written as a visible escape.

    Raises:
        ValueError: the document holds a NaN or an infinity.
    """
    text = json.dumps(document, indent=indent, allow_nan=False)
    whole = _SURROGATES.sub(lambda found: f"\\\\{found[1]}" if found[1] else found[0], text)
    # A log is read for commands in JSON too, and a terminal obeys DEL; other control characters are escaped by now.
    return whole.replace("##", r"#\u0023").replace("\x7f", r"\u007f")


class _Brief(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxlong, self.maxother = 3, 60, 40, 60

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to write numbers of more than 4,300 digits.
        return f"a number of {x.bit_length()} bits" if x.bit_length() > 1000 else super().repr_int(x, level)


_BRIEF = _Brief()


def _escape(letter: str) -> str:
    return " " if unicodedata.category(letter) == "Zs" else ascii(letter)[1:-1]


def _shortened(text: str, first: int, last: int) -> str:
    return f"{text[:first]}...{text[-last:]}"


def _unmarked(word: str) -> str:
    return _MARKUP.sub(lambda sign: f"\\{sign[0]}", word.replace("&", "&amp;")).replace("<", "&lt;")


def _data(text: str, also: str = "") -> str:
    shown = visible(text).replace("%", "%25")
    for sign in also:
        shown = shown.replace(sign, f"%{ord(sign):02X}")
    return shown
