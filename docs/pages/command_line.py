"""docs/cli.md, made from the commands themselves."""

from __future__ import annotations

import inspect
from typing import Any

import typer

from nmcheck.cli.app import app

INTRODUCTION = """\
# The command line

This page is made from the program (`python docs/make.py`); a test keeps the two equal.

The report goes to standard output, or to the file given with `--output`; progress, warnings and errors go to standard
error. Tables in a pipe are 160 columns wide or more. `NO_COLOR` turns colours off.

| exit code | meaning |
|---|---|
| 0 | analysed; the gate passed |
| 1 | the gate failed |
| 2 | usage or configuration error |
| 3 | could not analyse: bad or unsupported model, bad data, unwritable output, full disk or too little memory |
| 4 | internal error; `NMCHECK_DEBUG=1` shows the traceback |
| 130 | interrupted |

A reader of standard output who has gone, as `head` does, has read enough: the run ends as if all had been read, with
the exit code that it has anyway. Standard output that cannot be written to otherwise (a full disk, a closed
descriptor) is exit code 3. What cannot be written to standard error, whose reader may be gone, is lost and changes
nothing.

Ctrl-C, SIGTERM and SIGHUP (unless ignored, as under `nohup`) end a run with one sentence and exit code 130; every file
is whole, or as it was. Where that takes too long, a second one, a second or more later, ends the run at once. A run
whose work is done keeps its exit code. `nmcheck view` ends in 0 once it serves. What SIGKILL or a crash leaves are
hidden files `.nmcheck-*.tmp` beside the outputs; the next run that writes there deletes them.

Outputs never replace inputs: a file or folder to write that is the model, its weights, the data or another input of
the same run, by whatever name or link, or that is named twice, is exit code 2. Reports replace older files of their
names; `gate --init` and `bank build` refuse one that is there (exit code 2) without `--force`, or for a bank
`--resume`.
"""


def reference_page() -> str:
    """The page, ending in a newline."""
    root: Any = typer.main.get_command(app)
    parts = [INTRODUCTION, _section("nmcheck", root)]
    for name, command in root.commands.items():
        parts += [
            _section(f"nmcheck {name} {inner}".rstrip(), one)
            for inner, one in (getattr(command, "commands", None) or {"": command}).items()
        ]
    return "\n".join(parts)


def _section(name: str, command: Any) -> str:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option"]
    usage = " ".join([name, *(param.name.upper() for param in arguments), "[OPTIONS]"])
    lines = [f"## {name}", "", "```", usage, "```", "", inspect.cleandoc(command.help), ""]
    if arguments:
        lines += ["| argument | meaning |", "|---|---|"]
        lines += [f"| `{param.name.upper()}` | {param.help} |" for param in arguments]
        lines.append("")
    lines += ["| option | meaning | default |", "|---|---|---|"]
    lines += [f"| {_option(param)} | {param.help} | {_default(param)} |" for param in options]
    return "\n".join(lines) + "\n"


def _option(param: Any) -> str:
    names = ", ".join(f"`{name}`" for name in param.opts)
    if param.is_flag:
        return names
    return f"{names} {param.metavar}".replace("|", "\\|")


def _default(param: Any) -> str:
    if param.required:
        return "required"
    if param.is_flag or param.default is None:
        return ""
    return f"`{getattr(param.default, 'value', param.default)}`"
