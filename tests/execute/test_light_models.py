"""Classic ImageNet classifiers of the onnx package: loaded, executed as by onnxruntime, inspected.

``benchmarks/light_models.py`` does the same with all nine of them.
"""

import numpy as np
import onnx
import pytest
import torch
from imagenet_models import CUTS, FOLDER, with_random_weights

from nmcheck.checks.inspect import inspect
from nmcheck.execute.comparison import relative_difference
from nmcheck.execute.program import Program
from nmcheck.execute.session import ReferenceSession
from nmcheck.graph.load import load_graph

SMALL = ["squeezenet", "shufflenet", "inception_v1", "densenet121"]


def difference(graph):
    x = np.random.default_rng(0).uniform(0, 1, (2, *graph.shapes[graph.input])).astype(np.float32)
    ours = Program(graph).output(torch.from_numpy(x)).numpy()
    return relative_difference(ours, ReferenceSession(graph, threads=1).run(x)), ours


@pytest.mark.parametrize("name", SMALL)
def test_with_random_weights(tmp_path, name):
    path = tmp_path / "model.onnx"
    onnx.save(with_random_weights(name), path)
    found, output = difference(load_graph(path))
    assert found <= 1e-5
    assert np.ptp(output[0]) > 0.1 * np.abs(output[0]).max()  # the classes do differ


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet", "inception_v2"])
def test_as_it_is(name):
    graph = load_graph(FOLDER / f"light_{name}.onnx")
    assert graph.producers[graph.output].op == "Softmax"
    assert graph.logits in graph.producers[graph.output].inputs
    assert difference(graph)[0] <= 1e-5


@pytest.mark.parametrize("name", CUTS)
def test_inspected(name):
    found = inspect(FOLDER / f"light_{name}.onnx")
    kinds = [cut.kind for cut in found.cuts]
    assert (kinds.count("cut"), kinds.count("skip")) == CUTS[name]
    assert found.analyzable.execute
    assert found.analyzable.bounds
    assert found.model.classes == 1000
    assert {layer.kind for layer in found.normalization} == {
        kind
        for kind, names in {
            "LRN": ("bvlc_alexnet", "inception_v1", "zfnet512"),
            "BatchNormalization": ("densenet121", "inception_v2", "resnet50", "shufflenet"),
        }.items()
        if name in names
    }
