"""Named data sets that are not in the package: downloaded once into the user's cache, with checksums."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nmcheck.data.idx import read_idx
from nmcheck.errors import DataError

SPLIT_PREFIX = {"train": "train", "test": "t10k"}


@dataclass(frozen=True)
class RemoteSet:
    """A data set in four gzipped idx files.

    Attributes:
        name: the name of the set in ``--data``.
        base: address of the folder the files lie in, with a trailing slash.
        md5: checksum by file name, as torchvision publishes them.
    """

    name: str
    base: str
    md5: dict[str, str]


REMOTE = {
    "mnist": RemoteSet(
        "mnist",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
    "fashion-mnist": RemoteSet(
        "fashion-mnist",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        {
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
}


def cache_folder(source: RemoteSet, cache: Path | None = None) -> Path:
    """Where the files of a named set are kept.

    Args:
        source: the set.
        cache: folder of all sets; by default the user's cache folder for nmcheck.

    Raises:
        DataError: the user has none, without a home.
    """
    import pooch

    try:
        return (cache or Path(pooch.os_cache("nmcheck"))) / source.name
    except RuntimeError as error:
        raise DataError(
            f"There is no folder to keep the data set {source.name} in ({error}); set HOME or XDG_CACHE_HOME."
        ) from error


def read_remote(source: RemoteSet, split: str, cache: Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of a named set, from the cache or the network.

    Args:
        source: one of ``REMOTE``.
        split: ``train`` or ``test``.
        cache: folder to keep the files in; by default the user's cache folder for nmcheck.

    Raises:
        DataError: if a file cannot be fetched or stored, or has not the expected content.
    """
    import pooch

    # pooch announces downloads on a logger of its own that writes to stderr by itself.
    pooch.get_logger().setLevel(logging.WARNING)
    folder = cache_folder(source, cache)
    arrays = []
    for kind in ("images-idx3", "labels-idx1"):
        file = f"{SPLIT_PREFIX[split]}-{kind}-ubyte.gz"
        try:
            path = pooch.retrieve(f"{source.base}{file}", f"md5:{source.md5[file]}", fname=file, path=folder)
        # requests' errors are OSErrors; a checksum that differs is a ValueError.
        except (OSError, ValueError) as error:
            raise DataError(
                f"The data set {source.name}:{split} could not be downloaded from {source.base}{file} "
                f"({type(error).__name__}); check the network, or put the four idx files into a folder and give that "
                "folder as --data."
            ) from error
        arrays.append(read_idx(Path(path)))
    return arrays[0], arrays[1]
