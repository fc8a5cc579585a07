"""Is every shared model executed as by onnxruntime, or refused for a reason?

A line a file: its status, or the sentence it is refused with; the largest difference of the output, relative to the
largest output, from onnxruntime's in float32 over 20 random inputs, and from onnx.reference's in float64, all weights
cast, over one; the ReLUs that all paths cross (cuts) and others (skips); seconds to load, to inspect and to execute.

    python -m benchmarks.real_models [FOLDER]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch

from nmcheck.checks.inspect import inspect
from nmcheck.errors import NmcheckError
from nmcheck.execute.comparison import relative_difference
from nmcheck.execute.program import Program
from nmcheck.execute.session import ReferenceSession
from nmcheck.graph.load import load_graph

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))
from double_reference import double_output  # noqa: E402  # pyright: ignore[reportMissingImports]

INPUTS = 20


def line(path: Path) -> str:
    """What one file gives."""
    start = time.perf_counter()
    try:
        graph = load_graph(path)
        kinds = [cut.kind for cut in inspect(path).cuts]
        x = np.random.default_rng(0).uniform(0, 1, (INPUTS, *graph.shapes[graph.input]))
        single = Program(graph).output(torch.from_numpy(x.astype(np.float32))).numpy()
        difference = relative_difference(single, ReferenceSession(graph, threads=1).run(x.astype(np.float32)))
    except NmcheckError as error:
        return f"refused: {str(error).removeprefix(f'{path}: ')}"
    seconds = time.perf_counter() - start
    double = Program(graph, torch.float64).output(torch.from_numpy(x[:1])).numpy()[0]
    exact = relative_difference(double, double_output(graph, x[0]))
    return (
        f"{'equal' if difference <= 1e-5 and exact <= 1e-10 else 'DIFFERS':8s} {difference:8.1e} {exact:8.1e} "
        f"{kinds.count('cut'):5d} {kinds.count('skip'):5d} {seconds:8.3f}"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "models"
    print(f"{'file':44s} {'status':8s} {'float32':>8s} {'float64':>8s} {'cuts':>5s} {'skips':>5s} {'seconds':>8s}")
    for file in sorted(folder.rglob("*.onnx")):
        print(f"{file.relative_to(folder).as_posix():44s} {line(file)}", flush=True)
