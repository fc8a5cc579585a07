"""What does a bank cost to build, to keep and to serve?

    python benchmarks/bank_build.py [-k 250] [--serve 200]

Builds a bank of `sample_models/lenet.onnx` on the 10,000 MNIST test images in one thread, and serves images of the
training set from it. Processor time, so that other programs do not count; the limit is that of the matrix products a
linearization cannot do without, at the rate a large product reaches on this machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from nmcheck.checks.bank_build import build_bank, plan_bank
from nmcheck.checks.bank_engine import BankEngine
from nmcheck.checks.bank_options import BankOptions
from nmcheck.checks.case import open_case
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.linearize.bank.serve import BankServer
from nmcheck.linearize.bank.store import BankFile
from nmcheck.moments.gaussian import GaussianInput

MODEL = Path(__file__).parents[1] / "sample_models" / "lenet.onnx"
FLOPS = 1.89e9
"""Of LeNet's 500 rows pulled back, its Gram matrix included: convolutions and dense layers, two a multiplication."""


class Clock:
    """Remembers what each stage took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        start = time.process_time()
        yield lambda _steps: None
        self.seconds[title] = time.process_time() - start


def sgemm_rate() -> float:
    """Floating-point operations a second of a large single-precision product, the best of 5."""
    a = torch.randn(2048, 2048)
    times = []
    for _ in range(6):
        start = time.process_time()
        torch.mm(a, a)
        times.append(time.process_time() - start)
    return 2 * 2048**3 / min(times[1:])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("-k", type=int, default=250)
    arguments.add_argument("--serve", type=int, default=200)
    arguments.add_argument("--data", default="mnist:train")
    chosen = arguments.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path, clock = Path(folder) / "bank.h5", Clock()
        plan = plan_bank(BankOptions(MODEL, "mnist", path, chosen.k))
        build_bank(plan, clock)
        rate = sgemm_rate()
        a_point = clock.seconds["Linearizations"] / chosen.k
        print(f"k-means {clock.seconds['Choice of the points']:.2f} s; {plan.preview}")
        print(
            f"{1e3 * a_point:.1f} ms a point ({1 / a_point:.1f} a second), estimated "
            f"{1e3 * plan.preview.seconds_per_point:.1f}; limit {1e3 * FLOPS / rate:.1f} ms at "
            f"{rate / 1e9:.0f} GFLOP/s; {path.stat().st_size / chosen.k:,.0f} bytes a point"
        )
        throughput(path)
        serving(path, chosen.data, chosen.serve)


def throughput(path: Path) -> None:
    """Writing and reading of the points alone."""
    with BankFile(path, "r+") as file:
        indices = range(file.header.points)
        start = time.perf_counter()
        kept = [file.read(index) for index in indices]
        read = time.perf_counter() - start
        size = sum(array.nbytes for content in kept for array in content.values())
        start = time.perf_counter()
        for index in indices:
            file.write(index, kept[index])
        written = time.perf_counter() - start
    print(f"read {size / read / 1e6:.0f} MB/s, written {size / written / 1e6:.0f} MB/s, checksums and flushes included")


def serving(path: Path, data: str, images: int) -> None:
    """Mean and variance of images that the bank has not seen."""
    case = open_case(AnalyzeOptions(MODEL, data, samples=images, device="cpu"))
    with BankFile(path) as file:
        engine = BankEngine(BankServer(file, case.graph), case, str(path))
        for sigma in (0.05, 0.1, 0.3):
            times = []
            for row, image in enumerate(case.images):
                engine.forget()
                start = time.process_time()
                engine.moments(row, GaussianInput(image.flatten(), sigma))
                times.append(time.process_time() - start)
            times.sort()
            print(
                f"sigma {sigma}: {1e3 * sum(times) / len(times):.1f} ms an image for mean and covariance "
                f"(median {1e3 * times[len(times) // 2]:.1f}), {images} images of {data}"
            )


if __name__ == "__main__":
    main()
