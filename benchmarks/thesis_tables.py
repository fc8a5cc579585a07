"""Tables 3.1, 4.2 and 4.3 and the LeNet-5 rows of Tables 5.1 and 5.2 of Peck's thesis, made again.

    python -m benchmarks.thesis_tables [--images 1000] [--seed 0]

``published`` is what the thesis prints, ``ours`` the same experiment with its own formulas and attack: the deviation is
the L2 norm of the change that fast gradient sign finds, with the gradient of the softmax loss and the least step by
bisection (Algorithm 2.1, with the search mended so that it ends and tests what it returns), less the theoretical bound;
epsilon goes up to M (Algorithm 2.1 as printed returns M if it fails).
Its networks, data splits and seeds are not known, so figures agree in size at best. Lines marked "erratum" correct the
experiment as docs/errata.md says: the exact distance instead of FGS for linear classifiers, the true bound on tanh''
(Table 4.1 prints half of it), DDN instead of FGS as the nearest change known, the certified bound instead of Theorem
4.2 and Algorithm 5.1. ``violations`` counts bounds above the norm of a change that alters the class.

Tables 3.1 and 4.2 draw classifiers and samples as the thesis says. It names neither M nor Table 4.2's activation. M is
half the samples' interval in Table 3.1, with biases; no reading tried gives that table (docs/radii.md). For Table 4.2
logistic sigmoids without biases, M = 1 in every row and failed searches left out is the reading, of those tried (tanh,
ReLU, sigmoid; with and without biases; M from 0.5 to 2 or the samples' interval), that gives all eight rows; M = 1 fits
Table 4.3, too. The parameters of rows 5 to 7 of Table 4.2 are hard to read in the copy used: units 30, 10 and 20,
classes 5, 50 and 5 are ours. The standard error of a mean is over the networks, since samples of one network go
together.

Table 4.3 needs ../shared/data/spambase.npz for its last row; the bounds are on the held-out 20 %.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import sklearn.datasets  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch import Tensor, nn

from nmcheck.attacks.ddn import ddn
from nmcheck.attacks.fast_gradient import fgs
from nmcheck.attacks.norms import Norm
from nmcheck.attacks.problem import Problem
from nmcheck.bounds.network import network_bounds
from nmcheck.bounds.published.theorem_3_6 import theorem_3_6
from nmcheck.bounds.published.theorem_4_2 import algorithm_4_1, jacobian_norm, slopes, theorem_4_2
from nmcheck.checks.attacks import groups
from nmcheck.checks.case import open_case
from nmcheck.checks.options import AnalyzeOptions

ROOT = Path(__file__).parents[1]
SPAMBASE = ROOT.parent / "shared" / "data" / "spambase.npz"
HALVINGS = 60
TANH_ERRATUM = 2.0
"""The true bound on tanh'' over Table 4.1's; with tanh alone M is proportional to it."""

ACTIVATIONS = {"Tanh": torch.tanh, "Sigmoid": torch.sigmoid}

Logits = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Draw:
    """A row of Table 3.1 or 4.2 and what the thesis found: mean, median, standard deviation."""

    networks: int
    samples: int
    inputs: int
    hidden: tuple[int, ...]
    classes: int
    sample: float
    parameter: float
    published: tuple[float, float, float]


TABLE_3_1 = (
    Draw(100, 10, 2, (), 5, 1, 1, (0.9283, 0.8637, 0.5557648)),
    Draw(100, 10, 20, (), 5, 1, 1, (3.783, 3.782, 0.5845007)),
    Draw(100, 10, 2, (), 50, 1, 1, (1.015, 0.9544, 0.5454238)),
    Draw(100, 10, 2, (), 5, 10, 1, (4.937, 4.498, 2.636395)),
    Draw(100, 10, 2, (), 5, 1, 10, (1.061, 1.076, 0.5375943)),
)
LARGEST = 1.0
"""M in Tables 4.2 and 4.3: in 4.2 rows 2 and 8, with samples 100 and 10 times as wide, have the others' deviations, and
the largest deviations of 4.3 are just below the root of the dimension."""
TABLE_4_2 = (
    Draw(100, 10, 2, (10,) * 3, 5, 1, 1, (0.6322801, 0.5546744, 0.3358796)),
    Draw(100, 10, 2, (10,) * 3, 5, 100, 1, (0.6404704, 0.5849356, 0.4163827)),
    Draw(100, 10, 2, (10,) * 3, 5, 1, 100, (0.4335774, 0.3039111, 0.4211190)),
    Draw(100, 10, 20, (10,) * 3, 5, 1, 1, (1.1928828, 0.9919565, 0.9066600)),
    Draw(100, 10, 2, (30,) * 3, 5, 1, 1, (0.6533218, 0.6304373, 0.3057876)),
    Draw(100, 10, 2, (10,) * 3, 50, 1, 1, (0.6276122, 0.6120808, 0.2672927)),
    Draw(100, 10, 2, (20,) * 3, 5, 1, 1, (0.6630859, 0.6050979, 0.2996120)),
    Draw(10, 100, 2, (10,) * 3, 5, 10, 1, (0.6561273, 0.6170216, 0.3212896)),
)
TABLE_4_3 = {
    "iris": ((5,), (0.715300, 0.557900, 0.4791929, 0.002236, 1.675000)),
    "wine": ((5, 3), (1.26300, 1.13100, 0.775758, 0.01861, 3.23700)),
    "spambase": ((7, 5, 3), (3.4130, 3.0830, 1.499317, 0.1446, 7.5140)),
}
TABLE_5_1 = (7.274294e-8, 0.9334476, 0.9994)
TABLE_5_2 = (0.00065, 94.17, 26.72, 25.34, 13.27481)


@dataclass(frozen=True)
class Perceptron:
    """Dense layers with an activation between them; none hidden makes a linear classifier."""

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]
    activation: str = "Tanh"

    def __call__(self, x: Tensor) -> Tensor:
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = ACTIVATIONS[self.activation](x @ weight.T + bias)
        return x @ self.weights[-1].T + self.biases[-1]

    def bounds(self, x: Tensor, curvature: float = 1.0) -> Tensor:
        """Theorem 3.6 at the last layer and Theorem 4.2 with Algorithm 4.1 for those in front of it."""
        logits, rows = self(x), self.weights[-1]
        delta = theorem_3_6(logits, rows)
        hidden = self.weights[:-1]
        if not hidden:
            return delta
        steepness: list[Tensor] = []
        value = x
        for weight, bias in zip(hidden, self.biases[:-1], strict=True):
            before = value @ weight.T + bias
            steepness.append(slopes(self.activation, before))
            value = ACTIVATIONS[self.activation](before)
        norms = [jacobian_norm(hidden, [slope[row] for slope in steepness]) for row in range(len(x))]
        second = curvature * algorithm_4_1(hidden, [self.activation] * len(hidden))
        return theorem_4_2(torch.tensor(norms, dtype=torch.float64), second, len(hidden[-1]), delta)


def published_fgs(logits: Logits, x: Tensor, most: float) -> Tensor:
    """L2 norm of the least change along the signs of the softmax loss's gradient; infinite where none is found."""
    at = x.clone().requires_grad_(True)
    scores = logits(at)
    labels = scores.argmax(dim=1)
    (slope,) = torch.autograd.grad(nn.functional.cross_entropy(scores, labels, reduction="sum"), at)
    direction = slope.sign()
    low, high = torch.zeros(len(x), 1, dtype=x.dtype), torch.full((len(x), 1), most, dtype=x.dtype)

    def changed(epsilon: Tensor) -> Tensor:
        return (logits(x + epsilon * direction).argmax(dim=1) != labels).unsqueeze(1)

    found = changed(high).squeeze(1)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        there = changed(middle)
        low, high = torch.where(there, low, middle), torch.where(there, middle, high)
    return torch.where(found, (high * direction).norm(dim=1), torch.inf)


def exact_linear(network: Perceptron, x: Tensor) -> Tensor:
    """Norm of the projection on the nearest hyperplane, once the class there has been seen to change."""
    weight = network.weights[0]
    logits = network(x)
    own = logits.argmax(dim=1)
    rows = weight - weight[own].unsqueeze(1)
    lengths = rows.norm(dim=2)
    distance = ((logits.gather(1, own[:, None]) - logits) / lengths).nan_to_num(nan=math.inf)
    distance[torch.arange(len(x)), own] = math.inf
    nearest = distance.argmin(dim=1)
    each = torch.arange(len(x))
    step = rows[each, nearest] / lengths[each, nearest, None] * distance[each, nearest, None] * (1 + 1e-9)
    assert (network(x + step).argmax(dim=1) != own).all()
    return step.norm(dim=1)


def ddn_norms(network: Perceptron, x: Tensor) -> Tensor:
    return ddn(Problem(network, x, network(x).argmax(dim=1), Norm.L2, reach=float(x.abs().max()))).norms


def uniform(generator: torch.Generator, *shape: int, to: float) -> Tensor:
    return (2 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 1) * to


def drawn(row: Draw, generator: torch.Generator) -> tuple[Perceptron, Tensor]:
    """A classifier, linear or of sigmoids, and its samples."""
    sizes = (row.inputs, *row.hidden, row.classes)
    weights = [uniform(generator, after, before, to=row.parameter) for before, after in pairwise(sizes)]
    to = 0 if row.hidden else row.parameter
    biases = [uniform(generator, after, to=to) for after in sizes[1:]]
    samples = uniform(generator, row.samples, row.inputs, to=row.sample)
    return Perceptron(weights, biases, "Sigmoid"), samples


def statistics(values: Tensor) -> str:
    return f"{values.mean():10.4f} {values.median():10.4f} {values.std():10.4f}"


@dataclass(frozen=True)
class Deviations:
    """Norms found less bounds, (networks, samples); infinite where nothing was found."""

    found: Tensor
    bounds: Tensor

    def line(self, label: str) -> str:
        gap = self.found - self.bounds
        hit = torch.isfinite(self.found)
        mean = gap[hit].mean()
        apart = torch.where(hit, gap - mean, 0).sum(dim=1)
        several = int(hit.any(dim=1).sum()) > 1
        error = apart.square().sum().sqrt() / hit.sum() if several else math.nan
        wrong = int((self.bounds > self.found * (1 + 1e-9)).sum())
        return f"{label:30s} {statistics(gap[hit])} {error:8.4f} {wrong:11d} {int((~hit).sum()):8d}"


def random_table(title: str, rows: Sequence[Draw], seed: int) -> None:
    linear = not rows[0].hidden
    columns = f"{'mean':>10s} {'median':>10s} {'std':>10s} {'of mean':>8s} {'violations':>11s} {'failed':>8s}"
    print(f"\n{title}\n{'':30s} {columns}")
    for number, row in enumerate(rows, start=1):
        generator = torch.Generator().manual_seed(seed * 1000 + number)
        made = [drawn(row, generator) for _ in range(row.networks)]
        most = row.sample if linear else LARGEST
        bounds = torch.stack([network.bounds(x) for network, x in made])
        found = torch.stack([published_fgs(network, x, most) for network, x in made])
        print(f"{number} published{'':19s} " + " ".join(f"{value:10.4f}" for value in row.published))
        print(Deviations(found, bounds).line("  ours, failures left out"))
        if linear:
            unmended = torch.where(torch.isfinite(found), found, most * math.sqrt(row.inputs))
            print(Deviations(unmended, bounds).line("  ours, failures at epsilon = M"))
            best = torch.stack([exact_linear(network, x) for network, x in made])
            print(Deviations(best, bounds).line("  erratum: exact distance"), flush=True)
        else:
            best = torch.stack([ddn_norms(network, x) for network, x in made])
            print(Deviations(best, bounds).line("  erratum: DDN, no largest step"), flush=True)


def classic(name: str) -> tuple[Tensor, Tensor] | None:
    if name == "spambase":
        if not SPAMBASE.exists():
            return None
        arrays = np.load(SPAMBASE)
        x, y = arrays["x"], arrays["y"]
    else:
        x, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return torch.from_numpy(x), torch.from_numpy(np.asarray(y, dtype=np.int64))


def trained(x: Tensor, y: Tensor, hidden: tuple[int, ...], seed: int) -> Perceptron:
    torch.manual_seed(seed)
    sizes = (x.shape[1], *hidden, int(y.max()) + 1)
    layers = [nn.Linear(before, after).double() for before, after in pairwise(sizes)]
    network = Perceptron([layer.weight for layer in layers], [layer.bias for layer in layers])
    parameters = [value for layer in layers for value in layer.parameters()]
    optimizer = torch.optim.Adam(parameters, 0.01)
    for _ in range(max(2, 4000 // (len(x) // 64 + 1))):
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimizer.step()
    return Perceptron([layer.weight.detach() for layer in layers], [layer.bias.detach() for layer in layers])


def trained_table(seed: int) -> None:
    columns = " ".join(f"{name:>10s}" for name in ("mean", "median", "std", "min", "max"))
    print(f"\nTable 4.3, trained perceptrons\n{'':30s} {columns}")
    for name, (hidden, published) in TABLE_4_3.items():
        print(f"{name:8s} published{'':13s} " + " ".join(f"{value:10.4f}" for value in published))
        data = classic(name)
        if data is None:
            print(f"  {SPAMBASE} is not there")
            continue
        order = torch.from_numpy(np.random.default_rng(seed).permutation(len(data[0])))
        x, y = data[0][order], data[1][order]
        first, second = int(0.7 * len(x)), int(0.9 * len(x))
        network = trained(x[:first], y[:first], hidden, seed)
        x, y = x[first:second], y[first:second]
        accuracy = (network(x).argmax(dim=1) == y).double().mean()
        for label, found, bounds in (
            ("ours", published_fgs(network, x, LARGEST), network.bounds(x)),
            ("erratum: true tanh'', DDN", ddn_norms(network, x), network.bounds(x, TANH_ERRATUM)),
        ):
            hit = torch.isfinite(found)
            gap = (found - bounds)[hit]
            print(
                f"  {label:28s} {statistics(gap)} {gap.min():10.4f} {gap.max():10.4f}   {len(x)} samples, "
                f"{int((~hit).sum())} not changed, {int((bounds > found).sum())} violations, accuracy {accuracy:.1%}",
                flush=True,
            )


def lenet_tables(images: int, seed: int) -> None:
    path = ROOT / "sample_models" / "lenet.onnx"
    case = open_case(AnalyzeOptions(path, "mnist", samples=images, seed=seed, device="cpu"))
    count = case.pixels[0].size
    steps = []
    for rows in groups(case):
        problem = Problem(case.single, case.images[rows].float(), case.predicted[rows], Norm.LINF, reach=100 / 255)
        steps.append(fgs(problem).norms.double())
    epsilon = 255 * torch.cat(steps)
    hit = torch.isfinite(epsilon)
    epsilon = epsilon[hit]
    bounds = network_bounds(case.graph, case.double, case.images)
    assert bounds.radius_published is not None
    assert bounds.radius_certified is not None
    print(
        f"\nTable 5.1, LeNet-5: pixels 0..255, epsilon up to 100, L2 norms over {count} pixels; ours: {images} images"
    )
    print(f"{'':30s} {'bound':>12s} {'FGS':>10s} {'rate':>8s}")
    print(f"{'published':30s} {TABLE_5_1[0]:12.3e} {TABLE_5_1[1]:10.4f} {TABLE_5_1[2]:8.2%}")
    ours = 255 * bounds.radius_published.mean() / count
    norm = epsilon.mean() * math.sqrt(count) / count
    print(f"{'ours (Algorithm 5.1)':30s} {ours:12.3e} {norm:10.4f} {hit.double().mean():8.2%}")
    print(f"{'erratum: certified bound':30s} {255 * bounds.radius_certified.mean() / count:12.3e}")
    print("\nTable 5.2, epsilon of FGS")
    print(f"{'':30s} {'min':>10s} {'max':>10s} {'mean':>10s} {'median':>10s} {'std':>10s}")
    print(f"{'published':30s} " + " ".join(f"{value:10.5f}" for value in TABLE_5_2))
    own = (epsilon.min(), epsilon.max(), epsilon.mean(), epsilon.median(), epsilon.std())
    print(f"{'ours':30s} " + " ".join(f"{value:10.5f}" for value in own))
    print("erratum: the gradient is the logit difference's (a softmax's vanishes), and the search tests its end.")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=1000, help="of LeNet-5's; the thesis has 10,000")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    random_table("Table 3.1, linear classifiers: deviation of FGS from Theorem 3.6", TABLE_3_1, asked.seed)
    random_table("Table 4.2, random perceptrons: deviation of FGS from Theorem 4.2", TABLE_4_2, asked.seed)
    trained_table(asked.seed)
    lenet_tables(asked.images, asked.seed)


if __name__ == "__main__":
    main()
