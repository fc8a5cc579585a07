"""From a file to a checked protobuf message: everything that can be wrong with the bytes is said here."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from io import BufferedIOBase, BytesIO
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, NodeProto
from onnx.external_data_helper import load_external_data_for_model
from onnx.inliner import inline_local_functions

from nmcheck.errors import ModelError, UnsupportedError
from nmcheck.graph.expansion import check_expansion
from nmcheck.graph.fingerprint import fingerprint
from nmcheck.graph.tensors import Initializers, is_text
from nmcheck.graph.wire import parse_model

ONNX_DOMAINS = ("", "ai.onnx")
"""The two spellings of ONNX's own operator domain."""
_OLDEST_OPSET = 7
_NO_VERSION = 2**31
"""Versions from here on are more than onnx's own tables of operators can be asked for."""


@dataclass(frozen=True)
class ModelFile:
    """A parsed model, its weights beside the message.

    Attributes:
        model: the message without its initializers, functions inlined, nodes in the file's order.
        nodes: the nodes with their positions in the file, each after the nodes it reads from.
        weights: the initializers.
        opset: version of ONNX's own operator set.
        opsets: versions of all operator sets, by domain.
        fingerprint: sha256 over graph and weights.
    """

    model: ModelProto
    nodes: tuple[tuple[int, NodeProto], ...]
    weights: dict[str, np.ndarray]
    opset: int
    opsets: dict[str, int]
    fingerprint: str


def read_model(path: Path) -> ModelFile:
    """Parse and check an ONNX file, external data included.

    Raises:
        ModelError: the file is missing, empty, not ONNX, truncated, inconsistent or lacks its external data.
        UnsupportedError: it uses sparse weights, an operator set older than 7 or operators ONNX does not define.
    """
    model, initializers = _parse(path)
    try:
        initializers.load_external()
        load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ModelError(
            f"{path}: the weights stored outside the file could not be read ({_first_line(error)}); put the external "
            "data files next to the model."
        ) from error
    except TypeError as error:
        raise ModelError(
            f"{path}: onnx reads no weights stored outside the file where the model's name is not text; rename it."
        ) from error
    if model.graph.sparse_initializer:
        raise UnsupportedError(f"{path}: sparse initializers are not supported; export the weights as dense tensors.")
    weights = initializers.arrays()
    digest = fingerprint(model, weights)
    opsets = _opsets(path, model)
    if model.functions:
        model = _inlined(path, model)
    nodes = tuple(sorted_nodes(path, enumerate(model.graph.node), _known_from_the_start(model, weights)))
    _check_operators(path, nodes, opsets)
    _check(path, model, nodes, weights)
    return ModelFile(model, nodes, weights, opsets[""], opsets, digest)


def sorted_nodes(
    path: Path, nodes: Iterable[tuple[int, NodeProto]], known: set[str]
) -> Iterable[tuple[int, NodeProto]]:
    """The nodes in an order in which each comes after the nodes it reads from, otherwise as they stand.

    Args:
        path: for messages.
        nodes: the nodes with their positions.
        known: values that exist beforehand.

    Raises:
        ModelError: a node reads a value that nothing makes, or nodes read each other in a circle.
    """
    listed = list(nodes)
    ready = set(known)
    missing = [{value for value in reads(node) if value not in ready} for _, node in listed]
    readers: dict[str, list[int]] = {}
    for position, values in enumerate(missing):
        for value in values:
            readers.setdefault(value, []).append(position)
    # Of the nodes that could come next, the one that stands first in the file does.
    next_ones = [position for position, values in enumerate(missing) if not values]
    placed = set[int]()
    while next_ones:
        position = heappop(next_ones)
        placed.add(position)
        yield listed[position]
        for value in listed[position][1].output:
            for reader in readers.pop(value, ()):
                missing[reader].discard(value)
                if not missing[reader]:
                    heappush(next_ones, reader)
    if len(placed) < len(listed):
        position = next(position for position in range(len(listed)) if position not in placed)
        index, node = listed[position]
        value = next(value for value in reads(node) if value in missing[position])
        made = {value for _, node in listed for value in node.output}
        why = "depends on itself" if value in made else "is made by no node"
        raise ModelError(
            f"{path}: node '{node.name or f'{node.op_type}_{index}'}' reads '{value}', which {why}; the file is "
            "damaged or was cut out of a larger graph, so export it again."
        )


def reads(node: NodeProto) -> Iterable[str]:
    """Values a node reads, those its sub-graphs take from outside included."""
    yield from (value for value in node.input if value)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            inside = {value for inner in graph.node for value in inner.output}
            inside.update(tensor.name for tensor in graph.initializer)
            inside.update(value.name for value in graph.input)
            for inner in graph.node:
                yield from (value for value in reads(inner) if value not in inside)


def _parse(path: Path) -> tuple[ModelProto, Initializers]:
    """The message without its initializers, and those."""
    initializers = Initializers(path)
    with _opened(path) as file:
        size = file.seek(0, os.SEEK_END)
        if not size:
            raise ModelError(f"{path}: the file is empty; export or download the model again.")
        try:
            model = parse_model(file, size, initializers.take)
        except OSError as error:
            raise _unreadable(path, error) from error
        except (DecodeError, RecursionError, ValueError) as error:
            raise ModelError(
                f"{path}: not a readable ONNX file (its {size} bytes do not parse as a model); it may be truncated or "
                "of another format, so export or download it again."
            ) from error
    for tensor in model.graph.initializer:
        initializers.take(tensor)
    del model.graph.initializer[:]
    if not initializers.are_text or not is_text(model):
        raise ModelError(
            f"{path}: a name in the file is not text; the file is damaged, so export or download it again."
        )
    if not model.opset_import or not model.graph.output:
        raise ModelError(
            f"{path}: not an ONNX model: it parses, but has no {'operator set' if model.graph.output else 'output'}; "
            "it may be truncated or of another format, so export or download it again."
        )
    return model, initializers


def _opened(path: Path) -> BufferedIOBase:
    if path.is_dir():
        raise ModelError(f"{path}: this is a folder; name an ONNX file.")
    try:
        file = path.open("rb")
        if file.seekable():
            return file
        with file:  # a pipe
            return BytesIO(file.read())
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file; name an ONNX file.") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> ModelError:
    return ModelError(f"{path}: the file could not be read ({error.strerror}).")


def _opsets(path: Path, model: ModelProto) -> dict[str, int]:
    opsets: dict[str, int] = {}
    for entry in model.opset_import:
        domain = "" if entry.domain in ONNX_DOMAINS else entry.domain
        opsets[domain] = max(entry.version, opsets.get(domain, 0))
    if "" not in opsets:
        raise UnsupportedError(
            f"{path}: the model imports no version of ONNX's own operators, only {', '.join(sorted(opsets))}; export "
            "it with standard ONNX operators."
        )
    absurd = next((domain for domain, version in opsets.items() if not 0 < version < _NO_VERSION), None)
    if absurd is not None:
        raise ModelError(
            f"{path}: it imports version {opsets[absurd]} of operator set '{absurd or 'ai.onnx'}', which cannot be; "
            "the file is damaged, so export or download it again."
        )
    newest = onnx.defs.onnx_opset_version()
    if not _OLDEST_OPSET <= opsets[""] <= newest:
        raise UnsupportedError(
            f"{path}: operator set {opsets['']} is outside the supported range {_OLDEST_OPSET} to {newest}; convert "
            "the model with onnx.version_converter."
        )
    return opsets


def _inlined(path: Path, model: ModelProto) -> ModelProto:
    check_expansion(path, model)
    try:
        return inline_local_functions(model)
    except Exception as error:
        raise ModelError(f"{path}: the model's local functions cannot be expanded ({_first_line(error)}).") from error


def _known_from_the_start(model: ModelProto, weights: dict[str, np.ndarray]) -> set[str]:
    return {value.name for value in model.graph.input} | set(weights)


def _check_operators(path: Path, nodes: Iterable[tuple[int, NodeProto]], opsets: dict[str, int]) -> None:
    """Refuse operators that no installed definition describes, by name."""
    for index, node in nodes:
        since_version(path, node, index, opsets)


def since_version(path: Path, node: NodeProto, index: int, opsets: dict[str, int]) -> int:
    """Version of the operator's definition the file's operator sets resolve to.

    Raises:
        UnsupportedError: there is none.
    """
    domain = "" if node.domain in ONNX_DOMAINS else node.domain
    if domain in opsets:
        try:
            return onnx.defs.get_schema(node.op_type, opsets[domain], domain).since_version
        except onnx.defs.SchemaError:
            pass
    name = node.name or f"{node.op_type}_{index}"
    full = f"{domain}.{node.op_type}" if domain else node.op_type
    version = f"version {opsets[domain]}" if domain in opsets else "which the model does not import"
    raise UnsupportedError(
        f"{path}: node '{name}': operator '{full}' is not defined in operator set '{domain or 'ai.onnx'}' "
        f"({version}); export the model with standard ONNX operators."
    )


def _check(
    path: Path, model: ModelProto, nodes: Iterable[tuple[int, NodeProto]], weights: dict[str, np.ndarray]
) -> None:
    """onnx.checker on the sorted graph, the weights declared as inputs so that their bytes are not copied."""
    skeleton = ModelProto()
    skeleton.CopyFrom(model)
    graph = skeleton.graph
    del graph.node[:]
    graph.node.extend(node for _, node in nodes)
    for value in graph.output:
        # Runtimes accept outputs without a declared shape; the checker only wants the field to be there.
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.shape.SetInParent()
    declared = {value.name for value in graph.input}
    for name, array in weights.items():
        if name not in declared:
            kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            graph.input.append(onnx.helper.make_tensor_value_info(name, kind, array.shape))
    try:
        onnx.checker.check_model(skeleton)
    except Exception as error:
        raise ModelError(f"{path}: not a valid ONNX model: {_first_line(error)}.") from error


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0].strip().rstrip(".") if text else type(error).__name__
