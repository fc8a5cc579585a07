"""What is said on standard error, a line a sentence: the one place where anything is written there but bars."""

from __future__ import annotations

import sys
import traceback

from nmcheck.outside_text import annotation, drawn, message, visible


def say(sentence: str) -> None:
    """Say a sentence, on one line whatever names stand in it."""
    _write(message(sentence))


def warn(warning: str) -> None:
    """Say what the user should doubt."""
    say(f"Warning: {warning}")


def say_traceback() -> None:
    """Say where the exception being handled comes from."""
    for line in traceback.format_exc().splitlines():
        _write(drawn(visible(line)))


def annotate_log(level: str, text: str, **properties: str) -> None:
    """Tell GitHub what to show beside a file, by a command in the log; arguments as those of ``annotation``."""
    _write(annotation(level, text, **properties))


def _write(line: str) -> None:
    # At once: an interruption between a line and its end would have its own sentence behind it.
    print(f"{line}\n", end="", file=sys.stderr, flush=True)
