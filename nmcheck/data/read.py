"""``--data``: from a name, a file or a folder to a data set.

Names win over files: to read a folder called ``mnist``, write ``./mnist``.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from nmcheck.data.dataset import Dataset, Range, as_labels
from nmcheck.data.download import REMOTE, cache_folder, read_remote
from nmcheck.data.folders import pillow_decoder, read_class_folders
from nmcheck.data.idx import has_idx_files, read_idx_folder
from nmcheck.data.npz import read_npz
from nmcheck.errors import DataError

SPLITS = ("train", "test")


def read_data(spec: str, value_range: Range | None) -> Dataset:
    """Read a data set.

    Args:
        spec: ``mnist`` (its 10,000 test images, which come with nmcheck), ``mnist:train``, ``fashion-mnist`` or
            ``fashion-mnist:train`` (downloaded once); a ``.npz`` file; a folder of idx files; a folder with one
            sub-folder of images per class. ``:train`` or ``:test`` after a file or a folder of idx files chooses a
            part of it.
        value_range: the values that mean 0 and 1; None for 0 to 255 (uint8) or 0 to 1 (floating point).

    Raises:
        DataError: if there is no such data, it is damaged, or it is no set of images or vectors.
    """
    source, split = _parse(spec)
    images, labels = _read(source, split)
    return Dataset(
        name=spec,
        images=images,
        labels=None if labels is None else as_labels(labels, len(images) if images.ndim else 0, spec),
        value_range=value_range,
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


def _read(source: str, split: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    if source == "mnist" and split != "train":
        with as_file(files("nmcheck.data") / "mnist.npz") as path:
            return read_npz(path, None)
    if source in REMOTE:
        return read_remote(REMOTE[source], split or "test")
    path = Path(source)
    try:
        if path.is_dir():
            return _read_folder(path, split)
        found = path.is_file()
    except (OSError, ValueError) as error:
        raise DataError(f"{source!r} cannot be read as data: {error}.") from error
    if not found:
        raise DataError(
            f"There is no data called '{source}': it is neither a known set ({', '.join(REMOTE)}) nor a file or "
            "folder; check the path given to --data."
        )
    if path.suffix != ".npz":
        raise DataError(f"{source} is not a .npz file; save the images as x and the labels as y with numpy.savez.")
    return read_npz(path, split)


def _read_folder(folder: Path, split: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    if has_idx_files(folder):
        return read_idx_folder(folder, split)
    if split is not None:
        raise DataError(f"{folder} holds no idx files, so it has no part '{split}'; give the folder itself.")
    return read_class_folders(folder, pillow_decoder(folder))
