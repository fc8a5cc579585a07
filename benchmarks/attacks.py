"""How near do the attacks come, and what do they cost, on two small networks?

    python benchmarks/attacks.py [--images 100] [--seeds 3] [--slow]

Trains an MLP 784-256-256-10 and a LeNet (6 and 16 kernels of 5x5, 120, 84, ReLU and max-pooling) on 5,000 of the 10,000
MNIST images that come with the package, plain Adam, no regularisation, and attacks correctly classified ones of the
other 5,000. Every example is checked in onnxruntime on the exported file. Per norm, box and attack: mean norm, mean
over the images of norm / best norm of DDN, DeepFool, PGD-bisection and FGS, its standard error over images and seeds
together, its largest value, how many images it failed for, and processor seconds an image on one thread. --slow adds
L-BFGS on the first ten images.
"""

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nmcheck.checks.adversarial import Box, NormName
from nmcheck.checks.attacks import ATTACKS, attack_uppers
from nmcheck.checks.case import Case, open_case
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.data import read_data
from nmcheck.execute.session import ReferenceSession

TRAINING, EPOCHS, BATCH = 5000, 15, 64
COMPARED = ("fgs", "deepfool", "ddn", "pgd")
SETTINGS: tuple[tuple[NormName, Box | None], ...] = (
    ("l2", None), ("l2", (0.0, 1.0)), ("linf", None), ("linf", (0.0, 1.0)),
)  # fmt: skip

Runs = dict[str, np.ndarray]


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
    )


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def train(build: Callable[[], nn.Module], x: Tensor, y: Tensor, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = build()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimizer.step()
    return network.eval()


def trained_case(build: Callable[[], nn.Module], seed: int, images: int, folder: Path) -> tuple[Case, float]:
    """A trained network as a case of correctly classified held-out images, and its held-out accuracy."""
    data = read_data("mnist", None)
    assert data.labels is not None
    order = np.random.default_rng(seed).permutation(len(data))
    x = torch.from_numpy(data.pixels(order)).float().reshape(-1, 1, 28, 28)
    y = torch.from_numpy(data.labels[order])
    network = train(build, x[:TRAINING], y[:TRAINING], seed)
    with torch.no_grad():
        correct = network(x[TRAINING:]).argmax(1) == y[TRAINING:]
    chosen = order[TRAINING:][torch.nonzero(correct).flatten()[:images].numpy()]
    path, held_out = folder / f"{build.__name__}_{seed}.onnx", folder / f"held_out_{build.__name__}_{seed}.npz"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(2, 1, 28, 28),),
            path,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
            external_data=False,
        )
    np.savez(held_out, x=data.images[chosen], y=data.labels[chosen])
    options = AnalyzeOptions(model=path, data=str(held_out), samples=len(chosen), device="cpu")
    return open_case(options), float(correct.double().mean())


def measure(case: Case, norm: NormName, box: Box | None, names: tuple[str, ...]) -> Runs:
    """Norms by attack, and the seconds an image as ``NAME seconds``."""
    session = ReferenceSession(case.file_graph, threads=1)
    found = {}
    for name in names:
        start = time.process_time()
        found[name] = attack_uppers(case, session, norm, box, attacks=(name,)).nearest.norms
        found[f"{name} seconds"] = np.array([(time.process_time() - start) / len(case.pixels)])
    return found


def table(title: str, runs: list[Runs], names: tuple[str, ...]) -> None:
    print(
        f"\n{title}\n{'attack':10} {'mean norm':>9} {'/ best':>8} {'+-':>7} {'largest':>8} {'failed':>7} {'s/image':>9}"
    )
    joined = {key: np.concatenate([run[key] for run in runs]) for key in runs[0]}
    best = np.min([joined[name] for name in COMPARED if name in joined], axis=0)
    for name in names:
        norms, reference = joined[name], best[: len(joined[name])]
        ratio = (norms / reference)[np.isfinite(norms)]
        error = ratio.std(ddof=1) / len(ratio) ** 0.5
        print(
            f"{name:10} {norms[np.isfinite(norms)].mean():9.4f} {ratio.mean():8.4f} {error:7.4f} {ratio.max():8.3f} "
            f"{int(np.isinf(norms).sum()):7d} {joined[f'{name} seconds'].mean():9.5f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--slow", action="store_true")
    asked = parser.parse_args()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for build in (mlp, lenet):
            cases = [trained_case(build, seed, asked.images, Path(folder)) for seed in range(asked.seeds)]
            accuracies = ", ".join(f"{accuracy:.1%}" for _, accuracy in cases)
            print(f"\n{build.__name__}: held-out accuracy {accuracies} (seeds 0 to {asked.seeds - 1})")
            for norm, box in SETTINGS:
                names = tuple(name for name in ATTACKS[norm] if name != "lbfgs")
                runs = [measure(case, norm, box, names) for case, _ in cases]
                where = "unboxed" if box is None else "in [0, 1]"
                table(f"{build.__name__}, {norm}, {where}, {asked.images} images x {asked.seeds} seeds", runs, names)
                if asked.slow and norm == "l2":
                    few = [case for case, _ in cases[:1]]
                    first = [narrowed(case, 10) for case in few]
                    names = (*COMPARED, "lbfgs")
                    runs = [measure(case, norm, box, names) for case in first]
                    table(f"{build.__name__}, {norm}, {where}, the first 10 images of seed 0", runs, names)


def narrowed(case: Case, images: int) -> Case:
    """The first images of a case."""
    return open_case(
        AnalyzeOptions(
            model=Path(case.file_graph.model.path), data=case.dataset.name, samples=min(images, len(case.pixels))
        )
    )


if __name__ == "__main__":
    main()
