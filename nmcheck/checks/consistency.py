"""Before anything is analysed: does our execution of the graph agree with onnxruntime on the file?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from nmcheck.checks.case import Case
from nmcheck.errors import ModelError
from nmcheck.execute.comparison import relative_difference
from nmcheck.execute.session import ReferenceSession
from nmcheck.results import ConsistencyEntry

TOLERANCE = {"single": 1e-4, "half": 1e-2}
"""Largest difference, relative to the largest output of an image, by the precision the file computes in: rounding in
deep networks stays below it (in single precision, measured 4e-6 on nine ImageNet networks), a misread operator does
not."""


def check_consistency(case: Case, session: ReferenceSession, advance: Callable[[int], None]) -> ConsistencyEntry:
    """Compare the file's own output, every image used, with our float32 execution of it.

    Raises:
        ModelError: they differ by more than ``TOLERANCE`` allows, or the file's output for an image is not finite.
    """
    differences: list[float] = []
    for rows in np.array_split(np.arange(len(case.pixels)), max(1, len(case.pixels) // 50)):
        ours = case.single.output(case.images[torch.from_numpy(rows).to(case.device)].float())
        theirs = session.run(model_input(case, case.pixels[rows]))
        for row, mine, reference in zip(rows, ours.cpu().numpy(), theirs, strict=True):
            if not np.isfinite(reference).all():
                raise ModelError(
                    f"{case.graph.model.path}: onnxruntime's output for image {case.positions[row]} of the data is "
                    "NaN or infinite; check the model's weights and the --scale of its input."
                )
            differences.append(relative_difference(mine, reference))
        advance(len(rows))
    worst = float(np.max(differences))
    precision = "half" if case.file_graph.half else "single"
    tolerance = TOLERANCE[precision]
    # A NaN compares false with everything, so the test is for agreement.
    if not worst <= tolerance:
        raise ModelError(
            f"{case.graph.model.path}: nmcheck's execution of the model differs from onnxruntime's by {worst:.2g} of "
            f"the largest output (allowed {tolerance:g}), so no number about it could be trusted; please report this "
            "model."
        )
    return ConsistencyEntry(
        images=len(case.pixels),
        max_difference=worst,
        precision=precision,
        tolerance=tolerance,
        runtime=session.description,
        provider=session.provider,
        device=case.device,
    )


def model_input(case: Case, pixels: np.ndarray) -> np.ndarray:
    """Pixels as the file expects them: scaled, float32."""
    return (pixels * case.scale.gain + case.scale.offset).astype(np.float32)
