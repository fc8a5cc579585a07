"""The worst images as pictures: as they are, with noise, and changed by an attack. For pages; no report holds them."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64, UInt8

from nmcheck.checks.case import Case
from nmcheck.checks.gate.evidence import Bracket
from nmcheck.checks.gate.flip_run import FlipRun, noise
from nmcheck.checks.sampling import SampledNetwork
from nmcheck.checks.seeds import Purpose, noise_seed
from nmcheck.decision import predicted_class
from nmcheck.results.picture import Picture, PicturedImage

MOST_IMAGES = 6
_MOST_PIXELS = 512 * 512


def worst_images(
    case: Case,
    network: SampledNetwork,
    flips: Mapping[float, FlipRun],
    brackets: tuple[Bracket, ...],
    seed: int,
) -> tuple[PicturedImage, ...]:
    """The images that noise or attacks move most easily; none for feature vectors.

    Images classified wrongly come last: their labels need no change. Of the others, those with the most flips at the
    largest noise level come first, then those with the nearest adversarial example, then the least certified radius.
    """
    if case.dataset.unit == "feature" or _drawable(case, case.pixels[0]) is None:
        return ()
    count = len(case.positions)
    run = flips[max(flips)] if flips else None
    predicted = case.predicted.cpu().numpy()
    shares = np.zeros(count)
    if run is not None:
        shares = 1.0 - run.winners[np.arange(count), predicted] / run.rounds
    upper = np.min([np.full(count, np.inf), *(found.upper for found in brackets)], axis=0)
    lower = np.min([np.full(count, np.inf), *(found.lower for found in brackets)], axis=0)
    order = sorted(
        range(count), key=lambda row: (not bool(case.correct[row]), -shares[row], upper[row], lower[row], row)
    )
    return tuple(_pictured(case, network, run, brackets, row, seed=seed) for row in order[:MOST_IMAGES])


def _pictured(
    case: Case, network: SampledNetwork, run: FlipRun | None, brackets: tuple[Bracket, ...], row: int, *, seed: int
) -> PicturedImage:
    position, label = int(case.positions[row]), int(case.classes_of_images[row])
    found = [
        Picture(
            kind="as it is",
            predicted=int(case.predicted[row]),
            distance=None,
            norm=None,
            png=_png(case, case.pixels[row]),
        )
    ]
    if run is not None:
        stream = np.random.Generator(np.random.PCG64(noise_seed(seed, Purpose.PICTURES, position, 0)))
        noisy = case.images[row].flatten() + noise(case, run.sigma, stream, 16)
        classes = predicted_class(network.evaluate(noisy)).cpu().numpy()
        # The first draw that flips, if one of these does: a picture of what the flips look like.
        draw = int(np.argmax(classes != int(case.predicted[row])))
        found.append(
            Picture(
                kind=f"noise {run.sigma:g}",
                predicted=int(classes[draw]),
                distance=None,
                norm=None,
                png=_png(case, noisy[draw].cpu().numpy()),
            )
        )
    for one in brackets:
        best = one.best(row)
        if best is None or best.examples is None or best.predicted[row] is None:
            continue
        found.append(
            Picture(
                kind="changed",
                predicted=int(best.predicted[row] or 0),
                distance=float(one.upper[row]),
                norm=one.norm,
                png=_png(case, best.examples[row]),
            )
        )
    return PicturedImage(index=position, label=label, pictures=tuple(found))


def _drawable(case: Case, pixels: np.ndarray) -> UInt8[np.ndarray, "height width channels"] | None:
    """8-bit gray or color values; None for what is no picture."""
    values: np.ndarray = np.asarray(pixels, dtype=np.float64)
    sample = case.dataset.images.shape[1:]
    values = (
        values.reshape(sample) if values.squeeze().ndim == 1 and values.size == np.prod(sample) else values.squeeze()
    )
    if values.ndim == 2:
        values = values[:, :, None]
    elif values.ndim == 3 and values.shape[0] in (1, 3):
        values = values.transpose(1, 2, 0)
    if values.ndim != 3 or values.shape[2] not in (1, 3) or values.shape[0] * values.shape[1] > _MOST_PIXELS:
        return None
    return np.rint(255.0 * np.clip(values, 0.0, 1.0)).astype(np.uint8)


def _png(case: Case, pixels: Float64[np.ndarray, "..."]) -> str:
    """A picture as base64 of a PNG (ISO 15948): each row behind filter 0, deflated."""
    drawn = _drawable(case, pixels)
    assert drawn is not None
    height, width, channels = drawn.shape
    rows = b"".join(b"\0" + drawn[y].tobytes() for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return base64.b64encode(content).decode("ascii")
