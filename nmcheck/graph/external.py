"""The files beside a model that hold its weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError, Message
from onnx import TensorProto
from onnx.external_data_helper import uses_external_data

from nmcheck.graph.wire import parse_model


def external_files(path: Path) -> tuple[Path, ...]:
    """The files that a model says its weights are in, whether they are there or not.

    None of a model that cannot be read: what is wrong with it is said where it is needed.
    """
    tensors: list[TensorProto] = []

    def take(tensor: TensorProto) -> None:
        if uses_external_data(tensor):
            tensors.append(tensor)

    try:
        if not path.is_file():
            return ()
        with path.open("rb") as file:
            tensors.extend(_external(parse_model(file, path.stat().st_size, take)))
    except (OSError, DecodeError, RecursionError, ValueError):
        return ()
    return tuple(dict.fromkeys(path.parent / place for tensor in tensors for place in _locations(tensor)))


def _locations(tensor: TensorProto) -> Iterator[str]:
    """Read by hand: onnx's own reader refuses a tensor whose length or offset is damaged."""
    for entry in tensor.external_data:
        if entry.key == "location":
            yield entry.value


def _external(message: Message) -> Iterator[TensorProto]:
    """Tensors anywhere in a message whose data are in another file."""
    if isinstance(message, TensorProto):
        if uses_external_data(message):
            yield message
        return
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for entry in [value] if isinstance(value, Message) else value:
                yield from _external(entry)
