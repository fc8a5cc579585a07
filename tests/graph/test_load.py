"""What exporters write, and what the graph makes of it."""

import numpy as np
import onnx
import pytest
import torch
from models import mlp, model, node, small_lenet, weights, write
from onnx import TensorProto, helper, numpy_helper

from nmcheck.errors import UnsupportedError
from nmcheck.execute.comparison import relative_difference
from nmcheck.execute.program import Program
from nmcheck.execute.session import ReferenceSession
from nmcheck.graph.load import load_graph


def agrees(graph, count=3):
    samples = weights(count, *graph.shapes[graph.input])
    ours = Program(graph).output(torch.from_numpy(samples)).numpy()
    return relative_difference(ours, ReferenceSession(graph, threads=1).run(samples)) <= 1e-5


def test_plain_network(tmp_path):
    graph = load_graph(write(mlp(), tmp_path))
    assert [n.name for n in graph.nodes] == ["dense0", "relu0", "dense1", "relu1", "dense2"]
    assert [n.index for n in graph.nodes] == [0, 1, 2, 3, 4]
    assert {n.op: n.since_version for n in graph.nodes} == {"Gemm": 13, "Relu": 14}
    assert (graph.input, graph.logits, graph.output) == ("x", "y", "y")
    assert (graph.shapes["x"], graph.shapes["y"], graph.batch_axis, graph.declared_batch) == ((1, 6), (1, 3), 0, None)
    assert (graph.model.opset, graph.model.producer, graph.notes) == (17, "tests", ())
    np.testing.assert_array_equal(graph.constants["W0"], weights(5, 6))


def test_metadata_and_path_are_kept(tmp_path):
    path = write(model([node("Relu", ["x"])], ("N", 2), metadata={"nmcheck.scale": "byte"}), tmp_path)
    info = load_graph(str(path)).model
    assert dict(info.metadata) == {"nmcheck.scale": "byte"}
    assert info.path == str(path)


def test_unsorted_nodes_unnamed_and_named_twice(tmp_path):
    nodes = [
        helper.make_node("Add", ["b", "b"], ["y"], "same"),
        helper.make_node("Relu", ["a"], ["b"], "same"),
        helper.make_node("Neg", ["x"], ["a"]),
    ]
    graph = load_graph(write(model(nodes, ("N", 3)), tmp_path))
    assert [(n.name, n.index) for n in graph.nodes] == [("Neg_2", 2), ("same_1", 1), ("same", 0)]
    samples = torch.from_numpy(weights(4, 1, 3))
    torch.testing.assert_close(Program(graph)(samples), 2 * torch.relu(-samples).flatten(1))


def test_initializers_listed_as_inputs(tmp_path):
    made = mlp(opset=7)
    made.ir_version = 3
    for tensor in made.graph.initializer:
        made.graph.input.append(helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.dims))
    graph = load_graph(write(made, tmp_path))
    assert graph.input == "x"
    assert agrees(graph)


def test_weights_by_constant_nodes(tmp_path):
    nodes = [
        node("Constant", [], ["w"], value=numpy_helper.from_array(weights(4, 3))),
        node("Constant", [], ["size"], value_ints=[3]),
        node("ConstantOfShape", ["size"], ["b"], value=numpy_helper.from_array(np.array([0.5], dtype=np.float32))),
        node("Gemm", ["x", "w", "b"]),
    ]
    graph = load_graph(write(model(nodes, ("N", 4)), tmp_path))
    assert [n.op for n in graph.nodes] == ["Gemm"]
    np.testing.assert_array_equal(graph.constants["b"], np.full(3, 0.5, dtype=np.float32))
    assert agrees(graph)


def test_flatten_written_as_shape_arithmetic(tmp_path):
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "zero"], ["batch"], axis=0),
        node("Unsqueeze", ["batch", "axis"], ["leading"]),
        node("Concat", ["leading", "rest"], ["target"], axis=0),
        node("Reshape", ["x", "target"], ["flat"]),
        node("Gemm", ["flat", "w"]),
    ]
    arrays = {"zero": np.array(0), "axis": np.array([0]), "rest": np.array([-1]), "w": weights(12, 3)}
    graph = load_graph(write(model(nodes, ("N", 2, 3, 2), arrays), tmp_path))
    assert [n.op for n in graph.nodes] == ["Reshape", "Gemm"]
    assert (graph.shapes["flat"], graph.declared_batch, graph.notes) == ((1, 12), None, ())
    assert agrees(graph)


@pytest.mark.parametrize("condition", [True, False])
def test_if_with_known_condition(tmp_path, condition):
    def branch(op):
        inner = helper.make_node(op, ["x"], ["inner"], "inside")
        scaled = helper.make_node("Mul", ["inner", "factor"], ["out"])
        tensors = [numpy_helper.from_array(np.array(3, dtype=np.float32), "factor")]
        info = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
        return helper.make_graph([inner, scaled], "branch", [], [info], tensors)

    nodes = [
        helper.make_node("If", ["c"], ["z"], "choice", then_branch=branch("Neg"), else_branch=branch("Exp")),
        node("Relu", ["z"]),
    ]
    graph = load_graph(write(model(nodes, ("N", 3), {"c": np.array(condition)}), tmp_path))
    assert [n.op for n in graph.nodes] == ["Neg" if condition else "Exp", "Mul", "Identity", "Relu"]
    assert graph.nodes[0].name == "choice/inside"
    assert graph.declared_batch is None
    assert agrees(graph)


def test_local_functions_are_expanded(tmp_path):
    body = [node("Neg", ["a"], ["m"]), node("Relu", ["m"], ["b"])]
    function = helper.make_function("local", "NegRelu", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    made = model([helper.make_node("NegRelu", ["x"], ["y"], domain="local")], ("N", 3), functions=[function])
    graph = load_graph(write(made, tmp_path))
    assert [n.op for n in graph.nodes] == ["Neg", "Relu"]
    assert agrees(graph)


@pytest.mark.parametrize(
    ("tail", "logits"),
    [
        ([node("Softmax", ["z"])], "z"),
        ([node("LogSoftmax", ["z"])], "z"),
        ([node("Identity", ["z"], ["i"]), node("Softmax", ["i"], ["s"]), node("Identity", ["s"])], "i"),
        ([node("Softmax", ["z"], ["s"]), node("ArgMax", ["s"], ["m"], axis=1), node("Cast", ["m"], ["y"], to=1)], "z"),
        ([node("Sigmoid", ["z"])], "y"),
        ([node("Identity", ["z"])], "y"),
    ],
    ids=["softmax", "log-softmax", "identities", "argmax", "sigmoid", "identity"],
)
def test_logits_stand_in_front_of_the_tail(tmp_path, tail, logits):
    graph = load_graph(write(model([node("Gemm", ["x", "w"], ["z"]), *tail], ("N", 4), {"w": weights(4, 3)}), tmp_path))
    assert (graph.logits, graph.output) == (logits, "y")
    assert bool(graph.notes) == (logits != "y")
    assert agrees(graph)
    samples = torch.from_numpy(weights(2, 1, 4))
    assert Program(graph)(samples).shape == (2, 3)


def test_softmax_over_part_of_the_outputs_stays(tmp_path):
    graph = load_graph(write(model([node("Softmax", ["x"], axis=2)], ("N", 4, 3)), tmp_path))
    assert graph.logits == "y"


def test_half_precision_weights_are_computed_in_single(tmp_path):
    nodes = [node("Cast", ["h"], ["w"], to=TensorProto.FLOAT), node("Gemm", ["x", "w"], ["z"]),
             node("Cast", ["z"], ["c"], to=TensorProto.FLOAT16), node("Mul", ["c", "f"], ["d"]),
             node("Cast", ["d"], ["y"], to=TensorProto.FLOAT)]  # fmt: skip
    arrays = {"h": weights(4, 3).astype(np.float16), "f": np.array(2, dtype=np.float16)}
    graph = load_graph(write(model(nodes, ("N", 4), arrays), tmp_path))
    assert {array.dtype for array in graph.constants.values()} == {np.dtype(np.float32)}
    assert any("Half-precision" in note for note in graph.notes)
    samples = weights(2, 1, 4)
    ours = Program(graph).output(torch.from_numpy(samples)).numpy()
    assert relative_difference(ours, ReferenceSession(graph, threads=1).run(samples)) <= 1e-2


def test_labels_beside_scores_are_left_aside(tmp_path):
    made = model(
        [node("Gemm", ["x", "w"], ["y"]), node("ArgMax", ["y"], ["label"], axis=1)], ("N", 4), {"w": weights(4, 3)}
    )
    made.graph.output.append(helper.make_tensor_value_info("label", TensorProto.INT64, None))
    graph = load_graph(write(made, tmp_path))
    assert [n.op for n in graph.nodes] == ["Gemm"]
    assert any("label" in note for note in graph.notes)
    assert agrees(graph)


def test_sequence_output_beside_scores_is_left_aside(tmp_path):
    made = model(
        [node("Gemm", ["x", "w"], ["y"]), node("SequenceConstruct", ["y"], ["list"])], ("N", 4), {"w": weights(4, 3)}
    )
    made.graph.output.append(helper.make_tensor_sequence_value_info("list", TensorProto.FLOAT, None))
    assert [n.op for n in load_graph(write(made, tmp_path)).nodes] == ["Gemm"]


def test_external_data(tmp_path):
    made = small_lenet()
    inline = load_graph(write(made, tmp_path))
    onnx.save(made, tmp_path / "external.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    external = load_graph(tmp_path / "external.onnx")
    assert (tmp_path / "weights.bin").stat().st_size > 0
    for name, array in inline.constants.items():
        np.testing.assert_array_equal(array, external.constants[name])
    assert agrees(external)


def two_inputs():
    made = model([node("Add", ["x", "second"])], ("N", 3))
    made.graph.input.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, ("N", 3)))
    return made


def two_outputs():
    return model([node("Relu", ["x"]), node("Neg", ["x"], ["z"])], ("N", 3), outputs=("y", "z"))


def integer_input():
    made = model([node("Cast", ["x"], to=TensorProto.FLOAT)], ("N", 3))
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    return made


TRAINING = {"r": np.array(0.5, dtype=np.float32), "t": np.array(True)}


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (two_inputs(), ["2 inputs", "'x', 'second'"]),
        (two_outputs(), ["2 data outputs", "'y', 'z'"]),
        (integer_input(), ["'x'", "uint8"]),
        (
            model([helper.make_node("Dropout", ["x", "r", "t"], ["y"], "drop")], ("N", 3), TRAINING),
            ["'drop'", "training"],
        ),
        (model([helper.make_node("Magic", ["x"], ["y"], "trick")], ("N", 3)), ["'trick'", "'Magic'"]),
        (model([helper.make_node("Magic", ["x"], ["y"], domain="acme")], ("N", 3)), ["'Magic_0'", "'acme.Magic'"]),
        (model([node("Relu", ["x"])], ("N", 3, "H")), ["axis 2", "'x'"]),
        (model([node("Relu", ["x"])], ("N", 3), opset=6), ["operator set 6"]),
        (model([node("RandomNormalLike", ["x"])], ("N", 3)), ["RandomNormalLike_0", "random"]),
    ],
    ids=["two-inputs", "two-outputs", "integers", "training", "unknown", "foreign", "symbolic", "old", "random"],
)
def test_refusals_name_the_culprit(tmp_path, made, words):
    path = write(made, tmp_path)
    with pytest.raises(UnsupportedError) as error:
        load_graph(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert message.endswith(".")
    assert all(word in message for word in words), message


def test_operator_without_a_row_is_refused_by_name(tmp_path):
    graph = load_graph(write(model([helper.make_node("Hardmax", ["x"], ["y"], "hard")], ("N", 3)), tmp_path))
    with pytest.raises(UnsupportedError, match=r"'hard'.*'Hardmax'"):
        Program(graph)


def test_constant_output(tmp_path):
    made = model([node("Constant", [], ["y"], value=numpy_helper.from_array(weights(2, 2)))], (1,))
    graph = load_graph(write(made, tmp_path))
    assert graph.nodes == ()
    assert agrees(graph)
