"""The fingerprint sees what is computed and nothing else."""

import onnx
import pytest
from models import mlp, write

from nmcheck.graph.load import load_graph


def fingerprint(made, folder, name="model.onnx"):
    return load_graph(write(made, folder, name)).model.fingerprint


def test_is_a_sha256(tmp_path):
    digest = fingerprint(mlp(), tmp_path)
    assert len(digest) == 64
    assert int(digest, 16) >= 0


def test_path_metadata_producer_and_storage_do_not_count(tmp_path):
    plain = fingerprint(mlp(), tmp_path)
    described = mlp()
    described.metadata_props.add(key="nmcheck.scale", value="byte")
    described.producer_name, described.doc_string = "another", "words"
    assert fingerprint(described, tmp_path, "elsewhere.onnx") == plain
    onnx.save(mlp(), tmp_path / "external.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    assert load_graph(tmp_path / "external.onnx").model.fingerprint == plain
    typed = mlp()
    for tensor in typed.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor).flatten().tolist()
        tensor.ClearField("raw_data")
        tensor.float_data.extend(values)
    assert fingerprint(typed, tmp_path, "typed.onnx") == plain


def change_weight(made):
    data = bytearray(made.graph.initializer[2].raw_data)
    data[0] ^= 1
    made.graph.initializer[2].raw_data = bytes(data)


def change_attribute(made):
    made.graph.node[0].attribute.add(name="alpha", type=onnx.AttributeProto.FLOAT, f=0.5)


def change_operator(made):
    made.graph.node[1].op_type = "Tanh"


def change_opset(made):
    made.opset_import[0].version = 18


@pytest.mark.parametrize("change", [change_weight, change_attribute, change_operator, change_opset])
def test_every_change_of_the_network_counts(tmp_path, change):
    made = mlp()
    change(made)
    assert fingerprint(made, tmp_path) != fingerprint(mlp(), tmp_path, "plain.onnx")


def test_external_weights_count(tmp_path):
    onnx.save(mlp(), tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    before = load_graph(tmp_path / "m.onnx").model.fingerprint
    data = bytearray((tmp_path / "w.bin").read_bytes())
    data[0] ^= 1
    (tmp_path / "w.bin").write_bytes(data)
    assert load_graph(tmp_path / "m.onnx").model.fingerprint != before
