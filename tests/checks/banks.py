"""Banks of tiny networks, from the model file to the report."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from nmcheck.checks.analyze import analyze
from nmcheck.checks.bank_build import build_bank, plan_bank
from nmcheck.checks.bank_options import BankOptions
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.checks.progress import SilentProgress
from nmcheck.results import MomentEntry, Report

IMAGES = 30


def write_images(folder: Path, side: int, count: int = IMAGES, seed: int = 3, name: str = "images") -> str:
    """Images in groups that resemble each other."""
    generator = np.random.default_rng(seed)
    groups = generator.random((5, side, side))
    x = np.clip(groups[np.arange(count) % 5] + 0.02 * generator.standard_normal((count, side, side)), 0, 1)
    path = folder / f"{name}.npz"
    np.savez(path, allow_pickle=False, x=x, y=np.arange(count) % 3)
    return str(path)


def build(network: Path, data: str, *, k: int = 5, name: str = "bank.h5", **more) -> Path:
    options = BankOptions(network, data, network.parent / name, k, kernels="native", chunk=16, **more)
    build_bank(plan_bank(options))
    return options.output


def run(network: Path, data: str, bank: Path, *, engines: tuple[str, ...] = ("two-stage", "bank"), **more) -> Report:
    settings = {"sigmas": (0.05, 0.3), "samples": IMAGES, "reference_samples": 500, "device": "cpu", **more}
    return analyze(AnalyzeOptions(network, data, engines=engines, bank=bank, **settings))


def entries(report: Report) -> dict[tuple[str, float], MomentEntry]:
    assert report.moments is not None
    return {(entry.engine, entry.sigma_pixel): entry for entry in report.moments}


class StopAfter(SilentProgress):
    """The user's Ctrl-C when some points are written."""

    def __init__(self, points: int) -> None:
        self.points = points

    @contextmanager
    def stage(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        def advance(steps: int) -> None:
            self.points -= steps if title == "Linearizations" else 0
            if self.points <= 0:
                raise KeyboardInterrupt

        yield advance
