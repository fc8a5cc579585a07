"""How near do certified L2 radii come to the nearest adversarial example, and what do they cost?

Two networks, a dense 784-256-256-10 and a LeNet (6 and 16 channels, max pooling, 120, 84), are trained on the first
5,000 MNIST training images without regularisation, for three seeds. On the first correctly classified test images the
certified radius is divided by the norm of the best adversarial example that DDN finds (1,000 small and 300 larger
steps, in float64). The table gives the mean of that quotient (tightness), its standard error over images, the mean
radius, process seconds an image on one thread with its share of what is computed once for the network, and on how many
images the certified radius exceeds the adversarial norm (there must be none). A radius is the best of what all methods
up to its own prove, and its time is theirs together.

    python -m benchmarks.radius [--images 100] [--seeds 0 1 2] [--optimize 20]
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nmcheck.bounds.affine_run import LayerConstants
from nmcheck.bounds.pair_radius import PairRadii
from nmcheck.bounds.relaxation.radius import Images, RelaxedRadii
from nmcheck.bounds.relaxation.relaxation import Relaxation
from nmcheck.data import read_data
from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph
from nmcheck.linearize.steps import network_of

TRAINING = 5000
SHARED = [parent / "shared" / "data" / "mnist.npz" for parent in Path(__file__).parents]
EPOCHS = {"mlp": 10, "lenet": 15}
TOGETHER = {"mlp": 20, "lenet": 4}
"""Images bounded at a time."""


def network(kind: str) -> nn.Sequential:
    if kind == "mlp":
        return nn.Sequential(
            nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
        )
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def mnist() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and test images and labels, from the shared folder if there is one, else downloaded."""
    shared = [path for path in SHARED if path.exists()]
    if shared:
        arrays = np.load(shared[0])
        parts = [arrays[name] for name in ("x_train", "y_train", "x_test", "y_test")]
        x, y, x_test, y_test = parts[0] / 255.0, parts[1], parts[2] / 255.0, parts[3]
    else:
        train, test = read_data("mnist:train", None), read_data("mnist", None)
        assert train.labels is not None
        x, y = train.pixels(np.arange(TRAINING)), train.labels
        assert y is not None
        x_test, y_test = test.pixels(np.arange(len(test))), test.labels
        assert y_test is not None
    shape = (-1, 1, 28, 28)
    return (
        torch.from_numpy(np.asarray(x[:TRAINING], dtype=np.float64)).reshape(shape),
        torch.from_numpy(np.asarray(y[:TRAINING], dtype=np.int64)),
        torch.from_numpy(np.asarray(x_test, dtype=np.float64)).reshape(shape),
        torch.from_numpy(np.asarray(y_test, dtype=np.int64)),
    )


def train(kind: str, seed: int, x: Tensor, y: Tensor) -> nn.Sequential:
    """Adam with its defaults, batches of 64."""
    torch.manual_seed(seed)
    model = network(kind)
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(EPOCHS[kind]):
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows].float()), y[rows]).backward()
            optimizer.step()
    return model


def decoupled(model: nn.Module, x: Tensor, y: Tensor, steps: int, gamma: float) -> Tensor:
    """DDN (Rony et al. 2019), unboxed: norms of the smallest adversarial changes met, infinite where none was."""
    delta, epsilon = torch.zeros_like(x), torch.ones(len(x), dtype=x.dtype)
    best = torch.full_like(epsilon, torch.inf)
    own = nn.functional.one_hot(y, 10).bool()
    for step in range(steps):
        delta.requires_grad_()
        logits = model(x + delta)
        others = logits.masked_fill(own, -torch.inf)
        chosen = logits[own]
        fooled = others.amax(dim=1) > chosen
        norm = delta.detach().flatten(1).norm(dim=1)
        best = torch.where(fooled & (norm < best), norm, best)
        (slope,) = torch.autograd.grad((torch.logsumexp(others, dim=1) - chosen).sum(), delta)
        slope = slope / slope.flatten(1).norm(dim=1).clamp(min=1e-12).reshape(-1, 1, 1, 1)
        rate = 0.01 + 0.5 * 0.99 * (1 + math.cos(math.pi * step / steps))
        epsilon = torch.where(fooled, torch.minimum(epsilon * (1 - gamma), best), epsilon * (1 + gamma))
        moved = delta.detach() + rate * slope
        delta = moved * (epsilon / moved.flatten(1).norm(dim=1).clamp(min=1e-12)).reshape(-1, 1, 1, 1)
    return best


@dataclass(frozen=True)
class Row:
    """One method's figures on one network."""

    method: str
    radii: Tensor
    seconds: float


def measured(path: Path, x: Tensor, together: int, optimize: int) -> Iterator[Row]:
    """The methods in turn, each starting from what the one before has proven."""
    start = time.process_time()
    graph = load_graph(path)
    program = Program(graph, torch.float64)
    constants = LayerConstants(graph, program)
    x = x.reshape(-1, *graph.shapes[graph.input])
    known = PairRadii(constants).at(x)
    yield Row("lipschitz", known.amin(dim=1), time.process_time() - start)
    relaxation = Relaxation(graph, program, network_of(program), constants)
    logits = program(x)
    stages = {
        "crown-ibp": RelaxedRadii(relaxation, tighten=False),
        "crown": RelaxedRadii(relaxation, tighten=True),
    }
    if optimize:
        stages["crown-optimized"] = RelaxedRadii(relaxation, tighten=True, optimize=optimize)
    for name, radii in stages.items():
        rows = torch.arange(len(x)).split(together)
        known = torch.cat([radii.at(Images(x[part], logits[part], 2.0), known[part]) for part in rows])
        yield Row(name, known.amin(dim=1), time.process_time() - start)


def report(kind: str, seed: int, images: int, optimize: int) -> dict[str, tuple[float, float]]:
    x, y, x_test, y_test = mnist()
    model = train(kind, seed, x, y).eval()
    with torch.no_grad():
        right = model(x_test.float()).argmax(dim=1) == y_test
    chosen = right.nonzero().squeeze(1)[:images]
    double = model.double()
    start = time.process_time()
    attacks = [decoupled(double, x_test[chosen], y_test[chosen], *how) for how in ((1000, 0.01), (300, 0.05))]
    upper = torch.stack(attacks).amin(dim=0)
    seconds = (time.process_time() - start) / images
    print(
        f"\n{kind}, seed {seed}: accuracy {100 * right.double().mean():.1f} %, {len(chosen)} images, "
        f"best adversarial example at {upper.mean():.4f} ({seconds:.3f} s)"
    )
    print(f"{'method':16s} {'tightness':>9s} {'se':>6s} {'mean radius':>11s} {'s/image':>8s}  violations", flush=True)
    found: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export(model.float(), path)
        for row in measured(path, x_test[chosen], TOGETHER[kind], optimize):
            ratio = row.radii / upper
            spread = ratio.std().item() / math.sqrt(len(ratio))
            each = row.seconds / len(chosen)
            wrong = int((row.radii > upper).sum())
            print(
                f"{row.method:16s} {ratio.mean():9.4f} {spread:6.4f} {row.radii.mean():11.4f} {each:8.4f}  {wrong}",
                flush=True,
            )
            found[row.method] = ratio.mean().item(), each
    return found


def export(model: nn.Module, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        axes = {"image": {0: "N"}, "logits": {0: "N"}}
        torch.onnx.export(
            model, (torch.zeros(1, 1, 28, 28),), path, dynamo=False, input_names=["image"], output_names=["logits"],
            dynamic_axes=axes,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--optimize", type=int, default=0)
    parser.add_argument("--networks", nargs="+", default=["mlp", "lenet"], choices=list(EPOCHS))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for kind in asked.networks:
        found = [report(kind, seed, asked.images, asked.optimize) for seed in asked.seeds]
        print(f"\n{kind}, mean of {len(found)} seeds")
        for method in found[0]:
            tightness, seconds = (sum(one[method][k] for one in found) / len(found) for k in range(2))
            print(f"{method:16s} {tightness:9.4f} {seconds:8.4f} s/image", flush=True)


if __name__ == "__main__":
    sys.exit(main())
