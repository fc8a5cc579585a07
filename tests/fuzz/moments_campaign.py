"""One random network: do the engines and the reference give numbers, and does plain sampling agree with them?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from fuzz.random_networks import draw
from models import write

from nmcheck.checks.case import Case, open_case
from nmcheck.checks.moment_entries import moment_entries
from nmcheck.checks.moments import MomentRuns, run_moments
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.checks.plan import plan_moments
from nmcheck.checks.progress import SilentProgress
from nmcheck.checks.sampling import fine_enough, sampled_network
from nmcheck.execute.session import ReferenceSession
from nmcheck.linearize.steps import network_of
from nmcheck.moments.propagation.closure import mean_is_exact

ENGINES = ("propagate", "two-stage", "diagonal", "published-theorem2", "published-lemma4")
LEVELS = (0.003, 0.03, 0.1, 0.3, 1.0)
IMAGES = 2
MOST_Z = 6.0
BATCH = 2000


@dataclass(frozen=True)
class Finding:
    """What came out.

    Attributes:
        seed: of the network.
        operators: in it.
        sigma: the noise level.
        reference_z: largest |z| of the reference against plain sampling: mean, variance.
        engine_z: the same of each engine's means.
        exact: whether propagation has this network's means exactly.
        heavy: logits left out of the variance's z, whose tails are too heavy for either side.
        problems: what must not be, a sentence each.
    """

    seed: int
    operators: tuple[str, ...]
    sigma: float
    reference_z: tuple[float, float]
    engine_z: dict[str, float]
    exact: bool
    heavy: int
    problems: tuple[str, ...]


def judge(seed: int, folder: Path, draws: int) -> Finding:
    """Draw a network and measure it."""
    made, shape, operators = draw(seed)
    generator = np.random.default_rng([13, seed])
    x = generator.random((IMAGES, *shape), dtype=np.float32)
    layout = x.transpose(0, 2, 3, 1) if len(shape) == 3 else x
    np.savez(folder / "data.npz", x=layout)
    sigma = float(generator.choice(LEVELS))
    options = AnalyzeOptions(
        write(made, folder), str(folder / "data.npz"), (sigma,), engines=ENGINES, samples=IMAGES, residual_samples=256
    )
    case = open_case(options)
    networks = {sigma: fine_enough(case, sampled_network(case, ReferenceSession(case.file_graph)), sigma)}
    plan = plan_moments(case, options, SilentProgress())
    counts = {sigma: options.reference_samples}
    runs = run_moments(case, options, plan, networks, counts=counts, advance=lambda _: None)
    # A record refuses a NaN; making the entries is part of the test.
    moment_entries(case, options, runs, networks)
    problems: list[str] = []
    for (_, name), run in runs.engines.items():
        for found in run.moments:
            if not bool(found.mean.isfinite().all()):
                problems.append(f"{name}: a mean is no number")
            if found.no_variance is None and not bool((found.variance >= 0).all()):
                problems.append(f"{name}: a variance is negative or no number")
    mean_z, variance_z, heavy, engines = _scores(case, runs, sigma, draws, seed)
    exact = mean_is_exact(network_of(case.double))
    if mean_z > MOST_Z:
        problems.append(f"the reference's mean is {mean_z:.1f} errors from plain sampling")
    if variance_z > MOST_Z:
        problems.append(f"the reference's variance is {variance_z:.1f} errors from plain sampling")
    if exact and engines.get("propagate", 0.0) > MOST_Z:
        problems.append(f"propagate's mean is {engines['propagate']:.1f} errors off, where it should be exact")
    return Finding(seed, tuple(operators), sigma, (mean_z, variance_z), engines, exact, heavy, tuple(problems))


def _scores(
    case: Case, runs: MomentRuns, sigma: float, draws: int, seed: int
) -> tuple[float, float, int, dict[str, float]]:
    """Largest z of the reference's means and variances, logits with heavy tails, largest z of each engine's means."""
    means, variances, engines, heavy = [0.0], [0.0], dict.fromkeys(runs.plan.engines, 0.0), 0
    for row, image in enumerate(case.images):
        found = runs.references[sigma][row]
        mean, mean_se, variance, variance_se, tails = _plainly(case, image, sigma, draws, 100 * seed + row)
        eta = found.rounding.numpy()
        z = np.abs(found.mean.numpy() - mean) / np.sqrt(found.mean_se.numpy() ** 2 + mean_se**2 + 1e-300)
        means.append(float(z.max()))
        trusted = ~found.heavy_tailed.numpy() & ~tails & found.moved.numpy()
        heavy += int((~trusted & found.moved.numpy()).sum())
        error = np.sqrt(found.variance_se.numpy() ** 2 + variance_se**2 + 1e-300)
        z = np.abs(found.variance.numpy() - variance) / error
        variances.append(float(np.where(trusted, z, 0.0).max()))
        for name in engines:
            given = runs.engines[sigma, name].moments[row].mean.double().cpu().numpy()
            z = np.abs(given - mean) / np.sqrt(mean_se**2 + eta**2 + 1e-300)
            # Where no draw moved a logit, sampling knows nothing of what an engine says of rarer ones.
            engines[name] = max(engines[name], float(np.where(found.moved.numpy(), z, 0.0).max()))
    return max(means), max(variances), heavy, engines


def _plainly(
    case: Case, image: torch.Tensor, sigma: float, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean, variance, their errors, and where too few draws carry the variance: written apart from nmcheck's."""
    generator = np.random.default_rng([17, seed])
    centre = case.double(image[None])[0].numpy()
    parts = []
    for start in range(0, draws, BATCH):
        count = min(BATCH, draws - start)
        noise = sigma * generator.standard_normal((count, *image.shape))
        parts.append(case.double(image[None] + torch.from_numpy(noise)).numpy() - centre)
    rise = np.concatenate(parts)
    apart = rise - rise.mean(axis=0)
    squares = apart**2
    variance = squares.sum(axis=0) / (draws - 1)
    spread = squares.std(axis=0)
    skewness = ((squares - squares.mean(axis=0)) ** 3).mean(axis=0) / np.where(spread > 0, spread, 1.0) ** 3
    rounding = 1e-13 * np.maximum(np.abs(centre), np.median(np.abs(centre)))
    return (
        centre + rise.mean(axis=0),
        np.sqrt(variance / draws) + rounding,
        variance,
        spread / np.sqrt(draws) + 2 * rounding * np.sqrt(variance) + rounding**2,
        skewness > np.sqrt(draws) / 4,
    )
