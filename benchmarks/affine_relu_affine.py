"""What does the exact variance of a 784-500-10 network cost on one thread, beside the published formulas?

    python benchmarks/affine_relu_affine.py [MODEL.onnx] [mnist.npz]

MODEL is any network of two Gemm nodes with a ReLU between (default: the trained one in ../shared; seeded random weights
where it is absent). Prints the median time of 9 runs per noise level, given A: Gram matrix, kernel and B for the first
two rows. E_r is against the exact float64 variance.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor

from nmcheck.affine import AffineMap, AffineReluAffine
from nmcheck.moments.affine_relu_affine import GaussianInput, gram_matrix, output_variance, pre_activation
from nmcheck.moments.lemma4 import lemma4_variance
from nmcheck.moments.theorem2 import theorem2_variance
from nmcheck.moments.tightness import relative_error

SHARED = Path(__file__).parents[2] / "shared"
SIGMAS = (0.01, 0.05, 0.1, 0.3)
RUNS = 9


def network(path: Path) -> AffineReluAffine:
    if not path.exists():
        generator = torch.Generator().manual_seed(0)
        a, b = (torch.randn(*s, generator=generator, dtype=torch.float64) for s in ((500, 784), (10, 500)))
        return AffineReluAffine(
            AffineMap(a / 28, torch.zeros(500).double()), AffineMap(b / 22, torch.zeros(10).double())
        )
    graph = onnx.load(path).graph
    values = {w.name: torch.tensor(onnx.numpy_helper.to_array(w)).double() for w in graph.initializer}
    maps = []
    for node in graph.node:
        if node.op_type == "Gemm":
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            weight = values[node.input[1]]
            maps.append(AffineMap((weight if transposed else weight.mT).contiguous(), values[node.input[2]]))
    inner, outer = maps
    return AffineReluAffine(inner, outer)


def image(path: Path, inputs: int) -> Tensor:
    if not path.exists():
        return torch.rand(inputs, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with np.load(path) as data:
        return torch.tensor(data["x_test"][0].reshape(-1) / 255)


def cast(net: AffineReluAffine, dtype: torch.dtype) -> AffineReluAffine:
    inner, outer = (AffineMap(m.weight.to(dtype), m.bias.to(dtype)) for m in (net.inner, net.outer))
    return AffineReluAffine(inner, outer)


def median_ms(call: Callable[[], Tensor]) -> tuple[float, Tensor]:
    result = call()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times)), result


def main() -> None:
    torch.set_num_threads(1)
    arguments = [Path(a) for a in sys.argv[1:]]
    model = arguments[0] if arguments else SHARED / "models/mipverify__RSL18a_linf0.1_784x500x10.onnx"
    double = network(model)
    mu = image(arguments[1] if len(arguments) > 1 else SHARED / "data/mnist.npz", double.inner.weight.shape[1])
    single = cast(double, torch.float32)
    gram = gram_matrix(double.inner)
    methods: dict[str, Callable[[float], Tensor]] = {
        "exact kernel, float64, with Gram": lambda s: output_variance(
            double, GaussianInput(mu, s), gram_matrix(double.inner)
        ),
        "exact kernel, float32, with Gram": lambda s: output_variance(
            single, GaussianInput(mu.float(), s), gram_matrix(single.inner)
        ),
        "exact kernel, float64": lambda s: output_variance(double, GaussianInput(mu, s), gram),
        "Theorem 2, float64": lambda s: theorem2_variance(
            double.outer, pre_activation(double.inner, GaussianInput(mu, s), gram)
        ),
        "Lemma 4, 5 terms, float64": lambda s: lemma4_variance(
            double.outer, pre_activation(double.inner, GaussianInput(mu, s), gram)
        ),
    }
    print(f"{model.name if model.exists() else 'seeded random weights'}; median of {RUNS} runs, one thread")
    print(f"{'':34s}" + "".join(f"{f'sigma {s:g}':>22s}" for s in SIGMAS))
    for name, method in methods.items():
        line = f"{name:34s}"
        for sigma in SIGMAS:
            exact = output_variance(double, GaussianInput(mu, sigma), gram).numpy()
            ms, found = median_ms(lambda s=sigma, f=method: f(s))
            line += f"{ms:9.1f} ms E_r {relative_error(found.double().numpy(), exact).mean():.0e}"
        print(line)


if __name__ == "__main__":
    main()
