"""From an ONNX file to a ``Graph``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, ValueInfoProto

from nmcheck.errors import ModelError, UnsupportedError
from nmcheck.graph.batch import Sample, one_sample
from nmcheck.graph.defaults import default_numbers
from nmcheck.graph.folding import Memory
from nmcheck.graph.ir import Graph, ModelInfo, Node
from nmcheck.graph.logits import find_logits
from nmcheck.graph.naming import attributes_of, unique_names
from nmcheck.graph.patterns import recognize
from nmcheck.graph.reading import ONNX_DOMAINS, ModelFile, read_model, reads, since_version
from nmcheck.graph.tracing import NamedNode, trace
from nmcheck.graph.training import refuse_training_mode

_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
_HALF = ("float16", "bfloat16")
_HALF_TYPES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


def load_graph(path: str | Path) -> Graph:
    """Read a classifier.

    Weights, constants and shape arithmetic are folded, nodes that do not lead to the output are dropped, the batch axis
    is made one, and a softmax or arg-max at the end is left out of the way to the logits. What was assumed is said in
    the graph's ``notes``. Batch normalization stays as it stands in the file.

    Args:
        path: an ONNX file; external data is looked for next to it.

    Raises:
        ModelError: the file is missing, damaged or not ONNX.
        UnsupportedError: it has several inputs or outputs, or uses something nmcheck refuses; the message names it.
    """
    path = Path(path)
    file = read_model(path)
    named, names = unique_names(file.nodes)
    source = _input(path, file)
    output, output_notes = _output(path, file, source.name)
    live = _leading_to(output, [NamedNode(named[index], index, node) for index, node in file.nodes])
    kind = source.type.tensor_type.elem_type
    dims = tuple(_length(axis) for axis in source.type.tensor_type.shape.dim)
    memory = Memory()
    sample = one_sample(
        path,
        source.name,
        dims,
        target=output,
        tracer=lambda shape, adapt: trace(
            path,
            live,
            weights=file.weights,
            source=(source.name, kind, shape),
            opsets=file.opsets,
            names=names,
            memory=memory,
            adapt=adapt,
        ),
        opset=file.opset,
    )
    return recognize(_graph(path, file, sample, source=source.name, output=output, notes=output_notes))


def _graph(path: Path, file: ModelFile, sample: Sample, *, source: str, output: str, notes: tuple[str, ...]) -> Graph:
    found = sample.trace
    nodes = tuple(_node(path, node, file) for node in _leading_to(output, found.nodes))
    refuse_training_mode(str(path), nodes, found.constants)
    shapes = {source: found.shapes[source]}
    shapes |= {value: found.shapes[value] for node in nodes for value in node.outputs if value}
    if output not in shapes:
        shapes[output] = found.constants[output].shape
        notes = (*notes, f"Output '{output}' is a constant: it does not depend on the input.")
    logits, stripped = find_logits(nodes, shapes, output)
    last = next((node for node in nodes if node.name in stripped and node.attributes.get("select_last_index")), None)
    if last is not None:
        raise UnsupportedError(
            f"{path}: node '{last.name}' ({last.op}) takes the last of equal logits (select_last_index), and nmcheck "
            "takes the first, as ArgMax does by default; export the model without its arg-max or with the default."
        )
    if stripped:
        verb = "is" if len(stripped) == 1 else "are"
        notes = (*notes, f"Logits are read at '{logits}', in front of {', '.join(stripped)}, which {verb} left out.")
    read = {value for node in nodes for value in node.inputs} | {output}
    constants = {name: array for name, array in {**found.constants, **found.unrounded}.items() if name in read}
    if any(array.dtype.name in _HALF for array in constants.values()):
        notes = (*notes, "Half-precision weights are computed with in single precision.")
        constants = {name: _single(array) for name, array in constants.items()}
    half = any(found.types[value] in _HALF_TYPES for value in shapes if value in found.types) or any(
        found.constants[name].dtype.name in _HALF for name in found.unrounded
    )
    if half:
        notes = (*notes, "The file computes in half precision, whose rounding nmcheck does not imitate.")
    info = ModelInfo(
        path=str(path),
        fingerprint=file.fingerprint,
        opset=file.opset,
        producer=f"{file.model.producer_name} {file.model.producer_version}".strip(),
        metadata={entry.key: entry.value for entry in file.model.metadata_props},
    )
    return Graph(
        nodes=nodes,
        constants=constants,
        shapes=shapes,
        input=source,
        logits=logits,
        output=output,
        batch_axis=sample.batch_axis,
        declared_batch=sample.declared_batch,
        model=info,
        notes=(*notes, *found.notes, *sample.notes),
        half=half,
    )


def _single(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype.name in _HALF else array


def _node(path: Path, node: NamedNode, file: ModelFile) -> Node:
    proto = node.proto
    domain = "" if proto.domain in ONNX_DOMAINS else proto.domain
    version = since_version(path, proto, node.index, file.opsets)
    result = Node(
        name=node.name,
        op=proto.op_type,
        domain=domain,
        since_version=version,
        inputs=tuple(proto.input),
        outputs=tuple(proto.output),
        attributes={**default_numbers(proto.op_type, domain, version), **attributes_of(path, node.name, proto)},
        index=node.index,
    )
    return replace(result, outputs=result.outputs[:1]) if result.op == "Dropout" else result


def _input(path: Path, file: ModelFile) -> ValueInfoProto:
    """The one input that is no initializer.

    Raises:
        ModelError: there is none.
        UnsupportedError: there are several, or it holds no real numbers.
    """
    inputs = [value for value in file.model.graph.input if value.name not in file.weights]
    if not inputs:
        raise ModelError(f"{path}: the model has no input that depends on data; nothing about it can be analysed.")
    if len(inputs) > 1:
        listed = ", ".join(f"'{value.name}'" for value in inputs)
        raise UnsupportedError(
            f"{path}: the model has {len(inputs)} inputs ({listed}), and nmcheck analyses classifiers with one; make "
            "the others constants or export the part behind one input."
        )
    value = inputs[0]
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        raise UnsupportedError(
            f"{path}: input '{value.name}' is not a tensor with a declared shape; export the model with one."
        )
    if value.type.tensor_type.elem_type not in _FLOATS:
        kinds = {number: name.lower() for name, number in TensorProto.DataType.items()}
        kind = kinds.get(value.type.tensor_type.elem_type, "unknown")
        raise UnsupportedError(
            f"{path}: input '{value.name}' holds {kind} values, and noise and perturbations are real numbers; export "
            "the model with a float input."
        )
    return value


def _length(axis: onnx.TensorShapeProto.Dimension) -> int | None:
    return axis.dim_value if axis.HasField("dim_value") and axis.dim_value > 0 else None


def _output(path: Path, file: ModelFile, source: str) -> tuple[str, tuple[str, ...]]:
    """The output to analyse, and notes on the others.

    Raises:
        UnsupportedError: several outputs hold real numbers that depend on the input, or none is a tensor.
    """
    dependent = {source}
    for _, node in file.nodes:
        if dependent.intersection(reads(node)):
            dependent.update(node.output)
    tensors = [value for value in file.model.graph.output if value.type.HasField("tensor_type")]
    real = [value for value in tensors if value.type.tensor_type.elem_type in _FLOATS]
    chosen = [value.name for value in real if value.name in dependent] or [value.name for value in real or tensors]
    if not chosen:
        raise UnsupportedError(f"{path}: no output of the model is a tensor; export it with its scores as a tensor.")
    if len(chosen) > 1:
        listed = ", ".join(f"'{name}'" for name in chosen)
        raise UnsupportedError(
            f"{path}: the model has {len(chosen)} data outputs ({listed}), and which of them are the logits is not "
            "known; export it with one output."
        )
    others = [value.name for value in file.model.graph.output if value.name != chosen[0]]
    if not others:
        return chosen[0], ()
    listed = ", ".join(f"'{name}'" for name in others)
    return chosen[0], (f"Output '{chosen[0]}' is analysed; {listed} left aside.",)


def _leading_to(output: str, nodes: Iterable[NamedNode]) -> tuple[NamedNode, ...]:
    """The nodes the output needs, in order."""
    needed, kept = {output}, []
    for node in reversed(list(nodes)):
        if needed.intersection(node.proto.output):
            kept.append(node)
            needed.update(reads(node.proto))
    return tuple(reversed(kept))
