import numpy as np
import onnx
import onnxruntime
import pytest
from models import mlp, model, node, weights, write

from nmcheck.errors import ModelError, UnsupportedError
from nmcheck.execute.session import ReferenceSession
from nmcheck.graph.load import load_graph


def test_every_sample_of_a_long_batch(tmp_path):
    graph = load_graph(write(mlp((4, 3, 2)), tmp_path))
    x = weights(600, 1, 4)
    y = ReferenceSession(graph, threads=1).run(x)
    wanted = np.maximum(x @ weights(3, 4).T + weights(3), 0) @ weights(2, 3).T + weights(2)
    assert y.shape == (600, 1, 2)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count", [1, 4, 5, 9])
def test_fixed_batch_is_filled_up(tmp_path, count):
    arrays = {"s": np.array([4, 6]), "w": weights(6, 2)}
    made = model([node("Reshape", ["x", "s"], ["f"]), node("MatMul", ["f", "w"])], (4, 2, 3), arrays)
    graph = load_graph(write(made, tmp_path))
    x = weights(count, 1, 2, 3)
    np.testing.assert_allclose(
        ReferenceSession(graph, threads=1).run(x), x.reshape(count, 1, 6) @ weights(6, 2), rtol=1e-4, atol=1e-5
    )


def test_samples_may_leave_out_the_batch_axis(tmp_path):
    session = ReferenceSession(load_graph(write(mlp(), tmp_path)), threads=1)
    x = weights(3, 1, 6)
    np.testing.assert_array_equal(session.run(x), session.run(x[:, 0]))
    assert session.run(x[:0]).shape == (0, 1, 3)


def test_samples_of_another_shape(tmp_path):
    session = ReferenceSession(load_graph(write(mlp(), tmp_path)), threads=1)
    with pytest.raises(ValueError, match="reshape"):
        session.run(weights(3, 1, 5))


def test_says_what_it_is(tmp_path):
    session = ReferenceSession(load_graph(write(mlp(), tmp_path)), threads=1)
    assert session.provider == "CPUExecutionProvider"
    assert session.description == f"onnxruntime {onnxruntime.__version__}"


def test_file_that_vanished(tmp_path):
    path = write(mlp(), tmp_path)
    graph = load_graph(path)
    path.unlink()
    with pytest.raises(ModelError, match="onnxruntime refuses"):
        ReferenceSession(graph)


def test_only_its_own_sentence_is_shown(tmp_path, capfd):
    # onnxruntime prints to standard output that it tries another provider, and logs what it raises.
    made = model([node("Resize", ["x", "", "s"], mode="nearest")], (1, 1, 2, 2), {"s": np.ones(4, dtype=np.float32)})
    graph = load_graph(write(made, tmp_path))
    made.graph.node[0].attribute[0].s = b"\xff\xfe"
    write(made, tmp_path)
    with pytest.raises(ModelError, match="onnxruntime refuses"):
        ReferenceSession(graph)
    assert capfd.readouterr() == ("", "")


def test_an_output_that_does_not_grow_with_the_batch(tmp_path):
    graph = load_graph(write(mlp((4, 3, 2)), tmp_path))
    nodes = [node("Shape", ["x"], ["s"]), node("Size", ["s"], ["n"]), node("Cast", ["n"], ["c"], to=1)]
    nodes.append(node("Expand", ["c", "t"]))
    write(model(nodes, ("N", 4), {"t": np.array([5, 2], dtype=np.int64)}), tmp_path)
    with pytest.raises(ModelError, match=r"\[5, 2\] for an input of shape \[3, 4\]"):
        ReferenceSession(graph).run(weights(3, 1, 4))


def test_input_that_numpy_does_not_have(tmp_path):
    made = model(
        [node("Cast", ["x"], ["f"], to=onnx.TensorProto.FLOAT), node("MatMul", ["f", "w"])],
        ("N", 4),
        {"w": weights(4, 3)},
    )
    made.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.BFLOAT16
    with pytest.raises(UnsupportedError, match="'x' is of type tensor\\(bfloat16\\)"):
        ReferenceSession(load_graph(write(made, tmp_path)), threads=1)
