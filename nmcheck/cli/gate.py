"""``nmcheck gate``."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmcheck.cli.gate_outputs import STDOUT, write_reports
from nmcheck.cli.messages import say
from nmcheck.cli.output import all_written, folders, write_stdout
from nmcheck.cli.parameters import (
    SCALES,
    Data,
    Device,
    Model,
    Output,
    OutputFormat,
    Quiet,
    ValueRange,
    check_scale,
    parse_range,
)
from nmcheck.cli.rendering import Format
from nmcheck.cli.run_files import EACH, OutputFolder, check_files
from nmcheck.cli.session import SESSION
from nmcheck.counting import counted
from nmcheck.errors import UsageError

if TYPE_CHECKING:
    import datetime as dt

    from nmcheck.checks.gate.options import GateOptions
    from nmcheck.checks.gate.run import GateResult
    from nmcheck.checks.options import AnalyzeOptions


class OnInconclusive(StrEnum):
    """``--on-inconclusive``."""

    PASS = "pass"
    FAIL = "fail"


def gate(
    *,
    model: Model,
    data: Data,
    policy: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What is demanded: nmcheck.toml, or a pyproject.toml with [tool.nmcheck]. Default: those of the "
            "current folder, in this order.",
            show_default=False,
        ),
    ] = None,
    init: Annotated[
        bool,
        typer.Option("--init", help="Write a commented starting policy from what the model does now, to --output."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="With --init: replace the file if it is there.")] = False,
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A JSON report of nmcheck gate or analyze on the same data: no check may be worse than there.",
            show_default=False,
        ),
    ] = None,
    max_drop: Annotated[
        str,
        typer.Option(
            metavar="X",
            help="By how much a check may be worse than the baseline, as 0.05 or 5%: of shares and probabilities "
            "absolute, of radii and errors relative.",
        ),
    ] = "0",
    on_inconclusive: Annotated[
        OnInconclusive,
        typer.Option(metavar="pass|fail", help="What it counts as if evidence decides neither way."),
    ] = OnInconclusive.FAIL,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the JSON report; - is standard output.")
    ] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML, a test case a check.")
    ] = None,
    sarif: Annotated[
        Path | None, typer.Option("--sarif", metavar="FILE", help="Write SARIF 2.1.0, for code scanning.")
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(
            "--markdown",
            metavar="FILE",
            help="Write Markdown. Where GITHUB_STEP_SUMMARY names a file, it is appended there in any case.",
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write one page with pictures that needs no network.")
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Save the adversarial examples behind failing checks as .npy files: pixel units, the model's layout.",
            show_default=False,
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="SCALE",
            help=f"{SCALES} Default: the policy's, else the model's metadata entry nmcheck.scale, else unit.",
            show_default=False,
        ),
    ] = None,
    value_range: ValueRange = None,
    output_format: OutputFormat = Format.TABLE,
    output: Output = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Seed of the choice of images and of the noise. Default: the policy's, else 0.",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Number of images, each class in proportion to its size. Default: the policy's, else 100.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        Device,
        typer.Option(metavar="auto|cpu|cuda", help="Where to compute; verdicts are repeatable on the processor."),
    ] = Device.CPU,
    today: Annotated[
        str | None,
        typer.Option(
            metavar="YYYY-MM-DD",
            help="The day that waivers are compared with. Default: today, in UTC.",
            show_default=False,
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Decide whether a model may ship.

    Each check of the policy passes on evidence (a certified bound, the end of a confidence interval), fails on evidence
    (an adversarial example, the end of an interval), or is inconclusive. Exit code 0: the gate passed; 1: it failed;
    2: policy, baseline or options are wrong; 3: the model or the data cannot be analysed.
    """
    limits = parse_range(value_range)
    if init:
        from nmcheck.checks.options import AnalyzeOptions

        measured = AnalyzeOptions(
            model=model,
            data=data,
            sigmas=(0.1,),
            engines=("propagate",),
            scale=scale,
            value_range=limits,
            seed=0 if seed is None else seed,
            samples=100 if samples is None else samples,
            device=str(device),
        )
        check_files(
            {"--output": _file(output)},
            models=[model],
            data=data,
            others={"the policy": policy, "the baseline": baseline},
            stdout=_file(output) is None,
        )
        _init(measured, _file(output), force=force, quiet=quiet)
        return
    if force:
        raise UsageError("--force goes with --init, whose file it replaces; leave it out: reports replace older ones.")
    from nmcheck.checks.gate.options import GateOptions
    from nmcheck.checks.gate.policy_file import find_policy, read_policy

    check_scale(scale)
    session = SESSION.get()
    policy = find_policy(Path()) if policy is None else policy
    options = GateOptions(
        model=model,
        data=data,
        policy=read_policy(policy),
        today=session.today() if today is None else _date(today),
        scale=scale,
        value_range=limits,
        samples=samples,
        seed=seed,
        baseline=baseline,
        max_drop=_share(max_drop),
        on_inconclusive="pass" if on_inconclusive is OnInconclusive.PASS else "fail",
        device=str(device),
    )
    named = {"json": json_file, "junit": junit, "sarif": sarif, "markdown": markdown, "html": html}
    wanted = {kind: path for kind, path in named.items() if path is not None}
    outputs = {f"--{kind}": path for kind, path in wanted.items()} | ({} if output is None else {"--output": output})
    shown = [option for option, path in outputs.items() if path == STDOUT]
    if len(shown) > 1:
        raise UsageError(f"{shown[0]} and {shown[1]} would both go to standard output; {EACH}.")
    check_files(
        {option: _file(path) for option, path in outputs.items()},
        folders={"--examples": None if examples is None else _folder(examples)},
        models=[model],
        data=data,
        others={"the policy": policy, "the baseline": baseline},
        stdout=bool(shown) or output is None,
    )
    result = _decide(options, examples, quiet=quiet)
    write_reports(result, wanted, str(output_format), output, examples, quiet=quiet)
    assert result.report.gate is not None
    raise typer.Exit(result.report.gate.exit_code)


def _init(options: AnalyzeOptions, output: Path | None, *, force: bool, quiet: bool) -> None:
    from nmcheck.cli.progress import open_progress

    if output is not None and output.is_file() and not force:
        raise UsageError(f"{output} exists; replace it by --force, or choose another --output.")
    with open_progress(quiet) as progress:
        found = SESSION.get().propose(options, progress)
    if output is None:
        write_stdout(found.text)
        return
    with all_written({output: found.text.encode()}, replace=force):
        pass
    if not quiet:
        words = ["nmcheck", "gate", str(options.model), "--data", options.data, "--policy", str(output)]
        say(
            f"{output}: {counted(found.checks, 'check')}, from {counted(found.images, 'image')}. Edit it, then: "
            f"{shlex.join(words)}"
        )


def _decide(options: GateOptions, examples: Path | None, *, quiet: bool) -> GateResult:
    from nmcheck.cli.progress import open_progress

    with folders({"--examples": examples}), open_progress(quiet) as progress:
        return SESSION.get().gate(options, progress)


def _file(path: Path | None) -> Path | None:
    """The path, if it is not standard output."""
    return None if path == STDOUT else path


def _folder(examples: Path) -> OutputFolder:
    from nmcheck.checks.gate.judge import EXAMPLE_FILES

    return OutputFolder(examples, EXAMPLE_FILES)


def _share(text: str) -> float:
    """``5%`` or ``0.05``.

    Raises:
        UsageError: it is no number.
    """
    try:
        return float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise UsageError(f"--max-drop must be a number as 0.05 or 5%, not '{text}'.") from None


def _date(text: str) -> dt.date:
    import datetime as dt

    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--today must be a date as 2030-12-31, not '{text}'.") from None
