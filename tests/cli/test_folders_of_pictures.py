"""What a folder of images has beside them reaches the user, whichever command reads it."""

import json
from pathlib import Path

import numpy as np
import pytest
from models import small_lenet, write

from nmcheck.cli.app import run

Image = pytest.importorskip("PIL.Image", reason="needs Pillow, an optional dependency")
POLICY = """
samples = 4
[[check]]
id = "accuracy"
kind = "accuracy"
min = 0.0
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str, Path]:
    """A model, a folder of images of three classes, and one file in it that is none."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 8, 8)).astype(np.uint8)
    for index, image in enumerate(pixels):
        path = tmp_path / "data" / str(index % 3) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    (tmp_path / "data" / "1" / "notes.txt").write_text("a")
    return str(write(small_lenet(), tmp_path)), str(tmp_path / "data"), tmp_path


def test_what_was_not_read_is_a_warning_of_every_report(files, capsys):
    model, data, folder = files
    (folder / "p.toml").write_text(POLICY)
    common = [model, "--data", data, "--samples", "1", "-q"]
    gate = [model, "--data", data, "--policy", str(folder / "p.toml"), "--json", str(folder / "g.json"), "-q"]
    reports = []
    for command in (
        ["analyze", *common, "--engine", "diagonal", "--reference-samples", "500"],
        ["bounds", *common, "--attack", "none", "--method", "lipschitz"],
    ):
        assert run([*command, "--format", "json"]) == 0
        reports.append(capsys.readouterr().out)
    assert run(["gate", *gate]) == 0
    reports.append((folder / "g.json").read_text())
    for report in reports:
        found = json.loads(report)
        assert any("1 entry is no image and was not read: 1/notes.txt" in one for one in found["warnings"])
        assert found["data"]["available"] == 9


def test_a_class_that_lost_its_images_ends_the_gate(files, capsys):
    model, data, folder = files
    (folder / "p.toml").write_text(POLICY)
    for path in (folder / "data" / "2").iterdir():
        path.unlink()
    assert run(["gate", model, "--data", data, "--policy", str(folder / "p.toml"), "-q"]) == 3
    assert "2 is a class without images; repair or remove" in capsys.readouterr().err


def test_what_was_not_read_is_said_before_a_bank_is_built_and_in_a_policy(files, capsys):
    model, data, folder = files
    assert run(["bank", "build", model, "--data", data, "-k", "2", "-o", str(folder / "b.h5"), "--dry-run"]) == 0
    assert "Warning: " in capsys.readouterr().err
    assert run(["gate", "--init", model, "--data", data, "-o", str(folder / "new.toml"), "--samples", "3", "-q"]) == 0
    assert f"# Warning: {data}: 1 entry is no image and was not read: 1/notes.txt" in (folder / "new.toml").read_text()
