"""Files that are no models: one sentence with the path, whatever is wrong with the bytes."""

import contextlib
from itertools import pairwise

import numpy as np
import onnx
import pytest
from models import OPSET, mlp, model, node, small_lenet, weights, write
from onnx import TensorProto

from nmcheck.errors import ModelError, NmcheckError
from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph
from nmcheck.graph.reading import sorted_nodes


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


# What the fuzzer of tests/fuzz has found.


def test_functions_that_double_with_every_level_are_refused_before_they_are_expanded(tmp_path):
    imports = [onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid("f", 1)]
    functions = [onnx.helper.make_function("f", "F0", ["a"], ["b"], [node("Neg", ["a"], ["b"])], imports)]
    for level in range(1, 40):
        calls = [node(f"F{level - 1}", [value], [made], domain="f") for value, made in (("a", "m"), ("m", "b"))]
        functions.append(onnx.helper.make_function("f", f"F{level}", ["a"], ["b"], calls, imports))
    assert "100,000 nodes" in refused(
        write(model([node("F39", ["x"], domain="f")], ("N", 3), functions=functions), tmp_path)
    )
    few = write(model([node("F3", ["x"], domain="f")], ("N", 3), functions=functions[:4]), tmp_path, "few.onnx")
    assert len(load_graph(few).nodes) == 8


@pytest.mark.parametrize("calls", [("F0",), ("F1", "F0")])
def test_a_function_that_calls_itself(tmp_path, calls):
    imports = [onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid("f", 1)]
    functions = [
        onnx.helper.make_function("f", f"F{number}", ["a"], ["b"], [node(called, ["a"], ["b"], domain="f")], imports)
        for number, called in enumerate(calls)
    ]
    made = model([node("F0", ["x"], domain="f")], ("N", 3), functions=functions)
    assert "calls itself" in refused(write(made, tmp_path))


@pytest.mark.parametrize("version", [0, -1, 2**31, 2**62])
@pytest.mark.parametrize("domain", ["", "com.example"])
def test_versions_of_operator_sets_that_cannot_be(tmp_path, version, domain):
    made = model([node("Relu", ["x"])], ("N", 3))
    if domain:
        made.opset_import.add(domain=domain, version=version)
    else:
        made.opset_import[0].version = version
    refused(write(made, tmp_path))


@pytest.mark.parametrize("op", ["Add", "MatMul", "Gemm", "Max", "Less"])
def test_outer_products_are_refused_before_memory_is_taken(tmp_path, op):
    row = np.zeros((1, 2**17), dtype=np.float32)
    nodes = [node(op, ["column", "row"], ["m"]), node("Cast", ["m"], ["f"], to=1), node("Add", ["x", "f"])]
    message = refused(write(model(nodes, (1, 1), {"row": row, "column": row.T}), tmp_path))
    assert "'" + op + "_0'" in message
    assert "MiB" in message


def test_constants_that_are_large_together_are_refused(tmp_path):
    # Each is below the limit, as those of VGG-19 are.
    shape = np.array([2**26], dtype=np.int64)
    nodes = [node("ConstantOfShape", ["s"], [f"c{index}"]) for index in range(3)]
    nodes += [node("Sum", ["c0", "c1", "c2"], ["c"]), node("ReduceMean", ["c"], ["m"], keepdims=0)]
    path = write(model([*nodes, node("Add", ["x", "m"])], ("N", 3), {"s": shape}), tmp_path)
    assert "640 MiB" in refused(path)


def test_folding_again_for_another_batch_takes_no_memory_again(tmp_path):
    # 384 MiB of constants, folded for the one sample and for two, and seen in another shape.
    shape = np.array([3 * 2**25], dtype=np.int64)
    nodes = [node("ConstantOfShape", ["s"], ["c"]), node("Unsqueeze", ["c", "axes"], ["u"])]
    nodes.append(node("ReduceMax", ["u"], ["m"], keepdims=0))
    arrays = {"s": shape, "axes": np.array([0], dtype=np.int64)}
    path = write(model([*nodes, node("Add", ["x", "m"])], ("N", 3), arrays), tmp_path)
    assert load_graph(path).declared_batch is None


def loop(trips, step):
    """A Loop over constants that adds its result to the input."""
    of = onnx.helper.make_tensor_value_info
    inputs = [of("i", TensorProto.INT64, []), of("c", TensorProto.BOOL, []), of("s", TensorProto.FLOAT, None)]
    outputs = [of("d", TensorProto.BOOL, []), of("t", TensorProto.FLOAT, None)]
    body = onnx.helper.make_graph([node("Identity", ["c"], ["d"]), step], "body", inputs, outputs)
    nodes = [node("Loop", ["trips", "go", "one"], ["l"], body=body), node("Add", ["x", "l"])]
    arrays = {"trips": np.array(trips, dtype=np.int64), "go": np.array(True), "one": np.ones((1, 1), dtype=np.float32)}
    return model(nodes, ("N", 3), arrays)


def test_loops_over_constants_end(tmp_path):
    add, double = node("Add", ["s", "s"], ["t"]), node("Concat", ["s", "s"], ["t"], axis=0)
    counted = load_graph(write(loop(3, add), tmp_path, "counted.onnx"))
    assert counted.constants[counted.nodes[0].inputs[1]].item() == 8
    assert "'Loop_0'" in refused(write(loop(2**62, add), tmp_path, "long.onnx"))
    assert "'Loop_0'" in refused(write(loop(30, double), tmp_path, "growing.onnx"))


def test_thousands_of_nodes_in_reverse_order_are_sorted_in_no_time(tmp_path):
    count = 20_000
    values = ["x", *(f"v{index}" for index in range(1, count)), "y"]
    nodes = [node("Relu", [read], [made]) for read, made in pairwise(values)]
    placed = list(sorted_nodes(tmp_path, enumerate(reversed(nodes)), {"x"}))
    assert [index for index, _ in placed] == list(reversed(range(count)))


def test_what_is_sorted_stays_as_it_stands(tmp_path):
    nodes = [node("Add", ["a", "b"]), node("Neg", ["x"], ["b"]), node("Abs", ["x"], ["a"]), node("Exp", ["x"], ["c"])]
    assert [index for index, _ in sorted_nodes(tmp_path, enumerate(nodes), {"x"})] == [1, 2, 0, 3]


def test_weights_without_elements_but_with_a_very_long_axis(tmp_path):
    made = model(
        [node("Unsqueeze", ["r", "axes"], ["u"]), node("Add", ["x", "u"])],
        ("N", 3),
        {"r": weights(3), "axes": np.array([0, 1], dtype=np.int64)},
    )
    axes = made.graph.initializer[1]
    axes.ClearField("raw_data")
    axes.dims[:] = [2**32 + 1, 0]
    assert "4294967297" in refused(write(made, tmp_path))


@pytest.mark.parametrize("name", ["dilations", "kernel_shape", "pads"])
@pytest.mark.parametrize("length", [2**31, 2**62])
def test_windows_that_go_on_and_on(tmp_path, name, length):
    made = small_lenet()
    attributes = made.graph.node[0].attribute
    kept = [attribute for attribute in attributes if attribute.name != name]
    del attributes[:]
    attributes.extend([*kept, onnx.helper.make_attribute(name, [length] * (4 if name == "pads" else 2))])
    path = write(made, tmp_path)
    with pytest.raises(ModelError, match="'conv'") as error:
        Program(load_graph(path))
    assert "allocate" not in str(error.value)
