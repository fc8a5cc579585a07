"""Files with a model's weights, found also where what the model says of them is damaged."""

from pathlib import Path

import models
import onnx
import pytest

from nmcheck.cli.app import run
from nmcheck.graph.external import external_files

DAMAGE = [("length", "-1"), ("length", "x"), ("offset", "-8"), ("offset", "x"), ("offset", "9" * 30)]


@pytest.mark.parametrize(("key", "value"), DAMAGE)
@pytest.mark.parametrize("command", ["inspect", "annotate"])
def test_damaged_places_are_one_sentence(tmp_path: Path, capsys, command: str, key: str, value: str) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(models.mlp(), path, save_as_external_data=True, location="weights", size_threshold=0)
    whole = onnx.load(path, load_external_data=False)
    entries = whole.graph.initializer[0].external_data
    for entry in entries:
        if entry.key == key:
            entry.value = value
    path.write_bytes(whole.SerializeToString())
    assert [entry.key for entry in entries if entry.value == value] == [key]
    assert external_files(path) == (tmp_path / "weights",)
    report = tmp_path / "report.json"
    report.write_text("{}")
    more = ["--report", str(report), "-o", str(tmp_path / "out.onnx")] if command == "annotate" else []
    assert run([command, str(path), *more]) in (2, 3)
    assert capsys.readouterr().err.count("\n") == 1
