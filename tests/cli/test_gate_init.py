"""``nmcheck gate --init`` never loses a policy that somebody has edited."""

import os
from pathlib import Path
from typing import Any

import pytest

from nmcheck.checks.gate.propose import Proposal
from nmcheck.cli.app import run
from nmcheck.cli.session import Session


def init(inputs: dict[str, Path], *arguments: str, propose: Any = None) -> int:
    line = ["gate", "--init", str(inputs["model"]), "--data", str(inputs["data"]), "-q", *arguments]
    return run(line, Session(propose=propose or (lambda options, progress: Proposal("new\n", 1, 2))))


def test_a_policy_that_is_there_is_kept_and_nothing_measured(inputs, tmp_path: Path, capsys) -> None:
    path = tmp_path / "nmcheck.toml"
    path.write_text("edited")

    def called(*_: Any) -> Any:
        raise AssertionError

    assert init(inputs, "-o", str(path), propose=called) == 2
    assert capsys.readouterr().err == f"Error: {path} exists; replace it by --force, or choose another --output.\n"
    (tmp_path / "link.toml").symlink_to(path)
    assert init(inputs, "-o", str(tmp_path / "link.toml"), propose=called) == 2
    assert path.read_text() == "edited"
    assert init(inputs, "-o", str(path), "--force") == 0
    assert path.read_text() == "new\n"


@pytest.mark.parametrize(("force", "code", "text"), [([], 3, "edited meanwhile"), (["--force"], 0, "new\n")])
def test_one_that_is_written_meanwhile_is_kept(inputs, tmp_path: Path, force: list[str], code: int, text: str) -> None:
    path = tmp_path / "nmcheck.toml"

    def propose(options: Any, progress: Any) -> Proposal:
        path.write_text("edited meanwhile")
        return Proposal("new\n", 1, 2)

    assert init(inputs, "-o", str(path), *force, propose=propose) == code
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("nmcheck.toml", text)]


def test_standard_output_and_devices_are_there_and_lose_nothing(inputs, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert init(inputs, "-o", "-") == 0
    assert capsys.readouterr().out == "new\n"
    assert init(inputs, "-o", os.devnull) == 0
    assert list(tmp_path.iterdir()) == []


def test_force_is_for_init_alone(inputs, capsys) -> None:
    line = ["gate", str(inputs["model"]), "--data", str(inputs["data"]), "--policy", str(inputs["policy"]), "--force"]
    assert run(line, Session()) == 2
    assert "--force goes with --init" in capsys.readouterr().err
