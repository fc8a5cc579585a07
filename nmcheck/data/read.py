"""``--data``: from a name, a file or a folder to a data set.

Names win over files: to read a folder called ``mnist``, write ``./mnist``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from math import prod
from pathlib import Path

from nmcheck.data.dataset import Dataset, as_labels, check_images
from nmcheck.data.download import REMOTE, cache_folder, fetch
from nmcheck.data.folders import open_class_folders
from nmcheck.data.idx import has_idx_files, idx_files, open_idx
from nmcheck.data.memory import check_room, working_bytes
from nmcheck.data.npz import open_npz
from nmcheck.data.picture_files import pillow_reader
from nmcheck.data.selection import choose
from nmcheck.data.source import Source
from nmcheck.data.values import Range, ValueCheck
from nmcheck.errors import DataError

SPLITS = ("train", "test")


def read_data(spec: str, value_range: Range | None, samples: int | None = None, seed: int = 0) -> Dataset:
    """Read a data set, or of a large one the images that are to be analysed.

    The shape is known before anything is read, and only the images that ``select`` chooses of the data are kept. What
    passes by on the way to them is checked too: values of all images in archives, of those used in other files.

    Args:
        spec: ``mnist`` (its 10,000 test images, which come with nmcheck), ``mnist:train``, ``fashion-mnist`` or
            ``fashion-mnist:train`` (downloaded once); a ``.npz`` file; a folder of idx files; a folder with one
            sub-folder of images per class. ``:train`` or ``:test`` after a file or a folder of idx files chooses a
            part of it.
        value_range: the values that mean 0 and 1; None for 0 to 255 (uint8) or 0 to 1 (floating point).
        samples: how many images will be selected; None for all.
        seed: of their choice.

    Raises:
        DataError: if there is no such data, it is damaged, it is no set of images or vectors, or the images wanted do
            not fit in memory.
        UsageError: if ``samples`` is not positive.
    """
    source, split = _parse(spec)
    with _opened(source, split) as found:
        check_images(found.shape, found.dtype, spec)
        total = found.shape[0]
        wanted = total if samples is None else min(samples, total)
        values = prod(found.shape[1:])
        check_room(
            working_bytes(max(wanted, 1) * values, found.dtype.itemsize),
            f"{spec}: the choice of {max(wanted, 1):,} images of shape {found.shape[1:]}",
            "take fewer --samples" if wanted > 1 else "check the file",
        )
        labels = None if found.labels is None else as_labels(found.labels, total, spec)
        chosen = choose(labels, total, total if samples is None else samples, seed)
        check = ValueCheck(spec, found.dtype, len(found.shape), value_range)
        images = found.read(chosen, check)
        check.finish()
    return Dataset(
        name=spec,
        images=images,
        labels=labels,
        value_range=value_range,
        positions=None if len(chosen) == total else chosen,
        available=total,
        notes=found.notes,
    )


def path_of(spec: str) -> Path:
    """The file or folder that is read for a data spec, whether it is there or not."""
    source, split = _parse(spec)
    if source == "mnist" and split != "train":
        return Path(str(files("nmcheck.data") / "mnist.npz"))
    return cache_folder(REMOTE[source]) if source in REMOTE else Path(source)


def _parse(spec: str) -> tuple[str, str | None]:
    head, colon, tail = spec.rpartition(":")
    if colon and tail in SPLITS:
        return head, tail
    return spec, None


@contextmanager
def _opened(source: str, split: str | None) -> Iterator[Source]:
    if source == "mnist" and split != "train":
        with as_file(files("nmcheck.data") / "mnist.npz") as path, open_npz(path, None) as found:
            yield found
        return
    if source in REMOTE:
        with open_idx(*fetch(REMOTE[source], split or "test")) as found:
            yield found
        return
    path = Path(source)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError) as error:
        raise DataError(f"{source!r} cannot be read as data: {error}.") from error
    if not (is_folder or is_file):
        raise DataError(
            f"There is no data called '{source}': it is neither a known set ({', '.join(REMOTE)}) nor a file or "
            "folder; check the path given to --data."
        )
    if is_folder:
        with _opened_folder(path, split) as found:
            yield found
        return
    if path.suffix != ".npz":
        raise DataError(f"{source} is not a .npz file; save the images as x and the labels as y with numpy.savez.")
    with open_npz(path, split) as found:
        yield found


@contextmanager
def _opened_folder(folder: Path, split: str | None) -> Iterator[Source]:
    try:
        has_idx = has_idx_files(folder)
        files_of_part = idx_files(folder, split) if has_idx else None
    except OSError as error:
        raise DataError(f"{folder} cannot be read as data: {error.strerror or error}.") from error
    if files_of_part is not None:
        with open_idx(*files_of_part) as found:
            yield found
    elif split is not None:
        raise DataError(f"{folder} holds no idx files, so it has no part '{split}'; give the folder itself.")
    else:
        yield open_class_folders(folder, pillow_reader(folder))
