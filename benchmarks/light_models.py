"""How long do AlexNet to VGG-19 take to load and to inspect, and are they executed as by onnxruntime?

The nine light models of the onnx package, given random weights and without their softmax, on one core: seconds to load
and to inspect, the largest difference of the output from onnxruntime's relative to the largest output, in float32, over
two random images, and the ReLUs that all paths cross (cuts) and others (skips).

    python -m benchmarks.light_models [NAME...]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import torch

from nmcheck.checks.inspect import inspect
from nmcheck.execute.comparison import relative_difference
from nmcheck.execute.program import Program
from nmcheck.execute.session import ReferenceSession
from nmcheck.graph.load import load_graph

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from imagenet_models import CUTS, with_random_weights  # pyright: ignore[reportMissingImports]

IMAGES = 2


def measure(name: str, path: Path) -> str:
    """One line of the table."""
    onnx.save(with_random_weights(name), path)
    start = time.perf_counter()
    graph = load_graph(path)
    loaded = time.perf_counter()
    kinds = [cut.kind for cut in inspect(path).cuts]
    inspected = time.perf_counter()
    x = np.random.default_rng(0).uniform(0, 1, (IMAGES, *graph.shapes[graph.input])).astype(np.float32)
    ours = Program(graph).output(torch.from_numpy(x)).numpy()
    difference = relative_difference(ours, ReferenceSession(graph, threads=1).run(x))
    seconds = f"{loaded - start:7.2f} {inspected - loaded:9.2f}"
    size = f"{path.stat().st_size / 2**20:7.1f}"
    return f"{name:14s} {size} {seconds} {difference:12.1e} {kinds.count('cut'):5d} {kinds.count('skip'):5d}"


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(f"{'model':14s} {'MiB':>7s} {'load s':>7s} {'inspect s':>9s} {'difference':>12s} {'cuts':>5s} {'skips':>5s}")
    for chosen in sys.argv[1:] or CUTS:
        with tempfile.TemporaryDirectory() as folder:
            print(measure(chosen, Path(folder) / "model.onnx"), flush=True)
