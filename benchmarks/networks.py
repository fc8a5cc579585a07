"""Networks of kinds that the sample models do not have, trained for the other benchmarks.

    python benchmarks/networks.py --mnist mnist.npz --cifar cifar10_dev.npz --output FOLDER

Writes resnet.onnx (MNIST: BatchNormalization and residual Adds), gelu.onnx (MNIST: GELU, and Sigmoid in front of the
last layer) and cifar_resnet.onnx (3x32x32). One thread, seeded; the small CIFAR-10 part makes a poor classifier, which
is enough to measure moments on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

SEED = 20260101
BATCH = 128


class Block(nn.Module):
    """Two convolutions with batch normalization, and the way around them."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip
        same = channels == out and stride == 1
        self.around = nn.Identity() if same else nn.Conv2d(channels, out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.around(x))


def resnet(channels: int, width: int) -> nn.Module:
    """Three residual blocks, global average pooling."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        Block(width, width, 1), Block(width, 2 * width, 2), Block(2 * width, 4 * width, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10),
    )  # fmt: skip


def gelu() -> nn.Module:
    """Smooth activations only."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, 2), nn.GELU(), nn.Conv2d(16, 32, 3, 2), nn.GELU(),
        nn.Flatten(), nn.Linear(800, 128), nn.Sigmoid(), nn.Linear(128, 10),
    )  # fmt: skip


def train(network: nn.Module, x: Tensor, y: Tensor, epochs: int) -> nn.Module:
    """Adam under a one-cycle schedule on the cross-entropy."""
    steps = epochs * -(-len(x) // BATCH)
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def export(network: nn.Module, x: Tensor, path: Path) -> None:
    """Batch normalization stays in the file."""
    torch.onnx.export(
        network, (x[:2],), path, input_names=["image"], output_names=["logits"], opset_version=20,
        dynamic_shapes=({0: torch.export.Dim("batch")},), optimize=False, verbose=False, external_data=False,
    )  # fmt: skip


def images(path: Path, part: str, count: int) -> tuple[Tensor, Tensor]:
    """Channels first, in [0, 1]."""
    with np.load(path) as arrays:
        x, y = arrays[f"x_{part}"][:count], arrays[f"y_{part}"][:count]
    x = x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(x)).float() / 255, torch.from_numpy(y).long()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, required=True)
    parser.add_argument("--cifar", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.output.mkdir(parents=True, exist_ok=True)
    made: dict[str, tuple[Callable[[], nn.Module], Path, int, int]] = {
        "resnet": (lambda: resnet(1, 8), given.mnist, 20_000, 2),
        "gelu": (gelu, given.mnist, 20_000, 4),
        "cifar_resnet": (lambda: resnet(3, 8), given.cifar, 2_000, 10),
    }
    for name, (build, path, count, epochs) in made.items():
        torch.manual_seed(SEED)
        x, y = images(path, "train", count)
        network = train(build(), x, y, epochs)
        export(network, x, given.output / f"{name}.onnx")
        test, labels = images(path, "test", 400)
        accuracy = (network(test).argmax(dim=1) == labels).double().mean()
        print(f"{name}.onnx: accuracy {accuracy:.1%} of {len(test)} test images", flush=True)


if __name__ == "__main__":
    main()
