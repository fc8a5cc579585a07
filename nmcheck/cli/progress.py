"""Progress on standard error: bars for a person, a line a stage for a log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nmcheck.checks.progress import SilentProgress
from nmcheck.cli.messages import say
from nmcheck.interruption import check
from nmcheck.outside_text import message

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from nmcheck.checks.progress import Progress


class BarProgress:
    """A bar a stage."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars

    @contextmanager
    def stage(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Show a bar, moving if the number of steps is not known; it stays, full, when the stage is over."""
        task = self._bars.add_task(message(title), total=total)
        yield lambda steps=1: self._bars.advance(task, steps)
        known = next(entry for entry in self._bars.tasks if entry.id == task)
        self._bars.update(task, total=known.total or 1, completed=known.total or 1)


class LineProgress:
    """A line a stage, for logs."""

    @contextmanager
    def stage(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Write the stage's title as it begins."""
        say(f"{title} ...")
        yield lambda _steps=1: None


class Interruptible:
    """Progress at which a run that was asked to end does so, should a library have lost the interruption.

    Args:
        shown: what shows it.

    Attributes:
        shown: the same.
    """

    def __init__(self, shown: Progress) -> None:
        self.shown = shown

    @contextmanager
    def stage(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A stage of what shows it."""
        check()
        with self.shown.stage(title, total) as count:

            def advance(steps: int = 1) -> None:
                check()
                count(steps)

            yield advance


@contextmanager
def open_progress(quiet: bool) -> Iterator[Progress]:
    """The kind of progress that fits: none if quiet, bars on a terminal, lines elsewhere."""
    with _shown(quiet) as progress:
        yield Interruptible(progress)


@contextmanager
def _shown(quiet: bool) -> Iterator[Progress]:
    if quiet:
        yield SilentProgress()
        return
    if not sys.stderr.isatty():
        yield LineProgress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:", style="dim"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(file=sys.stderr)) as bars:
        yield BarProgress(bars)
