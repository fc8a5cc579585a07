"""Third-party files: executed like onnxruntime, or refused for a reason."""

import numpy as np
import onnx
import pytest
import torch
from conftest import SHARED
from double_reference import double_output
from models import model, node, write
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator
from recast import recast, with_half_weights

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
SAMPLE_MODELS = ["lenet", "lenet_bn", "lenet_lrn1", "lenet_lrn2", "lenet_lrn3", "lenet_relu3", "mlp"]
FOLDER = SHARED / "models"
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.onnx"))
EXECUTED = [name for name in FILES if name.rpartition("/")[2] not in REFUSED]
ABSENT = "the shared models"  # the name of the one case where there are none: the fixture skips it and says why


def samples(graph):
    return np.random.default_rng(0).uniform(0, 1, (3, *graph.shapes[graph.input])).astype(np.float32)


def test_folder_is_complete(shared_models):
    assert len(FILES) == 29 + 37


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
def test_double_precision_equals_onnx_reference(shared_models, name):
    graph = load_graph(shared_models / name)
    x = samples(graph).astype(np.float64)
    ours = Program(graph, torch.float64).output(torch.from_numpy(x)).numpy()
    assert ours.dtype == np.float64
    for mine, sample in zip(ours, x, strict=True):
        reference = double_output(graph, sample)
        assert reference.dtype == np.float64
        assert relative_difference(mine, reference) <= 1e-10


def reference_output(made, x):
    results = ReferenceEvaluator(made).run(None, {"x": x})
    assert isinstance(results, list)
    return np.asarray(results[0])


def test_onnx_reference_forgets_the_channels_of_an_lrn():
    """Why ``double_reference`` has its own: a sample's output depends on how many samples stand beside it."""
    made = model([node("LRN", ["x"], size=3, alpha=3.0, bias=1.0, beta=1.0)], ("N", 2, 1, 1))
    ones = np.ones((2, 2, 1, 1), np.float32)
    np.testing.assert_allclose(reference_output(made, ones)[0].ravel(), [1 / 3, 1 / 3])
    np.testing.assert_allclose(reference_output(made, ones[:1])[0].ravel(), [1 / 3, 1])


def test_onnx_reference_trains_an_old_batch_normalization():
    """Why ``double_reference`` has its own: the stored mean 0 and variance 1 are mixed with those of the sample."""
    names = ["x", "scale", "bias", "mean", "variance"]
    arrays = dict(zip(names[1:], np.array([[1], [0], [0], [1]], np.float32), strict=True))
    made = model([node("BatchNormalization", names, epsilon=0.0)], ("N", 1), arrays, opset=9)
    x = np.full((1, 1), 2, np.float32)
    assert reference_output(made, x).item() == pytest.approx((2 - 0.1 * 2) / 0.9**0.5)
    made.opset_import[0].version = 15
    assert reference_output(made, x).item() == 2


@pytest.mark.parametrize("name", SAMPLE_MODELS)
def test_sample_models(sample_models, name):
    graph = load_graph(sample_models / f"{name}.onnx")
    x = samples(graph)
    ours = Program(graph).output(torch.from_numpy(x)).numpy()
    assert relative_difference(ours, ReferenceSession(graph, threads=1).run(x)) <= 1e-5
    double = Program(graph, torch.float64).output(torch.from_numpy(x[:1]).double()).numpy()
    assert relative_difference(double[0], double_output(graph, x[0])) <= 1e-10


@pytest.mark.parametrize("name", SAMPLE_MODELS)
def test_half_precision(sample_models, tmp_path, name):
    graph = load_graph(write(recast(onnx.load(sample_models / f"{name}.onnx"), TensorProto.FLOAT16), tmp_path))
    assert graph.half
    x = samples(graph)
    ours = Program(graph).output(torch.from_numpy(x)).numpy()
    difference = relative_difference(ours, ReferenceSession(graph, threads=1).run(x))
    assert 1e-5 < difference <= 1e-2  # onnxruntime does compute in half precision


@pytest.mark.parametrize("name", SAMPLE_MODELS)
def test_half_precision_weights(sample_models, tmp_path, name):
    graph = load_graph(write(with_half_weights(onnx.load(sample_models / f"{name}.onnx")), tmp_path))
    assert not graph.half
    assert not any(array.dtype == np.float16 for array in graph.constants.values())
    x = samples(graph)
    ours = Program(graph).output(torch.from_numpy(x)).numpy()
    assert relative_difference(ours, ReferenceSession(graph, threads=1).run(x)) <= 1e-5
