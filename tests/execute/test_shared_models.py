"""Third-party files: executed like onnxruntime, or refused for a reason."""

import numpy as np
import pytest
import torch
from conftest import SHARED

from nmcheck.errors import UnsupportedError
from nmcheck.execute.comparison import relative_difference
from nmcheck.execute.program import Program
from nmcheck.execute.session import ReferenceSession
from nmcheck.graph.load import load_graph

REFUSED = {
    "marabou__multiInput_add.onnx": "2 inputs",
    "marabou__oneInput_twoBranches.onnx": "2 data outputs",
    "dropout_training_mode_true.onnx": "training mode",
}
FOLDER = SHARED / "models"
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.onnx"))
EXECUTED = [name for name in FILES if name.rpartition("/")[2] not in REFUSED]
ABSENT = "the shared models"  # the name of the one case where there are none: the fixture skips it and says why


def samples(graph):
    return np.random.default_rng(0).uniform(0, 1, (3, *graph.shapes[graph.input])).astype(np.float32)


def test_folder_is_complete(shared_models):
    assert len(FILES) == 29 + 24


@pytest.mark.parametrize("name", FILES or [ABSENT])
def test_equals_onnxruntime_or_is_refused(shared_models, name):
    path = shared_models / name
    if path.name in REFUSED:
        with pytest.raises(UnsupportedError, match=REFUSED[path.name]):
            load_graph(path)
        return
    graph = load_graph(path)
    x = samples(graph)
    ours = Program(graph).output(torch.from_numpy(x)).numpy()
    assert relative_difference(ours, ReferenceSession(graph, threads=1).run(x)) <= 1e-5


@pytest.mark.parametrize("name", EXECUTED or [ABSENT])
def test_double_precision_agrees_with_single(shared_models, name):
    graph = load_graph(shared_models / name)
    x = torch.from_numpy(samples(graph))
    single, double = (Program(graph, dtype).output(x.to(dtype)) for dtype in (torch.float32, torch.float64))
    assert double.dtype == torch.float64
    assert relative_difference(single.numpy(), double.numpy()) <= 1e-5


@pytest.mark.parametrize("name", ["lenet", "lenet_bn", "lenet_lrn1", "lenet_lrn2", "lenet_lrn3", "lenet_relu3", "mlp"])
def test_sample_models(sample_models, name):
    graph = load_graph(sample_models / f"{name}.onnx")
    x = samples(graph)
    ours = Program(graph).output(torch.from_numpy(x)).numpy()
    assert relative_difference(ours, ReferenceSession(graph, threads=1).run(x)) <= 1e-5
