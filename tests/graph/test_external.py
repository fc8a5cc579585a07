"""Files with a model's weights, found also where what the model says of them is damaged."""

import sys
from pathlib import Path

import models
import onnx
import pytest

from nmcheck.cli.app import run
from nmcheck.errors import ModelError
from nmcheck.graph.external import external_files
from nmcheck.graph.notes import annotated_copy

LINKS = ("to another name", "to another folder", "a hard link")
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


@pytest.mark.skipif(sys.platform == "win32", reason="needs links")
@pytest.mark.parametrize("link", LINKS)
def test_weights_are_not_read_through_links(tmp_path: Path, capsys: pytest.CaptureFixture[str], link: str) -> None:
    """What a stranger's model names could lead to any file; onnx before 1.21 followed some of these."""
    path, weights = tmp_path / "model" / "model.onnx", tmp_path / "model" / "weights"
    path.parent.mkdir()
    onnx.save(models.mlp(), path, save_as_external_data=True, location="weights", size_threshold=0)
    moved = tmp_path / "elsewhere" if link == "to another folder" else path.parent / "other"
    weights.rename(moved)
    weights.hardlink_to(moved) if link == "a hard link" else weights.symlink_to(moved)
    assert run(["inspect", str(path)]) == 3
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"Error: {path}: the weights stored outside the file could not be read")
    assert "link" in said


@pytest.mark.skipif(sys.platform == "win32", reason="needs links")
def test_a_folder_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    path = tmp_path / "model" / "model.onnx"
    onnx.save(models.mlp(), path, save_as_external_data=True, location="weights", size_threshold=0)
    (tmp_path / "link").symlink_to("model")
    assert run(["inspect", str(tmp_path / "link" / "model.onnx")]) == 0
