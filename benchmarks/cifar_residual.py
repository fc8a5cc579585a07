"""Certified radii of a residual network with batch normalization on CIFAR-10: how large, how long, how much memory?

    python -m benchmarks.cifar_residual [--images 5] [--crown 1] [--memory 512]

A residual network (8, 16 and 32 channels, three blocks, nine convolutions, seven of them with BatchNormalization, which
stays in the file) is trained on the 2,000 training images of ../shared/data/cifar10_dev.npz, far too few for a good
accuracy, and exported. On test images, for L2 and Linf, unboxed: mean radius by each method over the correctly
classified ones, the mean norm of the nearest example that DeepFool, and in L2 DDN, finds, process seconds an image, and
the largest resident memory of the process so far.
"""

from __future__ import annotations

import argparse
import logging
import resource
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nmcheck.bounds.relaxation.method import operation_count
from nmcheck.checks.bounds_options import BoundsOptions
from nmcheck.checks.bounds_report import bounds
from nmcheck.graph.load import load_graph

DATA = Path(__file__).parents[2] / "shared" / "data" / "cifar10_dev.npz"
EPOCHS, BATCH = 15, 64
ATTACKS = {"2": ("deepfool", "ddn"), "inf": ("deepfool",)}


class Block(nn.Module):
    """Two convolutions and a shortcut, which is a convolution where the shape changes."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        stride = after // before
        self.inner = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after),
        )  # fmt: skip
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(before, after, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.inner(x) + self.shortcut(x))


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), Block(8, 8), Block(8, 16), Block(16, 32),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


def trained(data: Path) -> nn.Module:
    """Adam under one cycle, images mirrored at random."""
    torch.manual_seed(0)
    arrays = np.load(data)
    x = torch.from_numpy(arrays["x_train"]).permute(0, 3, 1, 2).float() / 255
    y = torch.from_numpy(arrays["y_train"].astype(np.int64)).flatten()
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    steps = EPOCHS * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(BATCH):
            mirrored = torch.where(torch.rand(len(rows), 1, 1, 1) < 0.5, x[rows], x[rows].flip(3))
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(mirrored), y[rows]).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def export(model: nn.Module, path: Path) -> None:
    """Unoptimized: the exporter would fold batch normalization away."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            model, (torch.zeros(2, 3, 32, 32),), path, dynamic_shapes=({0: torch.export.Dim("batch")},),
            optimize=False, verbose=False, external_data=False,
        )  # fmt: skip


def gigabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=5, help="for crown-ibp")
    parser.add_argument("--crown", type=int, default=1, help="images for crown; 0 for none")
    parser.add_argument("--memory", type=int, default=512, help="MiB for coefficients")
    parser.add_argument("--data", type=Path, default=DATA)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if not asked.data.exists():
        parser.error(f"{asked.data} is not there; give a .npz of CIFAR-10 with --data")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "residual.onnx"
        export(trained(asked.data), path)
        graph = load_graph(path)
        ops = ", ".join(
            f"{op} {sum(node.op == op for node in graph.nodes)}" for op in ("Conv", "BatchNormalization", "Add")
        )
        print(
            f"{ops}; {operation_count(graph):.1e} operations a crown test; {gigabytes():.2f} GB after training",
            flush=True,
        )
        for method, images in (("crown-ibp", asked.images), ("crown", asked.crown)):
            for norm in ("2", "inf") if images else ():
                start = time.process_time()
                options = BoundsOptions(
                    path, str(asked.data), norm=norm, method=method, samples=images, attacks=ATTACKS[norm],
                    memory=asked.memory,
                )  # fmt: skip
                report = bounds(options)
                assert report.bounds is not None
                entry = report.bounds[0]
                right = sum(one.correct for one in entry.per_sample)
                print(f"\n{entry.norm}, {images} images ({right} correct), up to {method}")
                for name, radius in entry.radius.items():
                    if radius.certified:
                        lowers = radius.mean if radius.mean is not None else radius.mean_reason
                        print(f"  {name:12s} {lowers}")
                uppers = [(one.lower, one.upper) for one in entry.per_sample if one.upper is not None]
                print(f"  examples at  {np.mean([upper for _, upper in uppers]):.5f} (all images)")
                print(f"  lower/upper  {np.mean([(lower or 0) / upper for lower, upper in uppers]):.4f} (all images)")
                seconds = (time.process_time() - start) / images
                print(f"  {seconds:.1f} process seconds an image; {gigabytes():.2f} GB at most so far", flush=True)


if __name__ == "__main__":
    main()
