"""What do variances and means lose to what a bank keeps of A?

    python benchmarks/bank_storage.py [--images 100]

Each storage against `full` in float32, both linearized at the image itself, on MNIST test images and two networks.
Error of a variance: relative, averaged over logits and images. Error of a mean: absolute, in units of the largest of
the image's mean logits. Standard errors over the images are below a tenth of the figures.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from nmcheck.affine import AffineMap
from nmcheck.checks.bank_build import bank_header
from nmcheck.checks.bank_options import BankOptions
from nmcheck.checks.case import open_case
from nmcheck.checks.cut import choose_cut
from nmcheck.linearize.bank.content import decode_inner
from nmcheck.linearize.bank.header import Arithmetic
from nmcheck.linearize.bank.make import PointMaker
from nmcheck.linearize.bank.storage import parse_storage
from nmcheck.moments.summary import Summary, summary_covariance, summary_mean

MODELS = Path(__file__).parents[1] / "sample_models"
STORAGES = ["gram float32", "gram float16", "full float16", "low-rank:128 float16", "low-rank:64 float16",
            "low-rank:64 float32", "low-rank:32 float16", "low-rank:16 float16"]  # fmt: skip
SIGMAS = (0.05, 0.1, 0.3)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--images", type=int, default=100)
    chosen = arguments.parse_args()
    torch.set_num_threads(1)
    for name in ("lenet.onnx", "lenet_relu3.onnx"):
        measure(name, chosen.images)


def measure(name: str, images: int) -> None:
    options = BankOptions(MODELS / name, "mnist", Path("unused"), images, samples=images, store="full", dtype="float32")
    case = open_case(options.case)
    cut = choose_cut(case.graph, "last")
    assert cut is not None
    maker = PointMaker(case.graph, cut.name)
    how = Arithmetic("onednn", sparse_head=True, chunk=128, holds_matrix=True, threads=1, torch=torch.__version__)
    header = bank_header(case, options, cut, maker, how)
    errors: dict[tuple[str, float], list[tuple[float, float]]] = {}
    sizes = {"full float32": header.bytes_per_point}
    constants = maker.constants(header, case.pixels[0].ravel())
    before = case.double.function(case.graph.input, cut.inputs[0])
    for index, (pixels, image) in enumerate(zip(case.pixels, case.images, strict=True)):
        units = before(image).flatten()
        outer = AffineMap(torch.from_numpy(constants["outer"]).double(), torch.from_numpy(constants["bias"]))

        def moments(text: str) -> dict[float, tuple[np.ndarray, np.ndarray]]:
            store = replace(header, storage=parse_storage(*text.split()))
            sizes[text] = store.bytes_per_point
            inner = decode_inner(maker.make(store, index, pixels.ravel()), store)  # noqa: B023
            summary = Summary(units, inner.gram, outer)  # noqa: B023
            return {
                sigma: (summary_mean(summary, sigma).numpy(), summary_covariance(summary, sigma).diagonal().numpy())
                for sigma in SIGMAS
            }

        truth = moments("full float32")
        for text in STORAGES:
            for sigma, (mean, variance) in moments(text).items():
                exact_mean, exact_variance = truth[sigma]
                errors.setdefault((text, sigma), []).append(
                    (
                        float(np.abs(variance / exact_variance - 1).mean()),
                        float(np.abs(mean - exact_mean).max() / np.abs(exact_mean).max()),
                    )
                )
    print(f"\n{name}, {images} images, p = {header.p}, n = {header.n}\n")
    heads = [f"variance, sigma {sigma} | mean, sigma {sigma}" for sigma in SIGMAS]
    print("| kept | bytes a point | " + " | ".join(heads) + " |")
    print("|---|---|" + "---|---|" * len(SIGMAS))
    for text in ["full float32", *STORAGES]:
        cells = [np.mean(errors[text, sigma], axis=0) if text in STORAGES else np.zeros(2) for sigma in SIGMAS]
        print(f"| {text} | {sizes[text]:,} | " + " | ".join(f"{v:.1e} | {m:.1e}" for v, m in cells) + " |")


if __name__ == "__main__":
    main()
