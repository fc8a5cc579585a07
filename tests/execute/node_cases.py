"""ONNX's own node-test cases as models that nmcheck loads: one input is the sample's, the others are constants."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from models import node
from onnx import ModelProto, TensorProto, helper, numpy_helper

from nmcheck.errors import NmcheckError, UnsupportedError
from nmcheck.execute.program import Program
from nmcheck.graph.ir import Graph
from nmcheck.graph.load import load_graph

FOLDED_OPERATORS = ("Constant", "ConstantOfShape", "Range", "Shape", "Size")
"""Listed operators without a row: they are computed when the file is read."""
REAL = ("float16", "bfloat16", "float32", "float64")
_OTHER_NUMBERS = ("bool", "int", "uint", "float8", "float4")
_OLDEST_OPSET = 7
TOLERANCE = {"float64": 1e-10, "float32": 1e-5, "float16": 2e-3, "bfloat16": 1e-2}
"""Largest max|difference| / max|expected| by the least precise type that is read or expected."""


@dataclass(frozen=True)
class NodeCase:
    """One of ONNX's cases.

    Attributes:
        name: its name.
        model: a model of one node.
        inputs: stored inputs, in the order of the model's; None if one is no tensor.
        outputs: stored outputs.
        rtol: relative difference that ONNX allows an element.
        atol: absolute difference it allows beside.
    """

    name: str
    model: ModelProto
    inputs: Sequence[np.ndarray] | None
    outputs: Sequence[np.ndarray] | None
    rtol: float
    atol: float


def single_node_cases() -> dict[str, list[NodeCase]]:
    """The cases of one node, by operator; those that spell an operator out as a function are left out.

    Their numbers are drawn when onnx's modules are imported, here after seeding.
    """
    state = np.random.get_state()
    np.random.seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        cases = load_model_tests(kind="node")
    np.random.set_state(state)
    found = defaultdict(list)
    for case in cases:
        assert case.model is not None
        assert case.data_sets is not None
        only, *others = case.model.graph.node
        if not others and not only.domain and "_expanded" not in case.name:
            inputs, outputs = (_arrays(values) for values in case.data_sets[0])
            found[only.op_type].append(NodeCase(case.name, case.model, inputs, outputs, case.rtol, case.atol))
    return found


@dataclass(frozen=True)
class Outcome:
    """What nmcheck makes of a case.

    Attributes:
        passed: every output is equal to the stored one, with an input of the node depending on the sample or, for an
            operator that is folded, as a constant.
        refusals: what was refused on the way, in nmcheck's words.
        wrong: what was computed differently, blamed on the file, or crashed on.
    """

    passed: bool
    refusals: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()


def outcome(case: NodeCase, folder: Path) -> Outcome:
    """Run a case once for each input that can depend on the sample: all of real numbers, and the first of others."""
    inputs, outputs = case.inputs, case.outputs
    if inputs is None or outputs is None:
        return Outcome(False, ("it reads or makes sequences or optional values",))
    op = case.model.graph.node[0].op_type
    if op in FOLDED_OPERATORS:
        candidates: Sequence[int | None] = (0,) if op in ("Shape", "Size") else (None,)
    else:
        candidates = [
            position
            for position, array in enumerate(inputs)
            if array.dtype.name in REAL or (position == 0 and array.dtype.name.startswith(_OTHER_NUMBERS))
        ]
    if not candidates:
        return Outcome(False, ("it has no input of numbers",))
    passed, refusals, wrong = False, [], []
    for live in candidates:
        equal, depends = 0, op in FOLDED_OPERATORS
        for position, expected in enumerate(outputs):
            path = folder / "case.onnx"
            path.write_bytes(as_classifier(case, inputs, live, position).SerializeToString())
            try:
                graph = load_graph(path)
                depends = depends or any(entry.op == op and graph.live_inputs(entry) for entry in graph.nodes)
                value = _computed(graph, None if live is None else inputs[live], expected)
                difference = _difference(case, value, expected, "" if live is None else inputs[live].dtype.name)
            except UnsupportedError as error:
                refusals.append(str(error))
            except (NmcheckError, RuntimeError, ValueError, TypeError, KeyError, IndexError) as error:
                wrong.append(f"input {live}, output {position}: {type(error).__name__}: {error}")
            else:
                equal += difference is None
                if difference is not None:
                    wrong.append(f"input {live}, output {position}: {difference}")
        passed = passed or (depends and equal == len(outputs))
    return Outcome(passed and not wrong, tuple(refusals), tuple(wrong))


def _arrays(values: Sequence[object]) -> list[np.ndarray] | None:
    if any(isinstance(value, list) or value is None for value in values):
        return None
    return [numpy_helper.to_array(v) if isinstance(v, TensorProto) else np.asarray(v) for v in values]


def as_classifier(case: NodeCase, inputs: Sequence[np.ndarray], live: int | None, output: int) -> ModelProto:
    """The case's node with one output, and one input behind a batch axis of 1.

    In front stand a Cast, if the input is not of real numbers, a Slice, if it has no elements, and a Squeeze; the node
    itself sees the stored shape. Without a live input the model's only input is not read.
    """
    names = [value.name for value in case.model.graph.input]
    front, constants = [], {name: array for name, array in zip(names, inputs, strict=True) if name}
    opsets = {"" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in case.model.opset_import}
    opsets[""] = max(opsets.get("", _OLDEST_OPSET), _OLDEST_OPSET)
    kind, shape = TensorProto.FLOAT, (1,)
    if live is not None:
        array = constants.pop(names[live])
        shape = (1, *(max(length, 1) for length in array.shape))
        value, code = "sample", helper.np_dtype_to_tensor_dtype(array.dtype)
        if array.dtype.name in REAL:
            kind = code
        else:
            front.append(node("Cast", [value], ["whole"], to=code))
            value = "whole"
        if array.size == 0:
            empty = np.array([axis + 1 for axis, length in enumerate(array.shape) if length == 0])
            constants |= {"zeros": np.zeros_like(empty), "empty": empty}
            front.append(node("Slice", [value, "zeros", "zeros", "empty"], ["nothing"]))
            value = "nothing"
        if opsets[""] >= 13:
            constants["first"] = np.array([0])
            front.append(node("Squeeze", [value, "first"], [names[live]]))
        else:
            front.append(node("Squeeze", [value], [names[live]], axes=[0]))
    graph = helper.make_graph(
        [*front, case.model.graph.node[0]],
        case.name,
        [helper.make_tensor_value_info("sample", kind, shape)],
        [case.model.graph.output[output]],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=case.model.ir_version)


def _computed(graph: Graph, read: np.ndarray | None, expected: np.ndarray) -> np.ndarray:
    """The model's output for the stored input, by its torch functions, or what was folded."""
    if read is None or graph.output in graph.constants:
        return graph.constants[graph.output]
    dtype = torch.float64 if "float64" in (read.dtype.name, expected.dtype.name) else torch.float32
    shape = graph.shapes[graph.input]
    sample = read.astype(np.float64).reshape(shape) if read.size else np.zeros(shape)
    return Program(graph, dtype).output(torch.from_numpy(sample).to(dtype)[None])[0].numpy()


def _difference(case: NodeCase, value: np.ndarray, expected: np.ndarray, read: str) -> str | None:
    """How a value differs from the stored one, or None if it does not by more than its types allow.

    Two measures: the largest difference by the largest value, as everywhere in nmcheck, and ONNX's own elementwise one.
    """
    if value.shape != expected.shape:
        return f"shape {list(value.shape)} instead of {list(expected.shape)}"
    ours, theirs = value.astype(np.float64), expected.astype(np.float64)
    both_nan = np.isnan(ours) & np.isnan(theirs)
    with np.errstate(invalid="ignore"):
        difference = np.where(both_nan | (ours == theirs), 0.0, np.abs(ours - theirs))
    finite = np.where(np.isfinite(theirs), np.abs(theirs), 0.0)
    loosest = max(TOLERANCE.get(expected.dtype.name, 0.0), TOLERANCE.get(read, 0.0))
    allowed = max(WRITTEN_DIGITS.get(case.name, 0.0), loosest)
    relative = difference.max(initial=0.0) / (finite.max(initial=0.0) or 1.0)
    if not relative <= allowed:
        return f"max|d|/max|y| is {relative:.2g}, more than {allowed:.2g}"
    if not (difference <= case.atol + max(case.rtol, loosest) * finite).all():
        return f"an element differs by more than rtol {case.rtol}, atol {case.atol}"
    return None


WRITTEN_DIGITS: Mapping[str, float] = {"test_averagepool_2d_ceil_last_window_starts_on_pad": 5e-5 / 0.3}
"""Cases whose expected values are typed in with four decimals."""
