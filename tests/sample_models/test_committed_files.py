import hashlib
import importlib.util
import re
from pathlib import Path

import pytest


def rows(folder: Path) -> dict[str, tuple[float, str]]:
    """Accuracy in percent and sha256 by file name, as README.md states them."""
    pattern = re.compile(r"^\| `(\S+\.onnx)` \| ([\d.]+)% \|.*\| `([0-9a-f]{64})` \|$", re.MULTILINE)
    return {
        name: (float(accuracy), digest)
        for name, accuracy, digest in pattern.findall((folder / "README.md").read_text())
    }


def test_readme_states_every_committed_file_as_it_is(sample_models: Path) -> None:
    stated = rows(sample_models)
    files = {path.name: path for path in sample_models.glob("*.onnx")}
    assert set(stated) == set(files)
    for name, path in files.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == stated[name][1], name


def test_every_lenet_is_accurate_and_the_readme_says_so(sample_models: Path) -> None:
    accuracies = {name: accuracy for name, (accuracy, _) in rows(sample_models).items() if name.startswith("lenet")}
    assert len(accuracies) == 6
    assert min(accuracies.values()) >= 98.5


@pytest.mark.parametrize("name", ["lenet", "lenet_bn", "mlp"])
def test_stated_accuracy_is_what_onnxruntime_measures(sample_models: Path, name: str) -> None:
    spec = importlib.util.spec_from_file_location("build", sample_models / "build.py")
    assert spec is not None
    assert spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    text = (sample_models / "README.md").read_text()
    assert build.describe(sample_models / f"{name}.onnx") in text
