"""Train the sample networks on MNIST and export each to ONNX.

    python sample_models/build.py --data ../shared/data/mnist.npz:train
    python sample_models/build.py --data ../shared/data/mnist.npz:train --only lenet --only mlp
    python sample_models/build.py --data ../shared/data/mnist.npz:train --only lenet-moments --output /tmp
    python sample_models/build.py --table       (README.md anew, from the files that are there)

Every network sees pixels in [0, 1] (``nmcheck.scale = unit``, written into the file's ``metadata_props``) and the full
60,000 training images. Training is seeded and single-threaded, so one machine gives the same weights each time; another
processor may round differently, which is why the trained files are committed and their sha256 is in README.md.

``lenet-moments`` is the moment papers' own LeNet (32/64/1024). Its file is 13 MB and therefore not committed.
"""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

SEED = 20260101
EPOCHS = 8
BATCH = 128
PEAK_LEARNING_RATE = 2e-3
OPSET = 20
CLASSES = 10

LRN = {"size": 5, "alpha": 1.0, "beta": 0.75, "k": 1.0}
"""Caffe's defaults, as in section 5.4.1 of Peck's thesis (``k`` is ONNX's ``bias``)."""


def lenet(first: list[nn.Module] | None = None, second: list[nn.Module] | None = None) -> nn.Module:
    """Caffe's LeNet, the network of the papers: one ReLU, after the 500 units.

    Args:
        first: layers put after the first max-pooling.
        second: layers put after the second max-pooling.
    """
    return nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), *(first or []),
        nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), *(second or []),
        nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, CLASSES),
    )  # fmt: skip


def lenet_bn() -> nn.Module:
    """LeNet with batch normalization after each convolution."""
    return nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.BatchNorm2d(20), nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5), nn.BatchNorm2d(50), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, CLASSES),
    )  # fmt: skip


def lenet_relu(first: int, second: int, hidden: int) -> nn.Module:
    """LeNet with padded convolutions and a ReLU after each pooling: three cuts."""
    return nn.Sequential(
        nn.Conv2d(1, first, 5, padding=2), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(first, second, 5, padding=2), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(second * 7 * 7, hidden), nn.ReLU(), nn.Linear(hidden, CLASSES),
    )  # fmt: skip


def mlp() -> nn.Module:
    """784-256-256-10 with ReLU."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, CLASSES)
    )


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "lenet": lenet,
    "lenet_bn": lenet_bn,
    "lenet_lrn1": lambda: lenet(first=[nn.LocalResponseNorm(**LRN)]),
    "lenet_lrn2": lambda: lenet(second=[nn.LocalResponseNorm(**LRN)]),
    "lenet_lrn3": lambda: lenet(first=[nn.LocalResponseNorm(**LRN)], second=[nn.LocalResponseNorm(**LRN)]),
    "lenet_relu3": lambda: lenet_relu(16, 32, 256),
    "mlp": mlp,
}
UNCOMMITTED: dict[str, Callable[[], nn.Module]] = {"lenet-moments": lambda: lenet_relu(32, 64, 1024)}


def read_training_set(spec: str) -> tuple[Tensor, Tensor]:
    """``FILE.npz:train`` as float images in [0, 1], shape (N, 1, 28, 28), and integer labels (N,)."""
    path, _, split = spec.rpartition(":") if spec.endswith((":train", ":test")) else (spec, ":", "train")
    with np.load(path) as arrays:
        images, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
    return torch.from_numpy(images).float().div(255).unsqueeze(1), torch.from_numpy(labels).long()


def train(build: Callable[[], nn.Module], images: Tensor, labels: Tensor, epochs: int = EPOCHS) -> nn.Module:
    """Adam under a one-cycle schedule on the cross-entropy; returns the network in inference mode."""
    torch.manual_seed(SEED)
    network = build()
    steps = (len(images) + BATCH - 1) // BATCH
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LEARNING_RATE, total_steps=epochs * steps)
    for epoch in range(epochs):
        total = 0.0
        for rows in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(images[rows]), labels[rows])
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        print(f"  epoch {epoch + 1}/{epochs}: training loss {total / len(images):.5f}", flush=True)
    return network.eval()


def export(network: nn.Module, path: Path) -> None:
    """Write ``network`` with torch's default exporter, its input scale in ``metadata_props``.

    The exporter's optimizer folds batch normalization into the convolution before it, and nmcheck's reports are about
    those layers, so a network that has them is exported without it.
    """
    keeps_normalization = any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    program = torch.onnx.export(
        network,
        (torch.zeros(2, 1, 28, 28),),
        input_names=["image"],
        output_names=["logits"],
        opset_version=OPSET,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        optimize=not keeps_normalization,
        verbose=False,
    )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    model = program.model_proto
    for value in (*model.graph.value_info, *model.graph.node):
        # The exporter notes source lines and stack traces of the machine it ran on: not part of a model.
        del value.metadata_props[:]
    model.metadata_props.add(key="nmcheck.scale", value="unit")
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def describe(path: Path) -> str:
    """A row of README.md: what nmcheck's own loader and onnxruntime say of the file."""
    from nmcheck.data import read_data
    from nmcheck.execute.session import ReferenceSession
    from nmcheck.graph.cuts import relu_cuts
    from nmcheck.graph.load import load_graph

    graph = load_graph(path)
    test_set = read_data("mnist", None)
    pixels = test_set.pixels(np.arange(len(test_set)))[:, None].astype(np.float32)
    logits = ReferenceSession(graph).run(pixels).reshape(len(pixels), CLASSES)
    correct = logits.argmax(axis=1) == test_set.labels
    model = onnx.load(path)
    parameters = sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer if tensor.data_type == 1)
    operators = ", ".join(f"{op} {count}" for op, count in Counter(node.op_type for node in model.graph.node).items())
    cuts = ", ".join(f"`{node.name}`" for node in relu_cuts(graph))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return (
        f"| `{path.name}` | {correct.mean():.2%} | {parameters:,} | {operators} | "
        f"{len(relu_cuts(graph))}: {cuts} | `{digest}` |"
    )


def write_table(folder: Path) -> None:
    """README.md of the sample models."""
    rows = "\n".join(describe(folder / f"{name}.onnx") for name in NETWORKS)
    (folder / "README.md").write_text(TABLE.format(rows=rows, epochs=EPOCHS, seed=SEED, torch=torch.__version__))


TABLE = """# Sample models

Written by `build.py --table`; a test compares every sha256.

Each network was trained by `build.py` on the full 60,000 MNIST training images (Adam, one cycle of {epochs} epochs,
seed {seed}, one thread, torch {torch}) and exported with torch's default exporter. Accuracy is onnxruntime's on all
10,000 MNIST test images. Pixels are in [0, 1]; each file says so in its `metadata_props` (`nmcheck.scale = unit`).

| file | test accuracy | parameters | operators in the file | cuts | sha256 |
|---|---|---|---|---|---|
{rows}

- `lenet.onnx` is the papers' LeNet (Caffe's): conv 20@5x5, max-pool, conv 50@5x5, max-pool, 500, ReLU, 10.
- `lenet_bn.onnx` has a BatchNormalization after each convolution, kept in the file (the exporter folds them unless
  told not to).
- `lenet_lrn1/2/3.onnx` are the variants of section 5.4.1 of Peck's thesis: LRN (size 5, alpha 1, beta 0.75, bias 1)
  after the first pooling, the second, both. torch's exporter writes LRN out as seven operators; nmcheck recognises
  them.
- `lenet_relu3.onnx`: conv 16@5x5 pad 2, max-pool, ReLU, conv 32@5x5 pad 2, max-pool, ReLU, 256, ReLU, 10.
- `mlp.onnx`: 784-256-256-10.
- `lenet-moments` (not committed: 13 MB) is the moment papers' LeNet, 32/64/1024; `build.py --only lenet-moments`
  makes it.

Training data and the test images inside the package: the MNIST database of handwritten digits by Yann LeCun, Corinna
Cortes and Christopher J. C. Burges, licensed CC BY-SA 3.0. The models are part of nmcheck (Apache-2.0).
"""


def main() -> None:
    """Parse the command line, then train and export the networks asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="training images: FILE.npz:train")
    parser.add_argument("--table", action="store_true", help="write README.md from the files instead of training")
    parser.add_argument("--only", action="append", choices=[*NETWORKS, *UNCOMMITTED], help="build just this network")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the .onnx files")
    arguments = parser.parse_args()
    if arguments.table:
        write_table(arguments.output)
        return
    if arguments.data is None:
        parser.error("--data is needed to train")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    images, labels = read_training_set(arguments.data)
    builders = NETWORKS | UNCOMMITTED
    for name in arguments.only or NETWORKS:
        print(name, flush=True)
        export(train(builders[name], images, labels), arguments.output / f"{name}.onnx")


if __name__ == "__main__":
    main()
