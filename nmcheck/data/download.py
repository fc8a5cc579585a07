"""Named data sets that are not in the package: downloaded once into the user's cache, over https, with checksums."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from nmcheck.errors import DataError

SPLIT_PREFIX = {"train": "train", "test": "t10k"}
_SECONDS = 30
"""A server that says nothing for so long is given up."""


@dataclass(frozen=True)
class RemoteSet:
    """A data set in four gzipped idx files.

    Attributes:
        name: the name of the set in ``--data``.
        bases: addresses of folders that the files lie in, with a trailing slash; the first that has them is used.
        sha256: checksum by file name.
    """

    name: str
    bases: tuple[str, ...]
    sha256: dict[str, str]


REMOTE = {
    "mnist": RemoteSet(
        "mnist",
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        {
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
    "fashion-mnist": RemoteSet(
        "fashion-mnist",
        # Zalando's own bucket, by the name that has a certificate, and their repository.
        (
            "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        {
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ),
}


class InsecureAddressError(ValueError):
    """An address, or one that it leads to, is not of the scheme that is allowed."""


def fetch(source: RemoteSet, split: str, cache: Path | None = None, *, scheme: str = "https") -> tuple[Path, Path]:
    """The files with images and labels of a named set, from the cache or the network.

    A file takes its name in the cache when it is whole and its checksum agrees.

    Args:
        source: one of ``REMOTE``.
        split: ``train`` or ``test``.
        cache: folder to keep the files in; by default the user's cache folder for nmcheck.
        scheme: of all addresses; others are neither asked nor followed to.

    Raises:
        DataError: if a file cannot be fetched or stored, or has not the expected content.
    """
    import pooch

    # pooch announces downloads on a logger of its own that writes to stderr by itself.
    pooch.get_logger().setLevel(logging.WARNING)
    folder = cache_folder(source, cache)
    images, labels = (
        _fetched(source, split, folder, f"{SPLIT_PREFIX[split]}-{kind}-ubyte.gz", scheme)
        for kind in ("images-idx3", "labels-idx1")
    )
    return images, labels


def _fetched(source: RemoteSet, split: str, folder: Path, file: str, scheme: str) -> Path:
    import pooch

    download: Any = pooch.HTTPDownloader(timeout=_SECONDS, hooks={"response": only(scheme)})
    failures = []
    for base in source.bases:
        try:
            if urlsplit(base).scheme != scheme:
                raise InsecureAddressError(f"{base} is not {scheme}")
            known = f"sha256:{source.sha256[file]}"
            return Path(pooch.retrieve(f"{base}{file}", known, fname=file, path=folder, downloader=download))
        except (OSError, ValueError) as error:
            # requests' errors are OSErrors; those of the system, of writing here, have a number.
            if isinstance(error, OSError) and isinstance(error.errno, int):
                raise DataError(
                    f"The data set {source.name}:{split} cannot be kept in {folder}: {error.strerror or error}; set "
                    "XDG_CACHE_HOME to a folder that can be written to, or put the four idx files into a folder and "
                    "give that as --data."
                ) from error
            failures.append((base, error))
    tried = ", ".join(f"{base}{file} ({_reason(error)})" for base, error in failures)
    raise DataError(
        f"The data set {source.name}:{split} could not be downloaded from {tried}; check the network, or put the four "
        "idx files into a folder and give that folder as --data."
    ) from failures[-1][1]


def only(scheme: str) -> Callable[..., None]:
    """Of every answer on the way to a file: refuse to follow it to an address of another scheme."""

    def check(response: Any, *_: Any, **__: Any) -> None:
        address = urljoin(response.url, response.headers.get("location", "")) if response.is_redirect else response.url
        if urlsplit(address).scheme != scheme:
            response.close()
            raise InsecureAddressError(f"{response.url} leads to {address}, which is not {scheme}")

    return check


def cache_folder(source: RemoteSet, cache: Path | None = None) -> Path:
    """Where the files of a named set are kept.

    Args:
        source: the set.
        cache: folder of all sets; by default the user's cache folder for nmcheck.

    Raises:
        DataError: the user has none, without a home.
    """
    import pooch

    # Without a home, a version of what pooch asks raises an error, and another leaves the "~" as it is.
    folder = cache
    if folder is None:
        with suppress(RuntimeError):
            folder = Path(pooch.os_cache("nmcheck"))
    if folder is None or not folder.is_absolute():
        raise DataError(
            "There is no folder to keep downloaded data in, for this user has no home folder; set XDG_CACHE_HOME to a "
            "folder that can be written to."
        )
    return folder / source.name


def _reason(error: Exception) -> str:
    if isinstance(error, InsecureAddressError):
        return str(error)
    if isinstance(error, ValueError) and "hash" in str(error):
        return "its content is not the expected one: the checksums differ"
    return type(error).__name__
