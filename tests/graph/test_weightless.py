"""What a drawing is made of has no number of a weight in it, wherever a file may keep one."""

from collections.abc import Callable
from typing import Any

import models
import numpy as np
import onnx
import pytest
from onnx import GraphProto, ModelProto, SparseTensorProto, TensorProto, helper

from nmcheck.errors import ModelError
from nmcheck.graph.notes import display_copy

NUMBER = 1234.5678
BYTES = np.float32(NUMBER).tobytes()


def tensor(*shape: int, name: str = "w") -> TensorProto:
    return onnx.numpy_helper.from_array(np.full(shape, NUMBER, np.float32), name)


def sparse(name: str) -> SparseTensorProto:
    return helper.make_sparse_tensor(tensor(2, name=name), helper.make_tensor("", TensorProto.INT64, [2], [1, 3]), [4])


def branch(name: str) -> GraphProto:
    made = helper.make_graph(
        [helper.make_node("Constant", [], [name], value=tensor(2))], name, [],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)], [tensor(3, name=f"{name}_w")],
    )  # fmt: skip
    made.sparse_initializer.append(sparse(f"{name}_s"))
    return made


def node(op: str, domain: str = "", **attributes: Any) -> Callable[[ModelProto], None]:
    inputs = [] if op == "Constant" else ["x"]
    return lambda made: made.graph.node.append(helper.make_node(op, inputs, ["out"], domain=domain, **attributes))


def initializer(made: TensorProto) -> Callable[[ModelProto], None]:
    return lambda model: model.graph.initializer.append(made)


def training(made: ModelProto) -> None:
    made.training_info.add().algorithm.CopyFrom(branch("a"))


def undefined(made: ModelProto) -> None:
    """Field 1000 of the model, which the format does not define."""
    made.MergeFromString(b"\xc2\x3e" + bytes([len(BYTES)]) + BYTES)


PLACES: dict[str, Callable[[ModelProto], None]] = {
    "initializer of one number": initializer(tensor()),
    "initializer in a typed field": initializer(helper.make_tensor("w", TensorProto.FLOAT, [2], [NUMBER, NUMBER])),
    "sparse initializer": lambda made: made.graph.sparse_initializer.append(sparse("s")),
    "value": node("Constant", value=tensor(3)),
    "value_float": node("Constant", value_float=NUMBER),
    "value_floats": node("Constant", value_floats=[NUMBER] * 3),
    "value_string": node("Constant", value_string=BYTES),
    "value_strings": node("Constant", value_strings=[BYTES]),
    "sparse_value": node("Constant", sparse_value=sparse("s")),
    "tensor of another operator": node("ConstantOfShape", value=tensor(1)),
    "tensors of another operator": node("Own", "own", several=[tensor(1), tensor(2)]),
    "branches": node("If", then_branch=branch("a"), else_branch=branch("b")),
    "coefficients": node("LinearClassifier", "ai.onnx.ml", coefficients=[NUMBER] * 2),
    "compiled network": node("EPContext", "com.microsoft", ep_cache_context=BYTES * 100),
    "training": training,
    "field that is not defined": undefined,
}


@pytest.mark.parametrize("place", PLACES)
def test_no_number_of_a_weight_is_left(tmp_path, place):
    made = models.model([models.node("Relu", ["x"])], (4, 4))
    PLACES[place](made)
    path = tmp_path / "model.onnx"
    path.write_bytes(made.SerializeToString())
    assert BYTES in path.read_bytes()
    data = display_copy(path, []).data
    assert BYTES not in data
    drawn = onnx.load_from_string(data).graph
    # Sparse tensors are drawn as dense ones.
    assert [list(one.dims) for one in drawn.initializer] == [
        list(one.dims) for one in (*made.graph.initializer, *made.graph.sparse_initializer)
    ]
    assert [one.op_type for one in drawn.node] == [one.op_type for one in made.graph.node]


def test_settings_of_operators_stay(tmp_path):
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[2, 2], strides=[2, 2], auto_pad="VALID"),
        helper.make_node("Elu", ["p"], ["e"], alpha=0.5),
        helper.make_node("Own", ["e"], ["y"], domain="com.microsoft", kind="fast", sizes=[1, 2], epsilon=1e-5),
    ]
    path = models.write(models.model(nodes, (1, 1, 8, 8)), tmp_path)
    drawn = onnx.load_from_string(display_copy(path, []).data)
    for found, was in zip(drawn.graph.node, nodes, strict=True):
        assert list(found.attribute) == list(was.attribute)


def test_a_name_that_is_no_text_is_refused(tmp_path):
    made = models.model([helper.make_node("Relu", ["x"], ["y"], name="NAME")], (4, 4))
    path = tmp_path / "model.onnx"
    path.write_bytes(made.SerializeToString().replace(b"NAME", b"NA\xff\xfe"))
    with pytest.raises(ModelError, match="a name in the file is not text"):
        display_copy(path, [])
