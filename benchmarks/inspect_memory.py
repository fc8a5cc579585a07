"""Does a ResNet-50-sized file inspect in under 10 s, at no more than 2.5 times its size in memory?

The light ResNet-50 of the onnx package, given random weights, is inspected by a fresh process, and so is a model with
hardly any weights, whose peak is what Python and the libraries take by themselves. The file with its weights stored
outside is measured, too.

    python -m benchmarks.inspect_memory
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import onnx
from onnx import numpy_helper

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / "light_resnet50.onnx"
RUNS = 5
SECONDS, RATIO = 10.0, 2.5
"""What is allowed."""
SMALL = """
<ir_version: 8, opset_import: ["" : 17]>
agraph (float[N, 4] x) => (float[N, 4] y) { y = Relu(x) }
"""


def with_random_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The weights that the light model makes by ConstantOfShape, as initializers."""
    generator = np.random.default_rng(0)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "ConstantOfShape"]:
        array = generator.random(tuple(shapes[node.input[0]]), dtype=np.float32) / 100
        model.graph.initializer.append(numpy_helper.from_array(array, node.output[0]))
        model.graph.node.remove(node)
    return model


def build(folder: Path) -> None:
    """Write the models; in a process of its own, because Linux counts the peak of a parent as its children's."""
    onnx.save(onnx.parser.parse_model(SMALL), folder / "small.onnx")
    model = with_random_weights(onnx.load(LIGHT))
    onnx.save(model, folder / "resnet50.onnx")
    onnx.save(model, folder / "outside.onnx", save_as_external_data=True, location="weights.bin")


def measure(path: Path) -> tuple[float, int]:
    """Seconds of wall time and peak resident bytes of ``nmcheck inspect``, the medians of several runs."""
    seconds, peaks = [], []
    for _ in range(RUNS):
        start = time.perf_counter()
        command = [sys.executable, "-m", "nmcheck", "inspect", str(path), "--quiet", "--output", os.devnull]
        process = subprocess.Popen(command)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise RuntimeError(f"nmcheck ended with status {status}")
        seconds.append(time.perf_counter() - start)
        peaks.append(usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
    return median(seconds), int(median(peaks))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        builder = multiprocessing.get_context("spawn").Process(target=build, args=(folder,))
        builder.start()
        builder.join()
        size = (folder / "resnet50.onnx").stat().st_size
        print(f"file: {size / 1e6:.1f} MB; medians of {RUNS} runs; allowed: {SECONDS:.0f} s, {RATIO} times the file")
        for title, file in (("weights inside", "resnet50"), ("weights outside", "outside"), ("tiny model", "small")):
            seconds, peak = measure(folder / f"{file}.onnx")
            print(f"{title:<16} {seconds:6.2f} s  {peak / 1e6:7.1f} MB  {peak / size:5.2f} times the file")


if __name__ == "__main__":
    main()
