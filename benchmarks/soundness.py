"""Does any certified radius exceed what is possible?

For every model of ``sample_models`` and every MNIST and CIFAR-10 model of the shared collection (../shared/models),
in L2 and Linf: certified radii by ``lipschitz`` for 200 images and by ``crown`` for 20 (by ``crown-ibp`` if asked),
those of wrongly classified images too. The methods are told nothing of the attacks' results. A case is one (model,
method, norm, image). It is violated

- if the certified radius exceeds the norm of an adversarial example that FGS, DeepFool or DDN found and onnxruntime
  confirmed on the file ("above"), or
- if projected gradient steps inside the certified ball (from the nearest example shrunk into the ball and from random
  points on its edge) reach a point where the predicted class no longer has the largest logit in float64 ("broken").

    python -m benchmarks.soundness [--images 200] [--ibp 0] [--crown 20] [--box] [--restarts 4] [--steps 20]
        [--norms 2 inf] [--models PART ...]

One line a model, method and norm, printed when it is done; exit code 1 if anything is violated or raised.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from nmcheck.attacks.norms import Norm
from nmcheck.attacks.pgd import within
from nmcheck.attacks.problem import Nearest, Problem
from nmcheck.checks.attacks import attack_uppers, groups
from nmcheck.checks.bounds_options import NAMES, BoundsOptions
from nmcheck.checks.case import Case, open_case
from nmcheck.checks.certified import certified_radii
from nmcheck.execute.session import ReferenceSession

ROOT = Path(__file__).parents[1]
SCALES = {
    "pixels 0..255, NCHW": "byte",
    "NHWC [0,255]": "byte",
    "NHWC [0,1]": "unit",
    "NCHW [0,1]": "unit",
    "x/255 flat 784": "unit",
    "x/255 NCHW": "unit",
    "NHWC (x-.5)/.5": "mean=0.5:std=0.5",
    "NCHW (x-.5)/.5": "mean=0.5:std=0.5",
    "NCHW RGB (x/255-(.485,.456,.406))/.225": "mean=0.485,0.456,0.406:std=0.225,0.225,0.225",
}
"""By what models.csv says of the input."""
ATTACKS = {"2": ("fgs", "deepfool", "ddn"), "inf": ("fgs", "deepfool")}


@dataclass(frozen=True)
class Effort:
    """Of the projected gradient steps inside a ball, and the range that pixels stay in."""

    steps: int
    restarts: int
    box: tuple[float, float] | None


@dataclass(frozen=True)
class Subject:
    """A model and its data."""

    path: Path
    data: str
    scale: str | None


def subjects(shared: Path | None) -> Iterator[Subject]:
    for path in sorted((ROOT / "sample_models").glob("*.onnx")):
        yield Subject(path, "mnist", None)
    if shared is None:
        return
    with (shared / "models" / "models.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            if row["dataset"] in ("mnist", "cifar"):
                data = "mnist" if row["dataset"] == "mnist" else str(shared / "data" / "cifar10_dev.npz")
                yield Subject(shared / "models" / row["file"], data, SCALES[row["normalisation"]])


def broken(case: Case, lower: torch.Tensor, start: torch.Tensor, norm: Norm, effort: Effort) -> int:
    """How many images have a point in their certified ball, found by PGD, that float64 decides otherwise."""
    found = 0
    for rows in groups(case):
        x = case.images[rows]
        problem = Problem(case.double, x, case.predicted[rows], norm, box=effort.box)
        nearest = Nearest(problem)
        nearest.see(start[rows], torch.where(torch.isfinite(start[rows].flatten(1)).all(dim=1), 1.0, -1.0))
        within(problem, lower[rows], nearest, effort.steps, effort.restarts)
        inside = nearest.norms <= lower[rows]
        found += int((inside & (problem.gap(nearest.points) > 0)).sum())
    return found


def line(subject: Subject, method: str, option: str, images: int, effort: Effort) -> Counter[str]:
    """One model, method and norm."""
    start = time.process_time()
    norm = Norm(NAMES[option])
    options = BoundsOptions(
        subject.path, subject.data, norm=option, method=method, scale=subject.scale, samples=images, attacks=()
    )
    case = open_case(options.case_options())
    session = ReferenceSession(case.file_graph, threads=1)
    attacked = attack_uppers(case, session, NAMES[option], effort.box, attacks=ATTACKS[option])
    upper = torch.from_numpy(attacked.nearest.norms)
    certified = certified_radii(case, options, None, lambda _images: None, box=effort.box).methods[-1]
    if certified.radii is None:
        print(f"{subject.path.name:44s} {method:9s} {norm.value:4s} no radius: {certified.reason}", flush=True)
        return Counter(without=len(case.images))
    lower = certified.radii
    above = int((lower > upper).sum())
    hurt = broken(case, lower, torch.from_numpy(attacked.nearest.pixels), norm, effort)
    tight = (lower / upper)[torch.isfinite(upper)]
    print(
        f"{subject.path.name:44s} {method:9s} {norm.value:4s} {len(lower):6d} {lower.mean():10.5f} "
        f"{upper[torch.isfinite(upper)].mean():9.4f} {tight.max() if len(tight) else 0:9.5f} {above:5d} {hurt:6d} "
        f"{time.process_time() - start:8.1f}",
        flush=True,
    )
    return Counter(cases=len(lower), above=above, broken=hurt, unattacked=int(torch.isinf(upper).sum()))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=200, help="for lipschitz; 0 for none")
    parser.add_argument("--crown", type=int, default=20, help="images for crown; 0 for none")
    parser.add_argument("--ibp", type=int, default=0, help="images for crown-ibp")
    parser.add_argument("--box", action="store_true", help="pixels stay in [0, 1]")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--restarts", type=int, default=4)
    parser.add_argument("--norms", nargs="+", default=list(NAMES), choices=list(NAMES))
    parser.add_argument("--models", nargs="+", default=[], help="parts of file names; all by default")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    shared = asked.shared if asked.shared.is_dir() else None
    if shared is None:
        print(f"{asked.shared} is not there: sample models only", flush=True)
    chosen = [
        one for one in subjects(shared) if not asked.models or any(part in one.path.name for part in asked.models)
    ]
    print(
        f"{'model':44s} {'method':9s} {'norm':4s} {'images':>6s} {'radius':>10s} {'example':>9s} {'largest':>9s} "
        f"{'above':>5s} {'broken':>6s} {'s':>8s}   largest: of radius / example",
        flush=True,
    )
    total: Counter[str] = Counter()
    methods = (("lipschitz", asked.images), ("crown-ibp", asked.ibp), ("crown", asked.crown))
    effort = Effort(asked.steps, asked.restarts, (0.0, 1.0) if asked.box else None)
    for subject in chosen:
        for method, images in methods:
            for option in asked.norms if images else ():
                try:
                    total += line(subject, method, option, images, effort)
                except Exception as error:  # What the benchmark counts; it goes on with the next model.
                    total["exceptions"] += 1
                    print(
                        f"{subject.path.name:44s} {method:9s} {option:4s} {type(error).__name__}: {error}", flush=True
                    )
    print(
        f"{len(chosen)} models, {total['cases']} cases: {total['above']} radii above an example, {total['broken']} "
        f"balls broken, {total['exceptions']} exceptions; {total['unattacked']} cases without an example, "
        f"{total['without']} without a radius"
    )
    return 1 if total["above"] or total["broken"] or total["exceptions"] else 0


if __name__ == "__main__":
    sys.exit(main())
