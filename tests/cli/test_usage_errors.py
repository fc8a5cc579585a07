"""Usage errors in the words of nmcheck's users, not of the libraries that parse."""

from typing import Any

import made_up_report
import pytest

from nmcheck.cli.app import run
from nmcheck.cli.session import Session

BOUNDS = ["bounds", "m.onnx", "--data", "mnist"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--norm", "1"], "Invalid value for '--norm': '1' is not one of '2', 'inf'; see nmcheck bounds --help."),
        (["--format", "pdf"], "Invalid value for '--format': 'pdf' is not one of 'table', 'json',"),
        (["--samples", "few"], "Invalid value for '--samples': a whole number is needed; see nmcheck bounds --help."),
        (["--epsilon", "small"], "Invalid value for '--epsilon': a number is needed; see nmcheck bounds --help."),
    ],
)
def test_a_value_that_does_not_fit_is_named_in_plain_words(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*BOUNDS, *words]) == 2
    assert capsys.readouterr().err.startswith(f"Error: {said}")


@pytest.mark.parametrize("command", [BOUNDS, ["compare", "m.onnx", "n.onnx", "--data", "mnist"]])
def test_no_attack_and_an_attack_contradict_each_other(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--attack", "none", "--attack", "ddn"]) == 2
    assert "--attack none and --attack ddn contradict each other" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "asked"), [([], 4), (["none"], 0), (["none", "none"], 0), (["ddn", "ddn"], 1)])
def test_attacks_asked_for(given: list[str], asked: int) -> None:
    ran: list[Any] = []

    def analysis(options: Any, progress: Any) -> Any:
        ran.append(options)
        return made_up_report.report()

    words = [word for name in given for word in ("--attack", name)]
    assert run([*BOUNDS, "--quiet", *words, "-o", "/dev/null"], Session(bounds=analysis)) == 0
    assert len(ran[0].attacks) == asked
