"""Files about attacked images: the adversarial examples themselves, and questions for external verifiers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from nmcheck.checks.adversarial import Box, NormName
from nmcheck.checks.attacks import AttackedImages
from nmcheck.checks.case import Case
from nmcheck.data import to_stored_layout
from nmcheck.data.pictures import check_png, triples, write_png
from nmcheck.data.vnnlib import instances, robustness_property
from nmcheck.errors import OutputError, UnsupportedError
from nmcheck.whole_file import whole_file

ADVERSARIAL_FILES = ("adversarial_*.npz", "adversarial_*.png")
VNNLIB_FILES = ("linf_*/image_*_linf_*.vnnlib", "linf_*/instances.csv")
"""Patterns of the names of what is written; questions lie in a folder for each norm."""
TIMEOUT = 120
"""Seconds an external verifier is given for a question, by default."""


def check_saving(case: Case, norm: NormName, box: Box | None, folder: Path) -> None:
    """Find out before the attacks whether ``save_adversarial`` has what it needs.

    Raises:
        OutputError: the data are images, of which it draws pictures, and Pillow is not installed.
    """
    if case.dataset.unit == "pixel":
        check_png(_arrays(folder, norm, box).with_suffix(".png"), case.dataset.images.shape[1:])


def save_adversarial(case: Case, attacked: AttackedImages, folder: Path) -> tuple[Path, ...]:
    """Write the nearest adversarial example of every image that has one.

    ``adversarial_NORM[_boxed].npz`` has arrays ``index``, ``label``, ``predicted``, ``adversarial_class``, ``norm``,
    ``attack``, and in the layout of the data and in pixel units ``original`` and ``adversarial``. Where the data are
    images, a PNG file of the same name shows original, stretched change and adversarial image side by side.

    Raises:
        OutputError: the folder or a file cannot be written, or Pillow is not installed.
    """
    rows = np.flatnonzero(np.isfinite(attacked.nearest.norms))
    shape = case.graph.shapes[case.graph.input]
    stored = case.dataset.images.shape[1:]
    original, adversarial = (
        to_stored_layout(images[rows], stored, shape, case.graph.batch_axis)
        for images in (case.pixels, attacked.nearest.pixels)
    )
    arrays = _arrays(folder, attacked.norm, attacked.box)
    with _filled(folder), whole_file(arrays) as file:
        np.savez_compressed(
            file,
            index=case.positions[rows],
            label=case.classes_of_images.cpu().numpy()[rows],
            predicted=case.predicted.cpu().numpy()[rows],
            adversarial_class=attacked.nearest.classes[rows],
            norm=attacked.nearest.norms[rows],
            attack=np.array([attacked.methods[row] for row in rows], dtype=str),
            original=original,
            adversarial=adversarial,
        )
    grid = triples(original, adversarial) if case.dataset.unit == "pixel" else None
    if grid is None:
        return (arrays,)
    write_png(arrays.with_suffix(".png"), grid)
    return arrays, arrays.with_suffix(".png")


def _arrays(folder: Path, norm: NormName, box: Box | None) -> Path:
    return folder / f"adversarial_{norm}{'' if box is None else '_boxed'}.npz"


def export_vnnlib(
    case: Case,
    rows: np.ndarray,
    epsilon: float,
    folder: Path,
    *,
    box: Box | None = None,
    timeout: int = TIMEOUT,
) -> tuple[Path, ...]:
    """Write one VNN-LIB 1.0 question an image, and ``instances.csv``.

    Each asks: can a change of at most epsilon in every pixel (Linf) bring another class's output up to the predicted
    one's? Of classes whose outputs are equal everywhere only the first can be predicted, so only it is asked about. The
    inputs are those of the file, so the scaling in front of it is in the bounds.

    Args:
        case: the model and its images.
        rows: places among the case's images that are asked about.
        epsilon: Linf radius in pixel units; VNN-LIB has no quadratic constraint, so there is no L2 question.
        folder: where the files go.
        box: range the pixels stay in, or None.
        timeout: seconds that ``instances.csv`` gives a question.

    Returns:
        The files written, ``instances.csv`` last; none if no image is asked about.

    Raises:
        UnsupportedError: the file's output are no scores, one a class.
        OutputError: a file cannot be written.
    """
    graph = case.graph
    classes = case.single.classes
    if int(np.prod(graph.shapes[graph.output])) != classes:
        raise UnsupportedError(
            f"{graph.model.path}: its output '{graph.output}' is the class itself, and a VNN-LIB question compares one "
            "output a class; export the model without its arg-max."
        )
    if not len(rows):
        return ()
    predicted = case.predicted.cpu().numpy()
    written, listed = [], []
    with _filled(folder):
        # Relative to the list itself, as verifiers read it, where both lie on one disk.
        model = Path(graph.model.path).resolve()
        network = os.path.relpath(model, folder.resolve()) if model.anchor == folder.resolve().anchor else str(model)
        for row in rows:
            pixels, label, index = case.pixels[row], int(predicted[row]), int(case.positions[row])
            ends = [pixels - epsilon, pixels + epsilon]
            ends = ends if box is None else [end.clip(*box) for end in ends]
            low, high = (np.ravel(end * case.scale.gain + case.scale.offset) for end in ends)
            kept = "" if box is None else f", pixels in {box[0]:g} to {box[1]:g}"
            comment = (
                f"{Path(graph.model.path).name}, sha256 of graph and weights {graph.model.fingerprint}",
                f"{case.dataset.name}, image {index}, predicted class {label}, scale {case.scale.name}",
                f"Linf radius {epsilon:g} in pixel units{kept}",
            )
            path = folder / f"image_{index}_linf_{epsilon:g}.vnnlib"
            with whole_file(path) as file:
                question = robustness_property(low, high, classes, label, comment, masked=case.single.never)
                file.write(_bytes(question))
            written.append(path)
            listed.append((network, path.name, timeout))
        table = folder / "instances.csv"
        with whole_file(table) as file:
            file.write(_bytes(instances(listed)))
    return (*written, table)


@contextmanager
def _filled(folder: Path) -> Iterator[None]:
    """Make a folder to write files into, which is gone again if that ends before one is there.

    Raises:
        OutputError: something cannot be written.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException as error:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            raise _unwritable(folder, error) from error
        raise


def _bytes(text: str) -> bytes:
    """UTF-8, in which names of files keep the bytes that are no text."""
    return text.encode("utf-8", "surrogateescape")


def _unwritable(folder: Path, error: OSError) -> OutputError:
    return OutputError(f"{folder} cannot be written: {error.strerror or error}; choose another folder.")
