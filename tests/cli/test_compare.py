"""``nmcheck compare`` at the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from models import mlp, write

from nmcheck.cli.app import run
from nmcheck.results.schema import comparison_schema


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    models = [str(write(mlp(sizes), tmp_path, f"{len(sizes)}.onnx")) for sizes in ((6, 8, 3), (6, 9, 7, 3))]
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(1).random((5, 6)))
    return [
        "compare", *models, "--data", str(tmp_path / "x.npz"), "--samples", "5", "--draws", "5", "--attack", "none",
        "--method", "lipschitz",
    ]  # fmt: skip


def test_json_is_all_of_stdout(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--format", "json", "--epsilon", "0.5", "--sigma", "0.2"]) == 0
    found = json.loads(capsys.readouterr().out)
    Draft202012Validator(comparison_schema()).validate(found)
    assert found["schema_version"] == 1
    assert [one["model"]["path"] for one in found["models"]] == words[1:3]
    for one in found["models"]:
        assert one["example"] is None
        assert one["example_reason"]
        assert [flips["sigma_pixel"] for flips in one["flips"]] == [0.2]
        assert [point["epsilon"] for point in one["bounds"]["accuracy"]] == [0.5]


def test_a_table_in_a_file_leaves_stdout_empty(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, "--quiet", "-o", str(tmp_path / "r.txt")]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
    text = (tmp_path / "r.txt").read_text()
    assert "1 3.onnx" in text
    assert "2 4.onnx" in text


def test_usage_errors(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([words[0], words[1], *words[3:]]) == 2
    assert "nmcheck compare needs two models or more" in capsys.readouterr().err
    assert run([*words, "--scale", "nonsense"]) == 2
