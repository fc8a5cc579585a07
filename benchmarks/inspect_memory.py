"""Does a ResNet-50-sized file inspect in under 10 s, at no more than 2.5 times its size in memory?

The light ResNet-50 of the onnx package, given random weights, is inspected by a fresh process, and so is a copy with
hardly any weights, whose peak is what Python, torch and onnx take by themselves.

    python -m benchmarks.inspect_memory
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / "light_resnet50.onnx"
CHILD = """
import re, sys
from pathlib import Path
from nmcheck.cli.app import run
code = run(["inspect", sys.argv[1], "--quiet", "--output", "/dev/null"])
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text()).group(1))
sys.exit(code)
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


def measure(path: Path) -> tuple[float, int]:
    """Seconds of wall time and peak resident bytes of one inspection."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, check=True)
    return time.perf_counter() - start, 1024 * int(done.stdout)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder) / "resnet50.onnx", Path(folder) / "small.onnx"
        onnx.save(with_random_weights(onnx.load(LIGHT)), large)
        onnx.save(onnx.parser.parse_model(SMALL), small)
        size = large.stat().st_size
        runs = [measure(large) for _ in range(3)]
        own = min(measure(small)[1] for _ in range(3))
    seconds, peak = max(run[0] for run in runs), max(run[1] for run in runs)
    print(f"file                        {size / 1e6:8.1f} MB")
    print(f"wall time, worst of 3       {seconds:8.2f} s   (allowed 10 s)")
    print(f"peak memory, worst of 3     {peak / 1e6:8.1f} MB  {peak / size:5.2f} times the file")
    print(f"the same for a tiny model   {own / 1e6:8.1f} MB  {own / size:5.2f} times the file")
    print(f"on top of the tiny model's  {(peak - own) / 1e6:8.1f} MB  {(peak - own) / size:5.2f} times the file")


SMALL = """
<ir_version: 8, opset_import: ["" : 17]>
agraph (float[N, 4] x) => (float[N, 4] y) { y = Relu(x) }
"""

if __name__ == "__main__":
    main()
