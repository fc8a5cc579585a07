"""What does a bank of a network of AlexNet's size take?

    python -m benchmarks.bank_alexnet [--rank 64]

The light AlexNet of the onnx package, given random weights, at its fc7 (p = 4,096, n = 150,528), one point: nmcheck as
a user runs it, with ``--store full`` and ``gram``, which are refused, and ``low-rank``. Seconds and peak memory are
those of the whole process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from imagenet_models import with_random_weights  # pyright: ignore[reportMissingImports]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rank", type=int, default=64)
    rank = arguments.parse_args().rank
    with tempfile.TemporaryDirectory() as folder:
        model, data, bank = (str(Path(folder) / name) for name in ("alexnet.onnx", "images.npz", "bank.h5"))
        onnx.save(with_random_weights("bvlc_alexnet"), model)
        np.savez(data, x=np.random.default_rng(0).random((2, 3, 224, 224), dtype=np.float32))
        for store in ("full", "gram", f"low-rank:{rank}"):
            print(f"\n--store {store}", flush=True)
            nmcheck("bank", "build", model, "--data", data, "-k", "1", "-o", bank, "--store", store)
        nmcheck("bank", "info", bank)


def nmcheck(*words: str) -> None:
    """Run a command, and say its exit code, time and peak memory."""
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-m", "nmcheck", *words])
    _, status, used = os.wait4(child.pid, 0)
    print(
        f"exit code {os.waitstatus_to_exitcode(status)}, {time.perf_counter() - start:.0f} s, "
        f"{used.ru_utime + used.ru_stime:.0f} s of processor time, peak {used.ru_maxrss / 1e6:.2f} GB",
        flush=True,
    )


if __name__ == "__main__":
    main()
