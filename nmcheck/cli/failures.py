"""From an exception to one sentence and an exit code."""

from __future__ import annotations

import errno
import os
import re

import typer

from nmcheck.errors import NmcheckError

USAGE = 2
COULD_NOT_ANALYSE = 3
INTERNAL = 4
INTERRUPTED = 130

BadUsage = typer.BadParameter.__bases__[0]
"""click's UsageError. Newer versions of typer carry a click of their own, so it is reached through typer."""


def explain(error: Exception) -> tuple[str, int]:
    """The sentence shown to the user and the exit code."""
    if isinstance(error, NmcheckError):
        return str(error), error.exit_code
    if isinstance(error, BadUsage):
        return _usage(error), USAGE
    if _out_of_memory(error):
        return (
            f"There is not enough memory for this analysis{_wanted(error)}; try fewer --samples or a smaller model.",
            COULD_NOT_ANALYSE,
        )
    refusal = _refused_by_the_system(error)
    if refusal is not None:
        return refusal, COULD_NOT_ANALYSE
    described = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return (
        f"Internal error ({described}); please report it with the command you ran. "
        "NMCHECK_DEBUG=1 shows where it happened.",
        INTERNAL,
    )


def _usage(error: Exception) -> str:
    message = _plain(getattr(error, "format_message", error.__str__)().strip())
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "nmcheck"
    return f"{message.rstrip('.')}; see {command} --help."


def _plain(message: str) -> str:
    """What typer says of a value that does not fit, without the words of the library it asks: pydantic, once click."""
    message = message.replace("Value error, ", "")
    found = re.search(
        r"Input should be a valid (?P<kind>integer|number), unable to parse string as an? (?P=kind)"
        r"|(?<=: )'[^:]*' is not a valid (?P<old>integer|float)( range)?",
        message,
    )
    if not found:
        return message
    whole = (found["kind"] or found["old"]) == "integer"
    return message.replace(found[0], "a whole number is needed" if whole else "a number is needed")


def _out_of_memory(error: Exception) -> bool:
    """Whether Python or torch ran out of memory; torch has no class of its own for it on the CPU."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))
    )


def _refused_by_the_system(error: Exception) -> str | None:
    """What the system, and no mistake of nmcheck's, did not do."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The disk is full; free some space and run nmcheck again."
    if isinstance(error, OSError) and error.errno is not None:
        where = "" if error.filename is None else f" for {error.filename}"
        reason = f"{os.strerror(error.errno)} ({errno.errorcode.get(error.errno, error.errno)})"
        return f"The system refuses what nmcheck needs{where}: {reason}; put that right and run nmcheck again."
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return "The system starts no more threads; allow more of them (ulimit -u) and run nmcheck again."
    return None


def _wanted(error: Exception) -> str:
    """How much was asked for when it ran out, as far as numpy (in its own words) or torch (in bytes) say so."""
    numpy, torch = (
        re.search(pattern, str(error)) for pattern in (r"allocate ([\d.]*\d)\.? ([KMGTPE]iB)", r"allocate (\d+) bytes")
    )
    if numpy:
        return f" (an array of it needs {numpy[1]} {numpy[2]})"
    return f" (a matrix of it needs {int(torch[1]) / 2**30:.2g} GiB)" if torch else ""
