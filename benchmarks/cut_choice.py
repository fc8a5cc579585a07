"""Around which ReLU is a network linearized best? Table 1 of the extension paper as one table.

    python benchmarks/cut_choice.py [--images N] [--draws N] [--linearizer taylor|averaged] [MODEL.onnx ...]

Prints for each network, for every ReLU and noise level, what the linearized network M misses of the way by which noise
moves the network's logits R: sqrt(mean |M(x + e) - R(x + e)|^2 / mean |R(x + e) - R(x)|^2), averaged over MNIST test
images, with its standard error; the same draws for all ReLUs. Below it the plain distance |M(x + e) - R(x + e)|, which
is what the paper's table has. One thread. MODEL defaults to sample_models/lenet_relu3.onnx; the papers' own LeNet is
built by

    python sample_models/build.py --only lenet-moments
"""

from __future__ import annotations

import argparse
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nmcheck.data import read_data, select
from nmcheck.execute.program import Program
from nmcheck.graph.cuts import cut_points
from nmcheck.graph.load import load_graph
from nmcheck.linearize.budget import budget_refusal
from nmcheck.linearize.linearizer import LINEARIZERS

SIGMAS = (0.01, 0.05, 0.1, 0.3)
PAIRS = 8
"""Draws that the averaged linearizer takes, apart from those that the error is measured with."""
SAMPLES = Path(__file__).parents[1] / "sample_models"


def table(path: Path, kind: str, images: int, draws: int) -> None:
    """Measure and print."""
    graph = load_graph(path)
    program = Program(graph, torch.float64)
    data = read_data("mnist", None)
    pixels = data.pixels(select(data, images, 0))
    shape = graph.shapes[graph.input]
    batch = torch.from_numpy(pixels).double().reshape(-1, *shape)
    print(f"{path.name}, {kind}, {images} images, {draws} draws")
    print(f"{'ReLU':24s}{'kind':5s}{'units':>7s}{'A, GiB':>8s}" + "".join(f"{f'sigma {s:g}':>18s}" for s in SIGMAS))
    for point in cut_points(graph):
        node = point.node
        units, inputs = prod(graph.shapes[node.outputs[0]]), prod(shape)
        line = f"{node.name:24s}{point.kind:5s}{units:7,d}{8 * units * inputs / 2**30:8.3f}"
        if budget_refusal(graph, node) is not None:
            print(f"{line}   over the memory budget")
            continue
        linearizer = LINEARIZERS[kind](program, node)
        plain = ""
        for sigma in SIGMAS:
            relative, distances = [], []
            for row, image in enumerate(batch):
                noise = torch.Generator().manual_seed(row)
                around, noisy = (
                    sigma * torch.randn(n, *shape, generator=noise, dtype=torch.float64) for n in (PAIRS, draws)
                )
                there = program(image + noisy)
                missed = _distance(linearizer.outputs(image, around, image + noisy), there)
                distances.append(missed)
                relative.append(missed / _distance(there, program(image[None])))
            error = np.std(relative, ddof=1) / np.sqrt(len(relative))
            line += f"{f'{np.mean(relative):.3f} ± {error:.3f}':>18s}"
            plain += f"{np.mean(distances):18.4f}"
        print(line)
        print(f"{'  distance':44s}{plain}", flush=True)
    print()


def _distance(some: Tensor, others: Tensor) -> float:
    return float((some - others).square().sum(dim=1).mean().sqrt())


def main() -> None:
    """Read the command line."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("models", type=Path, nargs="*", default=[SAMPLES / "lenet_relu3.onnx"], metavar="MODEL.onnx")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--draws", type=int, default=64)
    parser.add_argument("--linearizer", choices=tuple(LINEARIZERS), default="taylor")
    options = parser.parse_args()
    for model in options.models:
        table(model, options.linearizer, options.images, options.draws)


if __name__ == "__main__":
    main()
