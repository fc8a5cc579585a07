"""Could the images have been scaled otherwise? Accuracy often survives a wrong scale, noise levels and radii do not."""

from __future__ import annotations

import numpy as np

from nmcheck.checks.adversarial import decided
from nmcheck.checks.case import Case
from nmcheck.data import input_scale
from nmcheck.errors import UsageError
from nmcheck.execute.session import ReferenceSession

COMMON = (
    "unit",
    "byte",
    "mean=0.5:std=0.5",
    "mean=0.1307:std=0.3081",
    "mean=0.485,0.456,0.406:std=0.229,0.224,0.225",
)
"""pixels as they are, 0 to 255, -1 to 1, MNIST's and ImageNet's own statistics."""

CLOSE = 0.01


def scale_warnings(case: Case, session: ReferenceSession, accuracy: float | None) -> tuple[str, ...]:
    """A warning for each common scale that scores as well as the one applied, or better.

    Where the scale was merely assumed, "as well" is within one percent; where the user or the model stated it, another
    one is only mentioned if it scores more than one percent better. One under which the model does no better than
    always giving the same answer is not mentioned: nothing speaks for it.
    """
    if accuracy is None or case.labels is None:
        return ()
    least = accuracy - CLOSE if case.scale.source == "default" else accuracy + CLOSE
    guessed = _best_constant_answer(case.labels)
    warnings: list[str] = []
    shape, axis = case.file_graph.shapes[case.file_graph.input], case.file_graph.batch_axis
    for name in COMMON:
        try:
            other = input_scale(name, {}, shape, axis)
        except UsageError:
            continue  # a scale per channel that this input has not
        if np.array_equal(other.gain, case.scale.gain) and np.array_equal(other.offset, case.scale.offset):
            continue
        scaled = (case.pixels * other.gain + other.offset).astype(np.float32)
        found = float((decided(case, session.run(scaled)) == case.labels).mean())
        if found > guessed and (found >= least if case.scale.source == "default" else found > least):
            warnings.append(
                f"With --scale {name} the model scores {found:.1%} on these images, against {accuracy:.1%} with "
                f"{case.scale.name} ({_source(case)}): if that is what it was trained with, every noise level and "
                "radius here is in the wrong unit."
            )
    return tuple(warnings)


def _best_constant_answer(labels: np.ndarray) -> float:
    """Accuracy of the most frequent label as the answer to every image; 0 where there is only one label to give."""
    counts = np.unique(labels, return_counts=True)[1]
    return float(counts.max() / counts.sum()) if len(counts) > 1 else 0.0


def _source(case: Case) -> str:
    return {"option": "as asked for", "metadata": "as the model states", "default": "assumed"}[case.scale.source]
