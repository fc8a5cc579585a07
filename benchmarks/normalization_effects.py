"""Does local response normalization, or batch normalization, make LeNet-5 more robust? Table 5.3 of Peck's thesis.

    python -m benchmarks.normalization_effects [--images 1000] [--crown 10] [--seed 0]

The five networks of ``sample_models`` were trained alike and differ in normalization only; the thesis's variants have
LRN (size 5, alpha 1, beta 0.75, bias 1) after the first pooling, after the second, after both. First the thesis's own
columns: accuracy on all 10,000 MNIST test images, and epsilon of fast gradient sign where it succeeds, pixels 0..255
and epsilon up to 100 (unboxed), with the share of images it succeeds on. Then what it argues from (Algorithm 5.1's
bound, over the 784 pixels) and what is true: norms of DDN's adversarial examples (L2, pixels in [0, 1], confirmed by
onnxruntime) and certified radii, all on the same images, with the paired difference to ``lenet`` and its standard
error. A difference is over the images that both networks classify correctly.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from nmcheck.attacks.fast_gradient import fgs
from nmcheck.attacks.norms import Norm
from nmcheck.attacks.problem import Problem
from nmcheck.bounds.network import network_bounds
from nmcheck.checks.attacks import attack_uppers, groups
from nmcheck.checks.bounds_options import BoundsOptions
from nmcheck.checks.case import Case, open_case
from nmcheck.checks.certified import certified_radii
from nmcheck.execute.session import ReferenceSession

SAMPLES = Path(__file__).parents[1] / "sample_models"
NAMES = ("lenet", "lenet_bn", "lenet_lrn1", "lenet_lrn2", "lenet_lrn3")
PUBLISHED = {
    "lenet": (0.00065, 94.17, 26.72, 25.34, 13.27481, 0.9994),
    "lenet_lrn1": (0.00756, 99.71930, 25.31045, 21.88714, 17.30748, 0.9836),
    "lenet_lrn2": (0.00011, 99.87615, 24.92861, 19.62794, 20.60854, 0.9552),
    "lenet_lrn3": (0.00869, 99.95050, 25.76302, 20.96658, 18.83517, 0.9694),
}
"""Tables 5.2 and 5.3: min, max, mean, median, std, rate."""
ACCURACY = {"lenet_lrn1": 0.9876, "lenet_lrn2": 0.9848, "lenet_lrn3": 0.9894}


def case_of(name: str, images: int, seed: int) -> Case:
    options = BoundsOptions(SAMPLES / f"{name}.onnx", "mnist", samples=images, seed=seed)
    return open_case(options.case_options())


def epsilons(case: Case) -> np.ndarray:
    """Of fast gradient sign, 0..255; infinite where 100 does not do."""
    found = []
    for rows in groups(case):
        problem = Problem(case.single, case.images[rows].float(), case.predicted[rows], Norm.LINF, reach=100 / 255)
        found.append(fgs(problem).norms.double().numpy())
    return 255 * np.concatenate(found)


def accuracy(case: Case) -> float:
    data = case.dataset
    assert data.labels is not None
    session = ReferenceSession(case.file_graph, threads=1)
    shape = case.pixels.shape[1:]
    right = 0
    for rows in np.array_split(np.arange(len(data)), 50):
        logits = session.run(data.pixels(rows).reshape(len(rows), *shape))
        right += int((logits.reshape(len(rows), -1).argmax(axis=1) == data.labels[rows]).sum())
    return right / len(data)


def against(values: np.ndarray, first: np.ndarray, both: np.ndarray) -> str:
    """Paired difference and its standard error."""
    both = both & np.isfinite(values) & np.isfinite(first)
    apart = (values - first)[both]
    return f"{apart.mean():+10.4f} ± {apart.std(ddof=1) / len(apart) ** 0.5:.4f} ({len(apart)} images)"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--crown", type=int, default=10, help="images for crown")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    columns = ("accuracy", "min", "max", "mean", "median", "std", "rate")
    print(f"{'epsilon of FGS, 0..255':24s}" + " ".join(f"{name:>10s}" for name in columns))
    cases = {name: case_of(name, asked.images, asked.seed) for name in NAMES}
    for name, case in cases.items():
        if name in PUBLISHED:
            stated = f"{ACCURACY[name]:10.2%}" if name in ACCURACY else f"{'':10s}"
            numbers = " ".join(f"{value:10.3f}" for value in PUBLISHED[name][:5])
            print(f"{name:12s} {'published':11s}{stated} {numbers} {PUBLISHED[name][5]:10.2%}")
        found = epsilons(case)
        hit = found[np.isfinite(found)]
        numbers = " ".join(f"{value:10.3f}" for value in (hit.min(), hit.max(), hit.mean(), np.median(hit), hit.std()))
        print(f"{name:12s} {'ours':11s}{accuracy(case):10.2%} {numbers} {len(hit) / len(found):10.2%}", flush=True)
    print(f"\nL2, pixels in [0, 1]; {asked.images} images, crown: {asked.crown}")
    first: dict[str, np.ndarray] = {}
    for name, case in cases.items():
        session = ReferenceSession(case.file_graph, threads=1)
        right = case.correct.numpy()
        bounds = network_bounds(case.graph, case.double, case.images)
        assert bounds.radius_published is not None
        few = case_of(name, asked.crown, asked.seed)
        options = BoundsOptions(SAMPLES / f"{name}.onnx", "mnist", samples=asked.crown, method="crown", attacks=())
        rows = {
            "published": (bounds.radius_published.numpy() / 784, right),
            "DDN": (attack_uppers(case, session, "l2", attacks=("ddn",)).nearest.norms, right),
        }
        for one in certified_radii(case, BoundsOptions(options.model, "mnist", method="lipschitz", attacks=()), None,
                                   lambda _images: None, box=None).methods:  # fmt: skip
            assert one.radii is not None
            rows[one.method] = (one.radii.numpy(), right)
        if asked.crown:
            tightest = certified_radii(few, options, None, lambda _images: None, box=None).methods[-1]
            assert tightest.radii is not None
            rows[tightest.method] = (tightest.radii.numpy(), few.correct.numpy())
        for kind, (values, chosen) in rows.items():
            apart = ""
            if name == NAMES[0]:
                first[kind], first[f"{kind} right"] = values, chosen
            elif kind != "published":
                apart = "less lenet's: " + against(values, first[kind], chosen & first[f"{kind} right"])
            mean = values[chosen & np.isfinite(values)].mean()
            print(f"{name:12s} {kind:10s} {mean:12.4g}   {apart}", flush=True)


if __name__ == "__main__":
    main()
