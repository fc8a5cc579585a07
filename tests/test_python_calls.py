"""From Python: a model, data and settings, files or in memory."""

import doctest

import numpy as np
import onnx
import pytest
from models import mlp, write

import nmcheck
from nmcheck import python_calls
from nmcheck.errors import UsageError

SETTINGS = {"sigmas": (0.1,), "reference_samples": 500, "engines": ("propagate",)}


def arrays(count=6):
    return np.random.default_rng(0).random((count, 6)), np.arange(count) % 3


def test_files_and_what_is_in_memory_have_one_answer(tmp_path):
    made, (x, y) = mlp((6, 5, 3)), arrays()
    path = write(made, tmp_path)
    np.savez(tmp_path / "data.npz", x=x, y=y, allow_pickle=False)
    filed = nmcheck.analyze(str(path), str(tmp_path / "data.npz"), **SETTINGS)
    held = nmcheck.analyze(onnx.load(path), (x, y), **SETTINGS)
    assert held.model.fingerprint == filed.model.fingerprint
    assert held.data.sha256 == filed.data.sha256
    assert filed.moments is not None
    assert held.moments is not None
    assert held.moments[0].per_class == filed.moments[0].per_class
    assert held.flips == filed.flips


def test_labels_may_be_missing(tmp_path):
    found = nmcheck.analyze(write(mlp((6, 5, 3)), tmp_path), (arrays()[0], None), **SETTINGS)
    assert (found.data.labels, found.data.accuracy) == ("predicted", None)


def test_models_are_compared(tmp_path):
    first = write(mlp((6, 5, 3)), tmp_path)
    found = nmcheck.compare([first, mlp((6, 7, 3))], arrays(), method="lipschitz", attacks=(), draws=10)
    assert len(found.models) == 2


def test_what_is_wrong_is_said_in_a_sentence(tmp_path):
    path = write(mlp((6, 5, 3)), tmp_path)
    with pytest.raises(UsageError, match="options records are no longer passed: give the model, the data and"):
        nmcheck.analyze(nmcheck.AnalyzeOptions(path, "mnist"))  # type: ignore[arg-type]
    for data in (None, arrays()[0], (1, 2, 3)):
        with pytest.raises(UsageError, match="the data are missing or of no known form"):
            nmcheck.analyze(path, data)  # type: ignore[arg-type]
    for one in (str(path), path, onnx.load(path)):
        with pytest.raises(UsageError, match="needs two models or more"):
            nmcheck.compare(one, arrays())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="sigma is no setting; choose from sigmas, noise"):
        nmcheck.analyze(path, arrays(), sigma=0.1)
    with pytest.raises(UsageError, match="--samples must be at least 1"):
        nmcheck.analyze(path, arrays(), samples=0)


def test_examples_run(monkeypatch):
    monkeypatch.chdir(nmcheck.__path__[0] + "/..")
    found = doctest.testmod(python_calls)
    assert found.attempted > 2
    assert found.failed == 0
