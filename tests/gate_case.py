"""A model of which everything is known: the first pixel decides, the boundary lies at 0.5."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from models import model, node, write

from nmcheck.checks.case import Case
from nmcheck.checks.gate.evidence import AdversarialDistances
from nmcheck.checks.gate.policy import Box, Norm
from nmcheck.checks.gate.run import gate
from nmcheck.cli.session import Session

TODAY = dt.date(2030, 6, 15)
IMAGES = 20


def network(folder: Path, slope: float = 2.0, middle: str = "Relu", name: str = "model.onnx") -> Path:
    """Logits (h, s - h) with h = slope * x0 and s = slope: class 0 exactly where x0 > 0.5."""
    first = np.zeros((36, 1), np.float32)
    first[0, 0] = slope
    nodes = [
        node("Flatten", ["x"], ["flat"], name="flatten"),
        node("Gemm", ["flat", "w1"], ["z"], name="inner"),
        node(middle, ["z"], ["h"], name="middle"),
        node("Gemm", ["h", "w2", "b2"], ["y"], name="outer"),
    ]
    arrays = {"w1": first, "w2": np.array([[1.0, -1.0]], np.float32), "b2": np.array([0.0, slope], np.float32)}
    return write(model(nodes, ("N", 6, 6), arrays), folder, name)


def data(folder: Path, distance: float = 0.3, wrong: int = 0, *, labels: bool = True) -> Path:
    """Images of both classes at one distance from the boundary, the first ``wrong`` of them labelled wrongly."""
    x = np.full((IMAGES, 6, 6), 0.25)
    y = np.arange(IMAGES) % 2
    x[:, 0, 0] = np.where(y == 0, 0.5 + distance, 0.5 - distance)
    y = np.where(np.arange(IMAGES) < wrong, 1 - y, y)
    path = folder / "data.npz"
    if labels:
        np.savez(path, x=x, y=y)
    else:
        np.savez(path, x=x)
    return path


def exact_attack(case: Case, norm: Norm, box: Box | None, rows: Sequence[int], seed: int) -> AdversarialDistances:
    """The nearest example: the first pixel moved across the boundary."""
    del norm, box, seed
    count = len(case.pixels)
    examples = np.full_like(case.pixels, np.nan)
    distances: list[float | None] = [None] * count
    predicted: list[int | None] = [None] * count
    for row in rows:
        changed = case.pixels[row].copy()
        first = changed.reshape(-1)[0]
        changed.reshape(-1)[0] = 0.5 + np.sign(0.5 - first) * 1e-6
        examples[row], predicted[row] = changed, 1 - int(case.predicted[row])
        distances[row] = float(abs(changed.reshape(-1)[0] - first))
    tried = tuple(row in rows for row in range(count))
    return AdversarialDistances("exact", tuple(distances), tuple(predicted), examples, tried)


def session(*, attacked: bool = True) -> Session:
    """The real gate, with or without an attack, on a day that does not pass."""
    return Session(gate=partial(gate, attacks={"exact": exact_attack} if attacked else {}), today=lambda: TODAY)
