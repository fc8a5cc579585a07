"""Before anything is analysed: does our execution of the graph agree with onnxruntime on the file?"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from nmcheck.checks.case import Case
from nmcheck.errors import ModelError
from nmcheck.execute.agreement import HALF, SINGLE, differences, half_scale, single_scale
from nmcheck.execute.session import ReferenceSession
from nmcheck.results import ConsistencyEntry

_AT_A_TIME = 50
_PROBED_OUTPUTS = 64
"""Outputs that are enough to tell what float32's rounding does to them."""
_FEWEST, _MOST = 2, 16
"""Inputs that are run for it in float64."""
_SHRUNK = 2.0**-10
"""Where there are fewer images than that, they are shrunk by this part, and rounded anew."""


def check_consistency(case: Case, session: ReferenceSession, advance: Callable[[int], None]) -> ConsistencyEntry:
    """Compare the file's own output, every image used, with our float32 execution of it.

    Raises:
        ModelError: they differ by more than ``execute.agreement`` allows, or the file's output for an image is not
            finite.
    """
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    for rows in np.array_split(np.arange(len(case.pixels)), max(1, len(case.pixels) // _AT_A_TIME)):
        ours = case.single.output(case.images[torch.from_numpy(rows).to(case.device)].float())
        theirs = session.run(model_input(case, case.pixels[rows]))
        for row, reference in zip(rows, theirs, strict=True):
            if not np.isfinite(reference).all():
                raise ModelError(
                    f"{case.graph.model.path}: onnxruntime's output for image {case.positions[row]} of the data is "
                    "NaN or infinite; check the model's weights and the --scale of its input."
                )
        parts.append((_flat(ours.cpu().numpy()), _flat(theirs)))
        advance(len(rows))
    mine, reference = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    half = case.file_graph.half
    precision, tolerance = ("half", HALF) if half else ("single", SINGLE)
    scale = half_scale(reference) if half else single_scale(reference, *_probes(case, reference.shape[1]))
    found = differences(mine, reference, scale)
    worst = float(found.max(initial=0.0))
    # A NaN compares false with everything, so the test is for agreement.
    if not worst <= tolerance:
        row, output = np.unravel_index(int(np.nan_to_num(found, nan=np.inf).argmax()), found.shape)
        raise ModelError(
            f"{case.graph.model.path}: nmcheck's execution of the model differs from onnxruntime's in output "
            f"{output} of image {case.positions[row]} by {worst:.2g} of that output's own spread and rounding (allowed "
            f"{tolerance:g}), so no number about it could be trusted; please report this model."
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


def _flat(outputs: np.ndarray) -> np.ndarray:
    return outputs.reshape(len(outputs), -1).astype(np.float64)


def _probes(case: Case, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """The file's output for some of the images in float32 and in float64; more of them where it is a short one."""
    count = min(max(math.ceil(_PROBED_OUTPUTS / max(1, outputs)), _FEWEST), _MOST)
    order = np.arange(count)
    rows = order * len(case.pixels) // count if len(case.pixels) >= count else order % len(case.pixels)
    shrunk = 1 - _SHRUNK * (order // max(1, len(case.pixels)))
    images = case.images[torch.from_numpy(rows).to(case.device)]
    factors = torch.from_numpy(shrunk).to(images).reshape(-1, *[1] * (images.ndim - 1))
    images = (images * factors).float()
    both = (program.output(images.to(program.dtype)) for program in (case.single, case.double))
    single, double = (_flat(outputs.cpu().numpy()) for outputs in both)
    return single, double
