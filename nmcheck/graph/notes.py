"""Copies of a model file with notes on its nodes, for viewers: the file itself is only ever read.

Two kinds: an annotated copy that computes what the file computes, and a display copy for drawing, whose nodes all have
names of their own and in which no number of a weight is left: names, types, shapes and structure alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, NodeProto
from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_model, uses_external_data
from onnx.inliner import inline_local_functions

from nmcheck.errors import ModelError, OutputError
from nmcheck.graph.expansion import check_expansion
from nmcheck.graph.fingerprint import NOTE_KEYS
from nmcheck.graph.naming import NodeNames, unique_names
from nmcheck.graph.tensors import is_text
from nmcheck.graph.weightless import read_without_weights, strip_weights, walk
from nmcheck.outside_text import visible
from nmcheck.results.overlay import Overlay

NOTES_IR = 10
"""The first version of the file format that defines metadata of nodes; older readers pass over it."""
_LARGEST = 2**31 - 1
"""Bytes a protobuf message may have."""


@dataclass(frozen=True)
class NodeNotes:
    """What is to be written on one node.

    Attributes:
        node: its unique name, as nmcheck gives it.
        outputs: names of the values it writes, by which it is found; by its name if there are none.
        entries: keys and texts.
    """

    node: str
    outputs: tuple[str, ...]
    entries: tuple[tuple[str, str], ...]


def notes_of(overlay: Overlay) -> list[NodeNotes]:
    """What an overlay says of each node."""
    return [
        NodeNotes(layer.node, layer.outputs, tuple((detail.label, detail.text) for detail in layer.details))
        for layer in overlay.layers
    ]


@dataclass(frozen=True)
class AnnotatedCopy:
    """A copy of a model with notes on it.

    Attributes:
        data: the file.
        names: name in the copy of each node that was found, by the name the notes had for it.
        nodes: how many nodes the copy has, those of sub-graphs included.
    """

    data: bytes
    names: Mapping[str, str]
    nodes: int


def display_copy(path: Path, notes: Sequence[NodeNotes]) -> AnnotatedCopy:
    """A copy for drawing: no weights (``weightless``), local functions expanded, every node named like no other.

    External data is neither read nor referred to. Memory is needed for one weight at a time.

    Raises:
        ModelError: the file cannot be read as ONNX.
    """
    model = read_without_weights(path)
    _check_text(path, model)
    if model.functions:
        # nmcheck's reports speak of the expanded nodes.
        check_expansion(path, model)
        try:
            model = inline_local_functions(model)
        except Exception as error:
            raise ModelError(f"{path}: the model's local functions cannot be expanded; export it without.") from error
    names = _name_all(model.graph)
    found = _write_notes(model.graph, notes)
    model.ir_version = max(model.ir_version, NOTES_IR)
    strip_weights(model)
    return AnnotatedCopy(model.SerializeToString(), found, names)


def annotated_copy(path: Path, notes: Sequence[NodeNotes], folder: Path, *, ir_version: int | None) -> AnnotatedCopy:
    """A copy that computes what the file does, with notes on its nodes; unnamed nodes get nmcheck's names.

    Args:
        path: the file.
        notes: what to write.
        folder: where the copy will lie. In the file's own folder it goes on using the file's external data; elsewhere
            these are taken into it.
        ir_version: version of the file format to write; by default the file's own.

    Raises:
        ModelError: the file cannot be read as ONNX, or its external data is missing.
        OutputError: the copy would be larger than a file can be, or of an older version than the file.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file; name an ONNX file.") from error
    except (OSError, DecodeError, ValueError) as error:
        raise ModelError(f"{path}: not a readable ONNX file; export or download it again.") from error
    if ir_version is not None:
        if ir_version < model.ir_version:
            raise OutputError(
                f"{path}: its format is version {model.ir_version}, which cannot be written as version {ir_version}; "
                "ask for a later one or leave --ir-version out."
            )
        model.ir_version = ir_version
    _check_text(path, model)
    if folder.resolve() != path.resolve().parent:
        _take_external_data(path, model)
    names = _name_all(model.graph)
    found = _write_notes(model.graph, notes)
    if model.ByteSize() > _LARGEST:
        raise _too_large(path)
    return AnnotatedCopy(model.SerializeToString(), found, names)


def _check_text(path: Path, model: ModelProto) -> None:
    if not is_text(model):
        raise ModelError(
            f"{path}: a name in the file is not text; the file is damaged, so export or download it again."
        )


def _take_external_data(path: Path, model: ModelProto) -> None:
    try:
        size = sum(ExternalDataInfo(t).length or 0 for t in model.graph.initializer if uses_external_data(t))
        if model.ByteSize() + size > _LARGEST:
            raise _too_large(path)
        load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, TypeError, onnx.checker.ValidationError) as error:
        raise ModelError(
            f"{path}: the weights stored outside the file could not be read; put the external data files next to it."
        ) from error


def _too_large(path: Path) -> OutputError:
    return OutputError(
        f"{path}: with its external weights it is larger than an ONNX file can be; write the copy into the model's own "
        "folder, where it can go on using them."
    )


def _name_all(graph: GraphProto) -> int:
    """Give every node a name no other has, the graph's own nodes the names reports know them by.

    Returns:
        How many nodes there are.
    """
    named, _ = unique_names(enumerate(graph.node))
    for index, name in named.items():
        graph.node[index].name = name
    names, count = NodeNames(named.values()), 0
    for index, (node, _) in enumerate(walk(graph)):
        count += 1
        if index >= len(named):
            node.name = names.unique(node.name, node.op_type, index)
    return count


def _write_notes(graph: GraphProto, notes: Sequence[NodeNotes]) -> dict[str, str]:
    """Write the notes in front of what a node's metadata says already; older notes of nmcheck's are replaced."""
    by_name = {node.name: node for node, _ in walk(graph)}
    by_output: dict[str, NodeProto] = {}
    for node in by_name.values():
        for value in node.output:
            # A sub-graph may use a name once more; reports speak of the graph's own nodes, which come first.
            by_output.setdefault(value, node)
    found: dict[str, str] = {}
    for note in notes:
        node = by_output.get(note.outputs[0]) if note.outputs else by_name.get(note.node)
        if node is None:
            continue
        found[note.node] = node.name
        kept = [(entry.key, entry.value) for entry in node.metadata_props if not entry.key.startswith(NOTE_KEYS)]
        del node.metadata_props[:]
        for key, text in (*((visible(key), visible(text)) for key, text in note.entries), *kept):
            node.metadata_props.add(key=key, value=text)
    return found
