"""The ``nmcheck`` command: parses, runs one command, and turns every failure into a sentence and an exit code.

Exit codes: 0 passed or analysed, 1 gate failed, 2 usage or configuration, 3 could not analyse, 4 internal error,
130 interrupted. typer's own handling is bypassed, because it ends in 1 where nmcheck means 3.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any

import typer

from nmcheck import __version__
from nmcheck.cli.analyze import analyze
from nmcheck.cli.annotate import annotate
from nmcheck.cli.bank import bank
from nmcheck.cli.bounds import bounds
from nmcheck.cli.compare import compare
from nmcheck.cli.failures import COULD_NOT_ANALYSE, INTERRUPTED, explain
from nmcheck.cli.gate import gate
from nmcheck.cli.inspect import inspect
from nmcheck.cli.messages import say, say_traceback
from nmcheck.cli.session import SESSION, Session
from nmcheck.cli.streams import standard_streams
from nmcheck.cli.view import view
from nmcheck.interruption import asked
from nmcheck.temporary import remove_all

_INTERRUPTED = "Interrupted before the run was complete; every file is whole, or as it was."

app = typer.Typer(name="nmcheck", add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
app.command()(inspect)
app.command()(analyze)
app.command()(view)
app.command()(annotate)
app.command()(bounds)
app.add_typer(bank)
app.command()(gate)
app.command()(compare)


def _show_version(wanted: bool) -> bool:
    if wanted:
        print(f"nmcheck {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; so does NMCHECK_DEBUG=1.")
    ] = False,
) -> None:
    """Noise moments and robustness bounds of ONNX classifiers."""
    if debug:
        SESSION.get().debug = True


def run(arguments: Sequence[str] | None = None, session: Session | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: what follows ``nmcheck``; by default the process's own arguments. None at all asks for help.
        session: what the commands work with.
    """
    session = session or Session(debug=os.environ.get("NMCHECK_DEBUG", "") not in ("", "0"))
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    token = SESSION.set(session)
    with standard_streams():
        try:
            code = _run(words)
        except Exception as error:
            sentence, code = explain(error)
            if asked() and code != INTERRUPTED:
                # What was interrupted has failed in a way of its own, as imports do.
                sentence, code = _INTERRUPTED, INTERRUPTED
            if session.debug:
                say_traceback()
            say(f"Error: {sentence}")
        finally:
            SESSION.reset(token)
            remove_all()
    return code


@lru_cache(maxsize=1)
def _command() -> Any:
    """Made once: it takes typer longer than most refusals."""
    return typer.main.get_command(app)


def _run(words: list[str]) -> int:
    try:
        code = _command().main(args=words, prog_name="nmcheck", standalone_mode=False)
        # What typer writes itself, as help, is still on its way.
        sys.stdout.flush()
    except SystemExit:
        # typer's answer to any pipe that has broken: of a command's own, for the standard streams never do. It would
        # end in 1, which means that a gate failed.
        say("Error: A pipe to another process broke; run nmcheck again.")
        return COULD_NOT_ANALYSE
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:
        say(f"Error: {_INTERRUPTED}")
    return code if isinstance(code, int) else 0
