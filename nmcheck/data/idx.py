"""The idx files MNIST is published in, plain or gzipped.

A file starts with two zero bytes, a type code, the number of axes, and the length of each axis as a big-endian 32-bit
integer; the values follow, big-endian.
"""

from __future__ import annotations

import gzip
import re
import zlib
from math import prod
from pathlib import Path

import numpy as np

from nmcheck.errors import DataError

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
NAME = re.compile(r"(?P<split>train|t10k|test)?[-_.]?(?P<what>images|labels)[-_.]idx[0-9][-_.]ubyte(\.gz)?")


def has_idx_files(folder: Path) -> bool:
    """Whether a folder holds idx files by the names MNIST and its kin use."""
    return any(NAME.fullmatch(entry.name) for entry in folder.iterdir() if entry.is_file())


def read_idx_folder(folder: Path, split: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Images and labels (None if there is no such file) of one part of the data.

    Args:
        folder: holds files such as ``t10k-images-idx3-ubyte.gz``.
        split: ``train``, ``test`` or None (the test images, unless there is only one part).

    Raises:
        DataError: if there are no such images or a file is damaged.
    """
    parts: dict[str, dict[str, Path]] = {}
    # Sorted, so that a plain file wins over its gzipped twin.
    for path in sorted((entry for entry in folder.iterdir() if entry.is_file()), reverse=True):
        match = NAME.fullmatch(path.name)
        if match:
            part = "test" if match["split"] == "t10k" else match["split"] or "all"
            parts.setdefault(part, {})[match["what"]] = path
    with_images = {part: files for part, files in parts.items() if "images" in files}
    wanted = split or "test"
    if wanted not in with_images:
        if split is not None or len(with_images) != 1:
            raise DataError(
                f"{folder} has no idx images for '{wanted}' (parts with images: {', '.join(with_images) or 'none'}); "
                "name the part to use, as in FOLDER:train."
            )
        wanted = next(iter(with_images))
    files = with_images[wanted]
    return read_idx(files["images"]), read_idx(files["labels"]) if "labels" in files else None


def read_idx(path: Path) -> np.ndarray:
    """The array of one idx file, in this machine's byte order.

    Raises:
        DataError: if the file is damaged or no idx file.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES:
        raise DataError(f"{path} is no idx file: it does not start with the magic number of one.")
    kind, rank = np.dtype(TYPES[content[2]]), content[3]
    header = 4 + 4 * rank
    if len(content) < header:
        raise DataError(f"{path} is cut off in its header; download it again.")
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, header, 4))
    expected = prod(shape) * kind.itemsize
    if len(content) - header != expected:
        raise DataError(
            f"{path} should hold {expected} bytes of values for its shape {shape}, but holds {len(content) - header}; "
            "download it again."
        )
    return np.frombuffer(content, dtype=kind, offset=header).reshape(shape).astype(kind.newbyteorder("="))
