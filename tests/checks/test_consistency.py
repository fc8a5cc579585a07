"""The comparison with onnxruntime: a misread operator is noticed whatever else the outputs hold, rounding is not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from masked_networks import LOWEST, added, network, picked, saved
from models import model, node, weights, write
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from nmcheck.checks.case import open_case
from nmcheck.checks.consistency import check_consistency
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.errors import ModelError
from nmcheck.execute.session import ReferenceSession
from nmcheck.results import ConsistencyEntry


def behind(nodes: list[NodeProto], **arrays: object) -> ModelProto:
    """The network with something behind its logits z."""
    return network(lambda _source, _made: (nodes, {name: np.array(a, np.float32) for name, a in arrays.items()}))


MODELS: dict[str, Callable[[], ModelProto]] = {
    "plain": lambda: network(None),
    "an offset of a million": lambda: network(None, offset=1e6),
    "a mask of -1e4": lambda: network(added(-1e4)),
    "a mask of -1e7": lambda: network(added(-1e7)),
    "a mask of -1e9": lambda: network(picked(-1e9)),
    "the lowest number as a mask": lambda: network(added(LOWEST)),
    "minus infinity as a mask": lambda: network(added(-np.inf)),
    "a softmax": lambda: behind([node("Softmax", ["z"])]),
    "a sure softmax": lambda: behind([node("Mul", ["z", "t"], ["s"]), node("Softmax", ["s"])], t=40),
    "a ReLU": lambda: behind([node("Relu", ["z"])]),
    "a dead logit": lambda: behind([node("Add", ["z", "m"], ["d"]), node("Relu", ["d"])], m=[0, -50, 0, 0]),
    "a class": lambda: behind([node("ArgMax", ["z"], axis=1)]),
}
NOT_TOLD = ("a sure softmax", "a class")
"""Outputs that need not show a change of one weight by 3 per mille."""


def compared(folder: Path, name: str, samples: int, other: Path | None = None) -> ConsistencyEntry:
    """Our execution of a model against onnxruntime's, perhaps of another file."""
    made = MODELS[name]()
    if made.graph.node[-1].op_type == "ArgMax":
        made.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    path, data = saved(made, folder)
    case = open_case(AnalyzeOptions(path, data, samples=samples))
    graph = case.file_graph
    told = graph if other is None else replace(graph, model=replace(graph.model, path=str(other)))
    return check_consistency(case, ReferenceSession(told, threads=1), lambda _images: None)


@pytest.mark.parametrize("samples", [1, 2, 8])
@pytest.mark.parametrize("name", MODELS)
def test_networks_that_are_read_rightly_pass(tmp_path: Path, name: str, samples: int) -> None:
    found = compared(tmp_path, name, samples)
    assert found.images == samples
    assert found.max_difference <= 0.6 * found.tolerance


@pytest.mark.parametrize("samples", [1, 8])
@pytest.mark.parametrize("name", [name for name in MODELS if name not in NOT_TOLD])
def test_a_weight_that_is_off_by_three_per_mille_is_noticed(tmp_path: Path, name: str, samples: int) -> None:
    wrong = MODELS[name]()
    weight = next(tensor for tensor in wrong.graph.initializer if tensor.name == "W")
    array = numpy_helper.to_array(weight).copy()
    # Not of the class that is masked. Float32's own numbers at a million are a sixteenth apart.
    array[:, [0, 2, 3]] *= 4 if name == "an offset of a million" else 1.003
    weight.CopyFrom(numpy_helper.from_array(array, "W"))
    other = write(wrong, tmp_path, "other.onnx")
    with pytest.raises(ModelError, match=r"differs from onnxruntime's in output \d of image \d"):
        compared(tmp_path, name, samples, other)


def test_an_infinity_that_depends_on_the_image_is_refused(tmp_path: Path) -> None:
    nodes = [node("Less", ["z", "o"], ["below"]), node("Where", ["below", "m", "z"])]
    path, data = saved(behind(nodes, o=0, m=-np.inf), tmp_path)
    case = open_case(AnalyzeOptions(path, data, samples=8))
    with pytest.raises(ModelError, match="is NaN or infinite; check the model's weights"):
        check_consistency(case, ReferenceSession(case.file_graph, threads=1), lambda _images: None)


def test_float32_that_is_coarse_behind_a_cancellation_is_known_as_such(tmp_path: Path) -> None:
    nodes = [node("Add", ["x", "o"], ["a"]), node("Sub", ["a", "o"], ["b"]), node("MatMul", ["b", "W"], ["y"])]
    arrays = {"o": np.array(4096, np.float32), "W": weights(6, 3)}
    path = write(model(nodes, ("N", 6), arrays), tmp_path)
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).random((8, 6)))
    case = open_case(AnalyzeOptions(path, str(tmp_path / "x.npz"), samples=8))
    check_consistency(case, ReferenceSession(case.file_graph, threads=1), lambda _images: None)
