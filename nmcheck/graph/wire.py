"""A model file parsed field by field, so that its weights are never in memory as file, message and arrays at once.

A protobuf message is a sequence of fields, and merging the fields one after another gives the same message as parsing
all of them together. Only the positions of the fields are found here; every byte is judged by protobuf itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedIOBase

from google.protobuf.message import DecodeError, Message
from onnx import GraphProto, ModelProto, TensorProto

_DELIMITED = 2
_FIXED = {1: 8, 5: 4}
"""Bytes of a value by wire type."""
_LONGEST_HEADER = 20
"""Bytes that hold a tag and a varint behind it."""
_TAG, _LENGTH, _NUMBER = 5, 5, 10
"""Bytes of the longest varint for each."""
_RUN = 2**20
"""Bytes of small fields merged at a time."""


def parse_model(file: BufferedIOBase, size: int, take: Callable[[TensorProto], None]) -> ModelProto:
    """Parse a model, handing on the initializers of its graph instead of keeping them.

    Args:
        file: the file, seekable.
        size: its bytes.
        take: given each initializer, in order.

    Returns:
        The message without the initializers that were handed on; where the file is written in an unusual way, which
        protobuf allows, some may be left in it.

    Raises:
        DecodeError: these are not the bytes of a model.
    """
    model = ModelProto()

    def take_initializer(start: int, stop: int) -> None:
        take(TensorProto.FromString(_section(file, start, stop)))

    def merge_graph(start: int, stop: int) -> None:
        model.graph.SetInParent()
        apart = GraphProto.INITIALIZER_FIELD_NUMBER
        _merge(file, start, stop, message=model.graph, apart=apart, read=take_initializer)

    _merge(file, 0, size, message=model, apart=ModelProto.GRAPH_FIELD_NUMBER, read=merge_graph)
    return model


@dataclass(frozen=True)
class _Field:
    """A field between two positions of the file.

    Attributes:
        number: which field of the message.
        is_delimited: whether its value is a length and as many bytes.
        start: where its value starts, behind tag and length.
        stop: where the next field starts.
    """

    number: int
    is_delimited: bool
    start: int
    stop: int


def _merge(
    file: BufferedIOBase, start: int, stop: int, *, message: Message, apart: int, read: Callable[[int, int], None]
) -> None:
    """Merge the fields between two positions into a message, but hand the values of one field to ``read``.

    From the first field that is not written in the usual way on, everything is left to protobuf.
    """

    def merge(until: int) -> None:
        if until > start:
            message.MergeFromString(_section(file, start, until))

    position = start
    while position < stop and (field := _field(file, position, stop)) is not None:
        if field.number == apart and field.is_delimited:
            merge(position)
            read(field.start, field.stop)
            start = field.stop
        elif field.stop - start >= _RUN:
            merge(field.stop)
            start = field.stop
        position = field.stop
    merge(stop)


def _field(file: BufferedIOBase, position: int, stop: int) -> _Field | None:
    """The field at a position; None if it is of another kind than ONNX's or reaches too far."""
    header = _section(file, position, min(position + _LONGEST_HEADER, stop))
    tag, behind_tag = _varint(header, 0, _TAG)
    number, wire_type = tag >> 3, tag & 7
    if number < 1:
        return None
    if wire_type in _FIXED:
        start, length = behind_tag, _FIXED[wire_type]
    elif wire_type == _DELIMITED:
        length, start = _varint(header, behind_tag, _LENGTH)
    elif wire_type == 0:
        length, (_, start) = 0, _varint(header, behind_tag, _NUMBER)
    else:
        return None
    end = position + start + length
    if length < 0 or start < 0 or end > stop:
        return None
    return _Field(number, wire_type == _DELIMITED, position + start, end)


def _varint(data: bytes, start: int, longest: int) -> tuple[int, int]:
    """The number at a position and the position behind it; (-1, -1) if it does not end in time."""
    value = 0
    for index, byte in enumerate(data[start : start + longest] if start >= 0 else b""):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, start + index + 1
    return -1, -1


def _section(file: BufferedIOBase, start: int, stop: int) -> bytes:
    file.seek(start)
    data = file.read(stop - start)
    if len(data) < stop - start:
        raise DecodeError(f"the file ends at byte {start + len(data)}")
    return data
