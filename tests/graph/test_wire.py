"""Parsing a file field by field gives what protobuf makes of all of it, and refuses what protobuf refuses."""

import random
from io import BytesIO

import pytest
from google.protobuf.message import DecodeError
from models import mlp, residual, small_lenet, weights
from onnx import ModelProto, TensorProto, numpy_helper

from nmcheck.graph import wire
from nmcheck.graph.wire import parse_model


def parsed(data: bytes) -> tuple[ModelProto, list[TensorProto]]:
    taken: list[TensorProto] = []
    return parse_model(BytesIO(data), len(data), taken.append), taken


def content(message: ModelProto, tensors: list[TensorProto]) -> tuple[bytes, list[bytes]]:
    rest = ModelProto()
    rest.CopyFrom(message)
    del rest.graph.initializer[:]
    rest.graph.SetInParent()
    return rest.SerializeToString(deterministic=True), [tensor.SerializeToString() for tensor in tensors]


def agrees(data: bytes) -> bool:
    """Whether the bytes are a model at all; if so, both ways to read them agree."""
    try:
        whole = ModelProto.FromString(data)
    except DecodeError:
        with pytest.raises(DecodeError):
            parsed(data)
        return False
    message, taken = parsed(data)
    assert message.HasField("graph") == whole.HasField("graph")
    assert content(message, [*taken, *message.graph.initializer]) == content(whole, list(whole.graph.initializer))
    return True


def varint(value: int, length: int) -> bytes:
    """A number in at least as many bytes as it needs."""
    return bytes((value >> (7 * i) & 0x7F) | (0x80 if i < length - 1 else 0) for i in range(length))


@pytest.mark.parametrize("run", [1, 300, wire._RUN])
def test_initializers_are_taken_and_the_rest_is_kept(run, monkeypatch):
    monkeypatch.setattr(wire, "_RUN", run)
    for made in (mlp(), residual(), small_lenet()):
        data = made.SerializeToString()
        assert agrees(data)
        message, taken = parsed(data)
        assert [tensor.name for tensor in taken] == [tensor.name for tensor in made.graph.initializer]
        assert not message.graph.initializer
        assert list(message.graph.node) == list(made.graph.node)


def test_a_file_may_hold_its_fields_in_any_order_and_its_graph_in_parts():
    first, second = mlp().SerializeToString(), residual().SerializeToString()
    assert agrees(first + second)
    assert agrees(b"")
    assert agrees(b"\x3a\x00")


def test_what_is_written_in_an_unusual_way_is_left_to_protobuf():
    tensor = numpy_helper.from_array(weights(2, 2), "W").SerializeToString()
    long_tag = varint(5 << 3 | 2, 3) + varint(len(tensor), 1) + tensor
    long_length = b"\x2a" + varint(len(tensor), 5) + tensor
    too_long_a_length = b"\x2a" + varint(len(tensor), 8) + tensor
    group = b"\xa3\x06\x08\x01\xa4\x06"
    open_group, stray_end = group[:2], group[-2:]
    numbers = b"\x08" + varint(7, 10) + b"\x0d" + bytes(4) + b"\x09" + bytes(8)
    usual = b"\x2a" + varint(len(tensor), 1) + tensor
    pieces = (
        long_tag,
        long_length,
        too_long_a_length,
        group,
        open_group,
        stray_end,
        numbers,
        b"\x00\x00",
        b"\x2a\xff\x7f",
    )
    for piece in pieces:
        for graph in (piece, usual + piece, piece + usual, usual + piece + usual):
            model = b"\x08\x08\x3a" + varint(len(graph), 2) + graph
            agrees(model + b"\x12\x01x")
            agrees(piece + model)
    for piece in (long_tag, long_length, group, numbers):
        assert agrees(b"\x3a" + varint(len(piece + usual), 1) + piece + usual)


def test_damaged_files_are_read_or_refused_alike():
    generator = random.Random(0)
    files = [made.SerializeToString() for made in (mlp(), residual(), small_lenet())]
    readable = 0
    for _ in range(1000):
        data = bytearray(generator.choice(files))
        if generator.random() < 0.2:
            del data[generator.randrange(len(data)) :]
        if data and generator.random() < 0.2:
            place = generator.randrange(len(data))
            data[place:place] = generator.randbytes(3)
        if data and generator.random() < 0.8:
            data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        readable += agrees(bytes(data))
    assert 200 < readable < 950


def test_no_more_than_one_tensor_is_read_at_a_time():
    class Watched(BytesIO):
        longest = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            self.longest = max(self.longest, len(data))
            return data

    made = mlp((400, 500, 400, 500, 10))
    data = made.SerializeToString()
    file = Watched(data)
    parse_model(file, len(data), lambda tensor: None)
    assert file.longest <= max(tensor.ByteSize() for tensor in made.graph.initializer)


def test_a_file_that_shrinks_while_it_is_read_is_refused():
    data = mlp().SerializeToString()
    with pytest.raises(DecodeError, match="ends at byte"):
        parse_model(BytesIO(data[:200]), len(data), lambda tensor: None)
