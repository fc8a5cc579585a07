"""Does the reference keep what it states? Coverage of its intervals, and its bias in standard errors.

    python -m benchmarks.reference_truth                       # ten networks, four noise levels, 1,000 repetitions each
    python -m benchmarks.reference_truth --sample-models      # five sample models against plain sampling

A repetition is one run of ``control_variate`` with 500 samples and the slope at the image, as a user's reference is
made for one image. Two measures: *coverage* of the 95 % intervals of means and variances, over all logits and
repetitions; and *z*, the mean of all repetitions less the truth in its own standard error and the truth's together, the
largest of all logits. The truth is exact where the network is one hidden ReLU layer; elsewhere coverage is judged
against the mean of the repetitions (31 times sharper than one of them), and that mean against plain sampling, which
shares nothing with the control variate but the network.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import scipy.stats
import torch
from torch import Tensor

from nmcheck.affine import AffineMap, AffineReluAffine
from nmcheck.moments.affine_relu_affine import gram_matrix, output_mean, output_variance
from nmcheck.moments.gaussian import Diagonal, GaussianInput, Isotropic, NoiseStructure
from nmcheck.moments.reference import control_variate
from nmcheck.moments.reference_moments import ReferenceMoments

SIGMAS = (0.001, 0.01, 0.1, 1.0)
PAIRS = 250
MODELS = ("mlp", "lenet", "lenet_bn", "lenet_lrn3", "lenet_relu3")


@dataclass(frozen=True)
class Subject:
    """A network at an image.

    Attributes:
        function: inputs of shape (batch, n) to outputs.
        mean: the image.
        structure: of the noise.
        exact: the network where its moments are known exactly.
    """

    function: Callable[[Tensor], Tensor]
    mean: Tensor
    structure: NoiseStructure = field(default_factory=Isotropic)
    exact: AffineReluAffine | None = None

    def input(self, sigma: float) -> GaussianInput:
        return GaussianInput(self.mean, sigma, self.structure)

    def slope(self) -> Tensor:
        return torch.func.jacrev(lambda x: self.function(x[None])[0])(self.mean)


def subjects() -> dict[str, Subject]:
    """The ten networks; inputs are of size one, so that sigma is the share of it."""
    torch.manual_seed(3)
    normal = lambda *shape: torch.randn(*shape, dtype=torch.float64)  # noqa: E731

    def layered(n: int, units: int, d: int, bias: Tensor) -> AffineReluAffine:
        return AffineReluAffine(
            AffineMap(normal(units, n) / n**0.5, bias), AffineMap(normal(d, units) / units**0.5, normal(d))
        )

    found: dict[str, Subject] = {}
    plain = layered(12, 20, 3, 0.3 * normal(20))
    found["linear-relu-linear"] = Subject(plain, normal(12), exact=plain)
    saturated = layered(12, 20, 3, 4.0 * torch.sign(normal(20)))
    found["saturated"] = Subject(saturated, normal(12), exact=saturated)
    one = torch.zeros(12, dtype=torch.float64)
    one[5] = 1.0
    found["one pixel"] = Subject(plain, normal(12), Diagonal(one), exact=plain)
    u, v = normal(8, 12), normal(3, 8)
    found["softmax + relu"] = Subject(
        lambda x: torch.relu(torch.softmax(3 * x @ u.mT, dim=1) - 0.1) @ v.mT, normal(12) / 3
    )
    wide, out = 10 * normal(8, 12), normal(3, 8)
    centre = normal(12)
    found["tanh, 10 widths"] = Subject(
        lambda x: torch.tanh((x - centre) @ wide.mT + wide[:, 0] / 5) @ out.mT, centre + 0.01 * normal(12)
    )
    kernel, head = normal(4, 1, 3, 3) / 3, normal(3, 36) / 6
    found["max-pool"] = Subject(
        lambda x: torch.max_pool2d(torch.conv2d(x.reshape(-1, 1, 6, 6), kernel, padding=1), 2).flatten(1) @ head.mT,
        normal(36),
    )
    first, second = normal(12, 12) / 3, normal(12, 12) / 3
    last = normal(3, 12)

    def residual(x: Tensor) -> Tensor:
        y = x + torch.relu(x @ first.mT)
        return (y + torch.relu(y @ second.mT - 0.5)) @ last.mT

    found["residual"] = Subject(residual, normal(12))
    lrn = torch.nn.LocalResponseNorm(3, alpha=1.0, beta=0.75, k=1.0)
    found["LRN"] = Subject(
        lambda x: torch.relu(lrn(torch.conv2d(x.reshape(-1, 1, 6, 6), kernel))).flatten(1) @ normal_head.mT, normal(36)
    )
    normal_head = normal(3, 64) / 8
    two = layered(12, 20, 2, 0.3 * normal(20))
    found["2 classes"] = Subject(two, normal(12), exact=two)
    thousand = layered(12, 20, 1000, 0.3 * normal(20))
    found["1,000 classes"] = Subject(thousand, normal(12), exact=thousand)
    return found


@dataclass(frozen=True)
class Judged:
    """What repetitions say.

    Attributes:
        mean_covered: share of the means' intervals that hold the truth.
        variance_covered: share of the variances'.
        mean_z: largest of all logits' z of the pooled mean.
        variance_z: the same of the pooled variance.
        widest: largest of all repetitions' and logits' error of the mean in stated errors.
    """

    mean_covered: float
    variance_covered: float
    mean_z: float
    variance_z: float
    widest: float


def judged(subject: Subject, sigma: float, repetitions: int, truth_draws: int, pairs: int = PAIRS) -> Judged:
    """Repetitions at one noise level against the truth."""
    x, slope = subject.input(sigma), subject.slope()
    runs = [
        control_variate(subject.function, x, slope, pairs=pairs, label=0, seed=seed, batch_size=2 * pairs)
        for seed in range(repetitions)
    ]
    return against(runs, *truth_of(subject, x, truth_draws, seed=repetitions), known=subject.exact is not None)


def truth_of(subject: Subject, x: GaussianInput, draws: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean and variance with their standard errors, exactly or by plain sampling."""
    if subject.exact is not None:
        gram = gram_matrix(subject.exact.inner, x.structure)
        mean = output_mean(subject.exact, x, gram)
        return mean, torch.zeros_like(mean), output_variance(subject.exact, x, gram), torch.zeros_like(mean)
    return sampled_plainly(subject.function, x, draws, seed)


def sampled_plainly(
    function: Callable[[Tensor], Tensor], x: GaussianInput, draws: int, seed: int, batch: int = 10_000
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean and variance by independent draws, with standard errors: written apart from what it judges."""
    generator = torch.Generator().manual_seed(10**6 + seed)
    centre = function(x.mean[None])[0].double()
    sums = torch.zeros(4, len(centre), dtype=torch.float64)
    for start in range(0, draws, batch):
        count = min(batch, draws - start)
        normals = torch.randn(count, x.structure.directions(x.mean.numel()), generator=generator, dtype=torch.float64)
        noise = float(x.sigma) * x.structure.noise(normals)
        rise = function((x.mean + noise).to(x.mean)).double() - centre
        for power in range(4):
            sums[power] += (rise ** (power + 1)).sum(dim=0)
    first, second, third, fourth = sums / draws
    variance = second - first**2
    central = fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4
    return (
        centre + first,
        (variance / draws).sqrt(),
        variance * draws / (draws - 1),
        ((central - variance**2).clamp(min=0) / draws).sqrt(),
    )


def against(
    runs: list[ReferenceMoments], mean: Tensor, mean_se: Tensor, variance: Tensor, variance_se: Tensor, *, known: bool
) -> Judged:
    """Coverage and z; a truth that is sampled itself judges the pooled runs only, which then judge each run."""
    means, variances = torch.stack([run.mean for run in runs]), torch.stack([run.variance for run in runs])
    errors, spreads = (torch.stack([getattr(run, f"{what}_se") for run in runs]) for what in ("mean", "variance"))
    low, high = (torch.stack([getattr(run, f"variance_{end}") for run in runs]) for end in ("low", "high"))
    pooled = means.mean(dim=0), variances.mean(dim=0)
    z = []
    for values, one, stated, truth, truth_se in zip(
        (means, variances), pooled, (errors, spreads), (mean, variance), (mean_se, variance_se), strict=True
    ):
        spread = values.var(dim=0)
        # What runs state beyond their spread is what rounding and unmet draws may hide; it does not fall by pooling.
        hidden = ((stated**2).mean(dim=0) - spread).clamp(min=0)
        z.append(float(((one - truth).abs() / (spread / len(runs) + truth_se**2 + hidden).sqrt()).max()))
    target = (mean, variance) if known else pooled
    quantile = float(scipy.stats.t.ppf(0.975, runs[0].flip_trials - 1))
    return Judged(
        mean_covered=float(((means - target[0]).abs() <= quantile * errors).double().mean()),
        variance_covered=float(((low <= target[1]) & (target[1] <= high)).double().mean()),
        mean_z=z[0],
        variance_z=z[1],
        widest=float(((means - target[0]).abs() / errors).max()),
    )


def networks_table(repetitions: int, truth_draws: int, only: str | None) -> None:
    print(f"{repetitions} repetitions of {2 * PAIRS} samples; truth sampled by {truth_draws:,} plain draws or exact")
    print(f"{'network':20} {'sigma':>6} {'mean':>6} {'var':>6} {'z mean':>7} {'z var':>6} {'widest':>7}")
    for name, subject in subjects().items():
        if only and only not in name:
            continue
        for sigma in SIGMAS:
            found = judged(subject, sigma, repetitions, truth_draws)
            print(
                f"{name:20} {sigma:6g} {found.mean_covered:6.3f} {found.variance_covered:6.3f} {found.mean_z:7.2f} "
                f"{found.variance_z:6.2f} {found.widest:7.2f}",
                flush=True,
            )


def models_table(draws: int, repetitions: int, only: str | None) -> None:
    """The sample models at one image, sampled as nmcheck samples them, against as many plain draws."""
    from nmcheck.checks.case import open_case
    from nmcheck.checks.image_model import ImageModel
    from nmcheck.checks.options import AnalyzeOptions
    from nmcheck.checks.sampling import fine_enough, sampled_network
    from nmcheck.execute.session import ReferenceSession

    print(f"{repetitions} repetitions of {2 * PAIRS} samples; {draws:,} plain draws")
    print(f"{'model':12} {'sigma':>6} {'mean':>6} {'var':>6} {'z mean':>7} {'z var':>6} {'widest':>7}")
    for name in MODELS:
        if only and only not in name:
            continue
        options = AnalyzeOptions(Path("sample_models") / f"{name}.onnx", data="mnist", samples=1)
        case = open_case(options)
        network, image = sampled_network(case, ReferenceSession(case.file_graph)), case.images[0]
        of_image = ImageModel(case, None, 0)
        of_image.move_to(image)
        for sigma in (0.01, 0.1):
            sampled = fine_enough(case, network, sigma)
            x = GaussianInput(image.flatten(), sigma, case.structure)
            runs = [
                control_variate(
                    sampled.evaluate, x, of_image.slope, pairs=PAIRS, label=0, seed=seed, rounding=sampled.rounding
                )
                for seed in range(repetitions)
            ]
            found = against(runs, *sampled_plainly(sampled.evaluate, x, draws, 0, batch=1000), known=False)
            print(
                f"{name:12} {sigma:6g} {found.mean_covered:6.3f} {found.variance_covered:6.3f} {found.mean_z:7.2f} "
                f"{found.variance_z:6.2f} {found.widest:7.2f}",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1_000_000)
    parser.add_argument("--sample-models", action="store_true", help="the sample models in place of the ten networks")
    parser.add_argument("--only", help="part of a name")
    given = parser.parse_args()
    table = models_table if given.sample_models else networks_table
    if given.sample_models:
        models_table(given.draws, min(given.repetitions, 200), given.only)
    else:
        networks_table(given.repetitions, given.draws, given.only)
