"""How accurate is each way to the moments of a network's logits, and what does it cost?

    python benchmarks/moments_vs_sampling.py [--model FILE.onnx] [--data SPEC] [--images N] [--reference-samples N]
        [--sigma S]... [--only NAME]... [--cache FOLDER]

Prints a table a noise level: every engine, and the control-variate and plain samplers at several sample counts, each
with its errors over all images and logits against one reference (control variate with its own seed; kept in the cache),
and its cost in processor seconds and in forward passes. A forward pass is the time of one image in a torch batch of 64.
One thread. MODEL defaults to sample_models/lenet.onnx; the papers' own LeNet is built by

    python sample_models/build.py --only lenet-moments --data mnist.npz:train --output FOLDER

and residual, GELU and colour networks by benchmarks/networks.py. --only takes parts of the methods' names.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from nmcheck.checks.engines import MOMENTS
from nmcheck.data import read_data, select, to_model_layout
from nmcheck.execute.program import Program
from nmcheck.graph.cuts import cut_points
from nmcheck.graph.load import load_graph
from nmcheck.linearize.averaged import AveragedLinearizer
from nmcheck.linearize.budget import budget_refusal
from nmcheck.linearize.jacobian import jacobian
from nmcheck.linearize.steps import network_of
from nmcheck.linearize.two_stage import two_stage_at
from nmcheck.moments.affine_relu_affine import gram_matrix
from nmcheck.moments.diagonal import propagate_diagonal
from nmcheck.moments.flips import gaussian_flip_probability
from nmcheck.moments.gaussian import GaussianInput
from nmcheck.moments.propagation.propagate import propagate
from nmcheck.moments.reference import control_variate, plain

SIGMAS = (0.01, 0.05, 0.1, 0.3)
SAMPLES = Path(__file__).parents[1] / "sample_models"


@dataclass(frozen=True)
class Found:
    """Mean and variance of every logit, and the flip probability, of one image."""

    mean: Tensor
    variance: Tensor
    flip: float


Method = Callable[[Tensor, float, int], Found]
"""From an image, a noise level and a seed."""


class Bench:
    """One network, its images and everything that is measured on them."""

    def __init__(self, model: Path, spec: str, images: int, only: list[str]) -> None:
        graph = load_graph(model)
        self.model = model
        self.program = Program(graph)
        self.shape = graph.shapes[graph.input]
        self.only = only
        data = read_data(spec, None)
        positions = select(data, images, 0)
        self.images = torch.from_numpy(to_model_layout(data.pixels(positions), self.shape, graph.batch_axis)).float()
        self.images = self.images.reshape(-1, *self.shape)
        self.labels = self.program(self.images).argmax(dim=1).tolist()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self.steps = network_of(self.program)
        cuts = [point.node for point in cut_points(graph) if point.kind == "cut"]
        fitting = [node for node in cuts if budget_refusal(graph, node) is None]
        self.two_stage = two_stage_at(Program(graph, torch.float64), fitting[-1]) if fitting else None

    def run(self, x: Tensor) -> Tensor:
        """Logits of flattened images in onnxruntime."""
        given = self.session.get_inputs()[0]
        images = x.float().reshape(-1, *self.shape[1:])
        # Some files take a batch of one size only.
        batches = images.split(given.shape[0]) if isinstance(given.shape[0], int) else [images]
        found = [np.asarray(self.session.run(None, {given.name: batch.numpy()})[0]) for batch in batches]
        return torch.from_numpy(np.concatenate(found)).flatten(1)

    def forward_pass(self) -> float:
        """Processor seconds of one image in a torch batch of 64."""
        batch = self.images[torch.arange(64) % len(self.images)]
        times = []
        for _ in range(12):
            start = time.process_time()
            self.program(batch)
            times.append((time.process_time() - start) / 64)
        return float(np.median(times[2:]))

    def methods(self) -> dict[str, Method]:
        """Everything compared, by name."""
        found: dict[str, Method] = {
            "clean logits": lambda x, s, seed: Found(
                self.program(x[None])[0].double(), torch.full((self.program.classes,), float("nan")), float("nan")
            )
        }
        if self.two_stage is not None:
            for engine in ("two-stage", "published-theorem2", "published-lemma4"):
                found[f"{engine}, last cut"] = lambda x, s, seed, engine=engine: self.linearized(engine, x, s)
            found["two-stage averaged, last cut"] = self.averaged
        found["diagonal"] = self.independent
        for samples in (128, 512):
            found[f"propagate, {samples} samples"] = lambda x, s, seed, n=samples: self.propagated(x, s, seed, n)
        found["propagate, second order"] = lambda x, s, seed: self.propagated(x, s, seed, 128, second_order=True)
        for samples in (500, 1000, 4000):
            found[f"linear control variate, {samples}"] = lambda x, s, seed, n=samples: self.sampled(
                x, s, seed, n, averaged=False
            )
            found[f"control variate, {samples}"] = lambda x, s, seed, n=samples: self.sampled(
                x, s, seed, n, averaged=True
            )
        for samples in (1000, 10000):
            found[f"plain sampling, {samples}"] = lambda x, s, seed, n=samples: self.plainly(x, s, seed, n)
        return {
            name: method for name, method in found.items() if not self.only or any(part in name for part in self.only)
        }

    def linearized(self, engine: str, x: Tensor, sigma: float) -> Found:
        assert self.two_stage is not None
        model = self.two_stage.at(x.double())
        moments = MOMENTS[engine](model, GaussianInput(x.double().flatten(), sigma), gram_matrix(model.inner))
        return self.gaussian(x, moments.mean, moments.variance, moments.covariance)

    def averaged(self, x: Tensor, sigma: float, seed: int) -> Found:
        assert self.two_stage is not None
        noise = GaussianInput(x.double().flatten(), sigma)
        draws = noise.draws(8, seed).reshape(-1, *self.shape)
        model = AveragedLinearizer(self.two_stage).at(x.double(), draws)
        moments = MOMENTS["two-stage"](model, noise, gram_matrix(model.inner))
        return self.gaussian(x, moments.mean, moments.variance, moments.covariance)

    def independent(self, x: Tensor, sigma: float, seed: int) -> Found:
        found = propagate_diagonal(self.steps, GaussianInput(x.flatten(), sigma), seed=seed)
        return self.gaussian(x, found.mean.double(), found.variance.double(), None)

    def propagated(self, x: Tensor, sigma: float, seed: int, samples: int, *, second_order: bool = False) -> Found:
        noise = GaussianInput(x.flatten(), sigma)
        moved = propagate(self.steps, noise, samples=samples, second_order=second_order, seed=seed)
        covariance = moved.covariance.double()
        return self.gaussian(x, moved.mean.double(), covariance.diagonal(), covariance)

    def gaussian(self, x: Tensor, mean: Tensor, variance: Tensor, covariance: Tensor | None) -> Found:
        label = int(self.program(x[None])[0].argmax())
        flip = float("nan") if covariance is None else gaussian_flip_probability(mean, covariance, label)
        return Found(mean, variance, flip)

    def sampled(self, x: Tensor, sigma: float, seed: int, samples: int, *, averaged: bool) -> Found:
        label = int(self.program(x[None])[0].argmax())
        noisy = GaussianInput(x.flatten(), sigma)
        if averaged:
            slope = propagate(self.steps, noisy, samples=16, seed=seed + 1_000_000).jacobian
        else:
            run = self.program.function(self.program.graph.input, self.program.graph.logits)
            slope = jacobian(lambda u: run(u.reshape(self.shape)), x.flatten())[1]
        found = control_variate(self.run, noisy, slope, pairs=samples // 2, label=label, seed=seed)
        return Found(found.mean, found.variance, found.flips / found.flip_trials)

    def plainly(self, x: Tensor, sigma: float, seed: int, samples: int) -> Found:
        label = int(self.program(x[None])[0].argmax())
        found = plain(self.run, GaussianInput(x.flatten(), sigma), samples=samples, label=label, seed=seed)
        return Found(found.mean, found.variance, found.flips / found.flip_trials)

    def reference(self, sigma: float, samples: int, cache: Path) -> dict[str, Tensor]:
        """Control variate with the averaged derivative, image by image; kept in the cache."""
        key = sha256(self.model.read_bytes() + self.images.numpy().tobytes()).hexdigest()[:12]
        path = cache / f"linear-{key}-{sigma}-{len(self.images)}-{samples}.pt"
        if path.exists():
            return torch.load(path)
        rows: dict[str, list[Tensor]] = {"mean": [], "mean_se": [], "variance": [], "variance_se": [], "flip": []}
        for number, x in enumerate(self.images):
            moved = propagate(self.steps, GaussianInput(x.flatten(), sigma), samples=16, seed=10_000_000 + number)
            found = control_variate(
                self.run, GaussianInput(x.flatten(), sigma), moved.jacobian,
                pairs=samples // 2, label=self.labels[number], seed=10_000_000 + number,
            )  # fmt: skip
            for name in ("mean", "mean_se", "variance", "variance_se"):
                rows[name].append(getattr(found, name))
            rows["flip"].append(torch.tensor(found.flips / found.flip_trials))
        result = {name: torch.stack(values) for name, values in rows.items()}
        cache.mkdir(parents=True, exist_ok=True)
        torch.save(result, path)
        return result


def relative_error(x: Tensor, y: Tensor) -> Tensor:
    """E_r, entry by entry."""
    return 2 * (x - y).abs() / (x.abs() + y.abs())


def with_error(values: Tensor) -> str:
    """Mean over images and logits, and its standard error over the images."""
    per_image = values.mean(dim=1)
    return f"{per_image.mean():.5f} ± {per_image.std() / len(per_image) ** 0.5:.5f}"


def table(bench: Bench, sigma: float, reference: dict[str, Tensor], seconds_per_forward: float) -> None:
    mean, sd = reference["mean"], reference["variance"].sqrt()
    # A perfect engine shows the reference's own error; E|N(0,1)| = 0.798.
    floor_mean = relative_error(mean + 0.798 * reference["mean_se"], mean).mean()
    floor_var = relative_error(reference["variance"] + 0.798 * reference["variance_se"], reference["variance"]).mean()
    print(f"\nsigma {sigma}: floor E_r mean {floor_mean:.5f}, var {floor_var:.5f}")
    print(f"{'':30}{'E_r mean':>20}{'E_r var':>20}{'bias/sd':>9}{'flip error':>12}{'s/image':>10}{'forwards':>10}")
    for name, method in bench.methods().items():
        start = time.process_time()
        found = [method(x, sigma, number) for number, x in enumerate(bench.images)]
        seconds = (time.process_time() - start) / len(found)
        means, variances = (torch.stack([getattr(one, key) for one in found]) for key in ("mean", "variance"))
        bias = ((means - mean).abs() / sd).mean()
        flip = (torch.tensor([one.flip for one in found]) - reference["flip"]).abs().mean()
        print(
            f"{name:30}{with_error(relative_error(means, mean)):>20}"
            f"{with_error(relative_error(variances, reference['variance'])):>20}{bias:>9.4f}{flip:>12.5f}"
            f"{seconds:>10.4f}{seconds / seconds_per_forward:>10.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=SAMPLES / "lenet.onnx")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--reference-samples", type=int, default=40_000)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "nmcheck" / "benchmarks")
    parser.add_argument("--sigma", type=float, action="append")
    given = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(given.model, given.data, given.images, given.only)
    seconds = bench.forward_pass()
    print(f"{given.model.name}: {given.images} images of {given.data} (seed 0), forward pass {1e6 * seconds:.0f} us")
    for sigma in given.sigma or SIGMAS:
        table(bench, sigma, bench.reference(sigma, given.reference_samples, given.cache), seconds)


if __name__ == "__main__":
    main()
