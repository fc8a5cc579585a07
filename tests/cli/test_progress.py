from io import StringIO

from rich.console import Console
from rich.progress import Progress as Bars

from nmcheck.cli.progress import BarProgress, LineProgress, open_progress


def test_bars_count_steps_and_end_full():
    with Bars(console=Console(file=StringIO(), force_terminal=True)) as bars:
        progress = BarProgress(bars)
        with progress.stage("known [x]", 4) as advance:
            advance(3)
            assert bars.tasks[0].completed == 3
        with progress.stage("unknown", None) as advance:
            advance(5)
            assert bars.tasks[1].total is None
        assert all(task.finished for task in bars.tasks)


def test_lines_name_the_stages(capsys):
    with LineProgress().stage("Sampling", None) as advance:
        advance(1)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "Sampling ...\n")


def test_no_bars_without_a_terminal(capsys):
    with open_progress(quiet=False) as progress:
        assert isinstance(getattr(progress, "shown", None), LineProgress)
    with open_progress(quiet=True) as progress, progress.stage("Sampling", 1) as advance:
        advance(1)
    assert capsys.readouterr().err == ""
