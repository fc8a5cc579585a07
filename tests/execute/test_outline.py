"""What is said of a node without torch is what torch says, and functions named before torch is loaded are torch's."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from models import mlp, model, node, write
from onnx import TensorProto, helper
from operator_cases import CASES

from nmcheck.errors import ModelError, UnsupportedError
from nmcheck.execute.outline import execution_refusal
from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph

REFUSED = {
    "operator": model([node("Det", ("x",), name="det")], (1, 3, 3)),
    "use": model(
        [node("Resize", ("x", "", "s"), mode="cubic")], (1, 1, 4, 4), {"s": np.array([1, 1, 2, 2], np.float32)}
    ),
    "attribute": model(
        [node("BatchNormalization", ("x", "w", "w", "w", "w"), spatial=0)],
        (1, 2, 3),
        {"w": np.ones((2, 3), np.float32)},
        opset=7,
    ),
}
"""Nodes that are not executed, each for another reason."""

CHILD = """
import sys
from pathlib import Path

import numpy as np

from nmcheck.execute.outline import execution_refusal
from nmcheck.graph.load import load_graph

folder = Path(sys.argv[1])
graphs = {path.stem: load_graph(path) for path in sorted(folder.glob("*.onnx"))}
for name, graph in graphs.items():
    (folder / f"{name}.txt").write_text("\\n".join(str(execution_refusal(graph, node)) for node in graph.nodes))
assert not {"torch", "onnxruntime", "scipy", "sklearn"} & set(sys.modules)

import torch
from nmcheck.execute.program import Program

for name, graph in graphs.items():
    samples = folder / f"{name}.npy"
    if samples.exists():
        found = Program(graph, torch.float64).output(torch.from_numpy(np.load(samples)))
        np.save(folder / f"{name}.out.npy", found.numpy())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A file for every case, what a process without torch says of it, and what it computes once torch is loaded."""
    folder = tmp_path_factory.mktemp("outlines")
    for index, case in enumerate(CASES):
        path = write(case.onnx_model(), folder, f"{index}.onnx")
        graph = load_graph(path)
        np.save(folder / f"{index}.npy", case.samples(3, graph.shapes[graph.input]).astype(np.float64))
    for name, made in REFUSED.items():
        write(made, folder, f"{name}.onnx")
    subprocess.run([sys.executable, "-c", CHILD, str(folder)], check=True, timeout=250)
    return folder


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_the_same_with_and_without_torch(name, folder):
    graph = load_graph(folder / f"{name}.onnx")
    said = [str(execution_refusal(graph, each)) for each in graph.nodes]
    assert (folder / f"{name}.txt").read_text().splitlines() == said
    assert said[0].startswith("node '")
    with pytest.raises(ModelError):
        Program(graph)


def test_constants_of_a_type_that_torch_does_not_have_are_refused(tmp_path):
    graph = load_graph(write(mlp(), tmp_path))
    narrow = helper.tensor_dtype_to_np_dtype(TensorProto.FLOAT8E4M3FN)
    graph = replace(graph, constants={name: array.astype(narrow) for name, array in graph.constants.items()})
    assert "float8_e4m3fn" in str(execution_refusal(graph, graph.nodes[0]))
    with pytest.raises(UnsupportedError, match="float8_e4m3fn"):
        Program(graph)


def test_every_operator_is_looked_at_without_torch(folder):
    for index, case in enumerate(CASES):
        assert set((folder / f"{index}.txt").read_text().splitlines()) == {"None"}, str(case)


def test_functions_named_before_torch_is_loaded_are_torchs(folder):
    for index in range(len(CASES)):
        samples = torch.from_numpy(np.load(folder / f"{index}.npy"))
        ours = Program(load_graph(folder / f"{index}.onnx"), torch.float64).output(samples).numpy()
        np.testing.assert_array_equal(ours, np.load(folder / f"{index}.out.npy"), err_msg=str(CASES[index]))
