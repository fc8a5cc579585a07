"""Files that are no models: one sentence with the path, whatever is wrong with the bytes."""

import contextlib

import numpy as np
import onnx
import pytest
from models import mlp, model, node, small_lenet, weights, write

from nmcheck.errors import ModelError, NmcheckError
from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph


def refused(path):
    with pytest.raises(ModelError) as error:
        load_graph(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_missing(tmp_path):
    assert "no such file" in refused(tmp_path / "none.onnx")


def test_folder(tmp_path):
    assert "folder" in refused(tmp_path)


def test_empty(tmp_path):
    (tmp_path / "empty.onnx").write_bytes(b"")
    assert "empty" in refused(tmp_path / "empty.onnx")


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n" + bytes(50), b"hello, world\n" * 20, bytes(100), b"PK\x03\x04"]
)
def test_other_formats(tmp_path, content):
    (tmp_path / "other.onnx").write_bytes(content)
    assert "not" in refused(tmp_path / "other.onnx")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.999])
def test_truncated(tmp_path, share):
    data = small_lenet().SerializeToString()
    (tmp_path / "cut.onnx").write_bytes(data[: int(len(data) * share)])
    refused(tmp_path / "cut.onnx")


def test_external_data_missing(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(mlp(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    assert "weights.bin" in refused(path)


def test_dangling_input(tmp_path):
    assert "'nothing'" in refused(write(model([node("Add", ["x", "nothing"])], ("N", 3)), tmp_path))


def test_cycle(tmp_path):
    nodes = [node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Neg", ["b"])]
    assert "depends on itself" in refused(write(model(nodes, ("N", 3)), tmp_path))


def test_operator_misused(tmp_path):
    refused(write(model([node("Relu", ["x"], slope=3)], ("N", 3)), tmp_path))


def test_weight_with_too_few_bytes(tmp_path):
    made = mlp()
    made.graph.initializer[0].dims[0] = 1000
    assert "'W0'" in refused(write(made, tmp_path))


def test_shapes_that_do_not_fit_name_the_node(tmp_path):
    path = write(model([node("MatMul", ["x", "w"])], (1, 4), {"w": weights(5, 3)}), tmp_path)
    assert "'MatMul_0'" in refused(path)


def test_shapes_that_inference_lets_pass_are_found_when_built(tmp_path):
    arrays = {"w": weights(4, 2, 3, 3), "b": weights(5)}
    graph = load_graph(write(model([node("Conv", ["x", "w", "b"])], (1, 2, 6, 6), arrays), tmp_path))
    with pytest.raises(ModelError, match="'Conv_0'"):
        Program(graph)


def test_absurd_sizes_are_refused_before_memory_is_taken(tmp_path):
    huge = np.array([2**20, 2**20], dtype=np.int64)
    refused(
        write(model([node("ConstantOfShape", ["s"], ["c"]), node("Add", ["x", "c"])], ("N", 3), {"s": huge}), tmp_path)
    )
    refused(write(model([node("Expand", ["x", "s"])], (1, 1), {"s": huge}), tmp_path, "live.onnx"))
    refused(write(model([node("Relu", ["x"])], (1, 2**20, 2**20)), tmp_path, "input.onnx"))


def test_flipped_bits_never_end_in_another_error(tmp_path):
    data = bytearray(small_lenet().SerializeToString())
    path = tmp_path / "flipped.onnx"
    generator = np.random.default_rng(0)
    read = 0
    for _ in range(150):
        damaged = bytearray(data)
        # Weights make up most of the file; its head and tail hold the graph.
        position = int(generator.integers(0, 900)) - 300
        damaged[position] ^= 1 << int(generator.integers(0, 8))
        path.write_bytes(damaged)
        with contextlib.suppress(NmcheckError):
            Program(load_graph(path))
            read += 1
    assert 0 < read < 150
