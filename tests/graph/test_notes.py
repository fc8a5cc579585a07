import hashlib
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import drawn_networks
import models
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from nmcheck.errors import ModelError, OutputError
from nmcheck.graph.load import load_graph
from nmcheck.graph.notes import NodeNotes, annotated_copy, display_copy


def notes_on(path, text="0.5"):
    return [NodeNotes(node.name, node.outputs, (("nm.kappa", text),)) for node in load_graph(path).nodes]


def told(node):
    return {entry.key: entry.value for entry in node.metadata_props}


def run(model: bytes | Path, x: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return [np.asarray(value) for value in session.run(None, {session.get_inputs()[0].name: x})]


@pytest.fixture(params=["lenet.onnx", "lenet_bn.onnx", "lenet_lrn3.onnx", "lenet_relu3.onnx", "mlp.onnx"])
def sample(request, sample_models):
    return sample_models / request.param


def test_annotated_copy_is_valid_and_computes_the_very_same_bits(sample, tmp_path):
    copy = annotated_copy(sample, notes_on(sample), tmp_path, ir_version=None)
    made, original = onnx.load_from_string(copy.data), onnx.load(sample)
    onnx.checker.check_model(made, full_check=True)
    assert made.ir_version == original.ir_version
    source = original.graph.input[0].type.tensor_type.shape.dim
    x = models.weights(3, *(axis.dim_value for axis in source[1:])).clip(0, 1)
    for before, after in zip(run(sample.read_bytes(), x), run(copy.data, x), strict=True):
        assert before.tobytes() == after.tobytes()
    assert {"nm.kappa": "0.5"}.items() <= told(made.graph.node[-1]).items()
    # Without the notes it is the file again.
    for node, was in zip(made.graph.node, original.graph.node, strict=True):
        node.metadata_props.remove(node.metadata_props[0]) if node.name in copy.names.values() else None
        assert node == was


def test_the_file_is_not_touched(sample, tmp_path):
    before = hashlib.sha256(sample.read_bytes()).digest(), sample.stat().st_mtime_ns
    annotated_copy(sample, notes_on(sample), tmp_path, ir_version=13)
    display_copy(sample, notes_on(sample))
    assert (hashlib.sha256(sample.read_bytes()).digest(), sample.stat().st_mtime_ns) == before


def test_format_version_changes_only_when_asked(tmp_path):
    path = models.write(models.mlp(), tmp_path)
    assert onnx.load_from_string(annotated_copy(path, [], tmp_path, ir_version=None).data).ir_version == 8
    assert onnx.load_from_string(annotated_copy(path, [], tmp_path, ir_version=10).data).ir_version == 10
    with pytest.raises(OutputError, match="version 8, which cannot be written as version 7"):
        annotated_copy(path, [], tmp_path, ir_version=7)


def test_notes_are_replaced_not_collected_and_others_kept(tmp_path):
    made = models.mlp()
    made.graph.node[0].metadata_props.add(key="pkg.torch", value="kept")
    path = models.write(made, tmp_path)
    first = annotated_copy(path, notes_on(path, "1"), tmp_path, ir_version=None)
    path.write_bytes(first.data)
    second = onnx.load_from_string(annotated_copy(path, notes_on(path, "2"), tmp_path, ir_version=None).data)
    assert told(second.graph.node[0]) == {"nm.kappa": "2", "pkg.torch": "kept"}
    assert len(second.graph.node[0].metadata_props) == 2


def test_names_are_those_of_the_reports_and_all_different(tmp_path):
    nodes = [models.node("Relu", ["x"], ["a"]), helper.make_node("Abs", ["a"], ["b"], "twice"),
             helper.make_node("Neg", ["b"], ["c"], "twice"), models.node("Relu", ["c"])]  # fmt: skip
    path = models.write(models.model(nodes, (2, 3)), tmp_path)
    for data in (display_copy(path, []).data, annotated_copy(path, [], tmp_path, ir_version=None).data):
        names = [node.name for node in onnx.load_from_string(data).graph.node]
        assert names == [node.name for node in load_graph(path).nodes]
        assert len(set(names)) == 4


def test_nodes_of_branches_get_names_too_and_the_graphs_own_keep_theirs(tmp_path):
    branch = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["inner"], "act")], "b", [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )  # fmt: skip
    nodes = [
        helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("t", TensorProto.BOOL, [], [True])),
        helper.make_node("If", ["yes"], ["y0"], "choose", then_branch=branch, else_branch=branch),
        helper.make_node("Abs", ["y0"], ["y"], "act"),
    ]
    path = models.write(models.model(nodes, (2, 3)), tmp_path)
    copy = display_copy(path, [NodeNotes("act", ("y",), (("nm.L", "1"),)), NodeNotes("act_1", ("inner",), ())])
    graph = onnx.load_from_string(copy.data).graph
    branches = [attribute.g.node[0].name for attribute in graph.node[1].attribute]
    assert graph.node[2].name == "act"
    assert len({"act", "choose", *branches}) == 4
    assert copy.nodes == 5
    assert copy.names["act"] == "act"
    assert copy.names["act_1"] in branches


def test_local_functions_are_expanded_for_drawing_as_the_reports_name_them(tmp_path):
    function = helper.make_function("own", "Twice", ["a"], ["b"],
                                    [helper.make_node("Relu", ["a"], ["h"]), helper.make_node("Neg", ["h"], ["b"])],
                                    [helper.make_opsetid("", models.OPSET)])  # fmt: skip
    nodes = [helper.make_node("Twice", ["x"], ["m"], "first", domain="own"),
             helper.make_node("Twice", ["m"], ["y"], "second", domain="own")]  # fmt: skip
    path = models.write(models.model(nodes, (2, 3), functions=[function]), tmp_path)
    notes = notes_on(path)
    assert len(notes) == 4
    copy = display_copy(path, notes)
    assert copy.names == {note.node: note.node for note in notes}
    assert all(told(node) for node in onnx.load_from_string(copy.data).graph.node)


def test_odd_names_survive(tmp_path):
    path = models.write(drawn_networks.chain(list(drawn_networks.ODD_NAMES)), tmp_path)
    copy = display_copy(path, notes_on(path))
    assert set(copy.names) == set(drawn_networks.ODD_NAMES)


def test_drawing_changes_nothing_but_names_notes_and_weights(sample):
    drawn, original = onnx.load_from_string(display_copy(sample, []).data), onnx.load(sample)
    for node, was in zip(drawn.graph.node, original.graph.node, strict=True):
        was.name = node.name
        for attribute in was.attribute if was.op_type == "Constant" else ():
            attribute.ClearField("ints")
        assert node == was
    for tensor in original.graph.initializer:
        kept = next(other for other in drawn.graph.initializer if other.name == tensor.name)
        assert kept == TensorProto(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type)


def external(tmp_path, megabytes=1):
    side = 512
    folder = tmp_path / "big"
    folder.mkdir()
    arrays = {f"W{i}": models.weights(side, side, seed=i) for i in range(megabytes)}
    values = ["x", *(f"h{i}" for i in range(megabytes - 1)), "y"]
    nodes = [helper.make_node("MatMul", [a, f"W{i}"], [b]) for i, (a, b) in enumerate(pairwise(values))]
    made = models.model(nodes, ("N", side), arrays)
    onnx.save(made, folder / "model.onnx", save_as_external_data=True, location="model.data", size_threshold=0)
    return folder / "model.onnx", side


def test_drawing_needs_no_external_data_and_sends_none(tmp_path):
    path, _ = external(tmp_path, 3)
    (path.parent / "model.data").unlink()
    data = display_copy(path, []).data
    assert len(data) < 2000
    assert b"model.data" not in data
    stubs = onnx.load_from_string(data).graph.initializer
    assert [list(stub.dims) for stub in stubs] == [[512, 512]] * 3


def test_annotated_copy_takes_external_data_along_or_goes_on_using_them(tmp_path):
    path, side = external(tmp_path, 2)
    beside = annotated_copy(path, [], path.parent, ir_version=None)
    assert b"model.data" in beside.data
    assert len(beside.data) < 2000
    elsewhere = annotated_copy(path, [], tmp_path, ir_version=None)
    x = models.weights(2, side)
    assert run(elsewhere.data, x)[0].tobytes() == run(path, x)[0].tobytes()
    (path.parent / "model.data").unlink()
    with pytest.raises(ModelError, match="put the external data files next to it"):
        annotated_copy(path, [], tmp_path, ir_version=None)


@pytest.mark.slow
def test_a_model_of_a_gigabyte_is_drawn_in_little_memory(tmp_path):
    # One gigabyte of zeros that the disk need not hold: the file is written with holes.
    tensors = 16
    length = 64 * 2**20
    graph = models.model(
        [helper.make_node("MatMul", ["x" if not i else f"h{i}", f"W{i}"], [f"h{i + 1}" if i < tensors - 1 else "y"])
         for i in range(tensors)], ("N", 4096),
    )  # fmt: skip
    stubs = [
        TensorProto(name=f"W{i}", data_type=TensorProto.FLOAT, dims=[4096, 4096]).SerializeToString()
        for i in range(tensors)
    ]
    head = graph.graph.SerializeToString()
    raw = varint((9 << 3) | 2) + varint(length)  # TensorProto.raw_data
    sizes = [len(stub) + len(raw) + length for stub in stubs]
    fields = [varint((5 << 3) | 2) + varint(size) for size in sizes]  # GraphProto.initializer
    total = len(head) + sum(len(field) + size for field, size in zip(fields, sizes, strict=True))
    graph.ClearField("graph")
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.write(graph.SerializeToString() + varint((7 << 3) | 2) + varint(total) + head)
        for field, stub in zip(fields, stubs, strict=True):
            file.write(field + stub + raw)
            file.seek(length, os.SEEK_CUR)
        file.truncate()
    assert path.stat().st_size > 2**30
    script = (
        "import resource, sys; from pathlib import Path; from nmcheck.graph.notes import display_copy\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "size = len(display_copy(Path(sys.argv[1]), []).data)\n"
        "print(size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    found = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    size, kilobytes = (int(word) for word in found.stdout.split())
    assert size < 10_000
    assert kilobytes * 1024 < 5 * length


def varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])
