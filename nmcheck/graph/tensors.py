"""ONNX's tensors as arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from google.protobuf.message import Message
from onnx import TensorProto, numpy_helper
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

from nmcheck.errors import ModelError


def as_array(path: Path, tensor: TensorProto) -> np.ndarray:
    """A tensor's values.

    Args:
        path: for messages.
        tensor: the tensor, its data in the message.

    Raises:
        ModelError: its bytes and its shape do not fit together.
    """
    try:
        array = numpy_helper.to_array(tensor)
    except Exception as error:
        text = str(error).strip()
        why = text.splitlines()[0].strip().rstrip(".") if text else type(error).__name__
        raise ModelError(
            f"{path}: tensor '{tensor.name}' cannot be read ({why}); the file is damaged, so export or download it "
            "again."
        ) from error
    return array


class Initializers:
    """The initializers of a file, each made an array as soon as it is parsed, so that its bytes need not stay.

    What is wrong with one is said only when the arrays are asked for, after what is wrong with the file as a whole.

    Args:
        path: the file, for messages.

    Attributes:
        are_text: whether all names read so far are text.
    """

    def __init__(self, path: Path) -> None:
        self.are_text = True
        self._path = path
        self._found: list[tuple[str, np.ndarray | TensorProto | ModelError]] = []

    def take(self, tensor: TensorProto) -> None:
        """Add one; the message loses its bytes."""
        made = tensor if uses_external_data(tensor) else self._made(tensor)
        tensor.ClearField("raw_data")
        self.are_text = self.are_text and is_text(tensor)
        self._found.append((tensor.name, made))

    def load_external(self) -> None:
        """Read the data of those that are stored outside the file, in the file's folder.

        Raises:
            OSError, ValueError, onnx.checker.ValidationError: they cannot be read.
        """
        for position, (name, tensor) in enumerate(self._found):
            if isinstance(tensor, TensorProto):
                load_external_data_for_tensor(tensor, str(self._path.parent))
                tensor.data_location = TensorProto.DEFAULT
                self._found[position] = (name, self._made(tensor))

    def arrays(self) -> dict[str, np.ndarray]:
        """All of them by name, once no data is left outside.

        Raises:
            ModelError: one of them cannot be read.
        """
        arrays: dict[str, np.ndarray] = {}
        for name, made in self._found:
            if isinstance(made, ModelError):
                raise made
            assert isinstance(made, np.ndarray)  # load_external has been called
            arrays[name] = made
        return arrays

    def _made(self, tensor: TensorProto) -> np.ndarray | ModelError:
        try:
            return as_array(self._path, tensor)
        except ModelError as error:
            return error


def is_text(message: Message) -> bool:
    """Whether every string in the message is text; protobuf hands out undecodable ones as bytes."""
    for field, value in message.ListFields():
        if field.type not in (field.TYPE_STRING, field.TYPE_MESSAGE):
            continue
        for entry in [value] if isinstance(value, str | bytes | Message) else value:
            if isinstance(entry, bytes) or (isinstance(entry, Message) and not is_text(entry)):
                return False
    return True
