"""Files with a model's weights, found also where what the model says of them is damaged."""

from pathlib import Path

import models
import onnx
import pytest

from nmcheck.cli.app import run
from nmcheck.errors import ModelError
from nmcheck.graph.external import external_files
from nmcheck.graph.notes import annotated_copy

DAMAGE = [("length", "-1"), ("length", "x"), ("offset", "-8"), ("offset", "x"), ("offset", "9" * 30)]


@pytest.mark.parametrize(("key", "value"), DAMAGE)
def test_damaged_places_are_one_sentence(tmp_path: Path, capsys, key: str, value: str) -> None:
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
    assert run(["inspect", str(path)]) in (2, 3)
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"Error: {path}: the weights stored outside the file")
    with pytest.raises(ModelError, match="the weights stored outside the file"):
        annotated_copy(path, [], tmp_path.parent, ir_version=None)
