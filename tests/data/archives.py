"""Archives and arrays that numpy would not write."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np


def npy(array: np.ndarray | np.generic) -> bytes:
    """An array as numpy saves it."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def header(text: str, version: tuple[int, int] = (1, 0), length: int | None = None) -> bytes:
    """The beginning of a .npy file with any text where numpy has a dictionary."""
    content = text.encode("latin1") + b"\n"
    claimed = len(content) if length is None else length
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version == (1, 0) else "<I", claimed) + content


def plain(shape: object, descr: str = "'|u1'", fortran: str = "False") -> bytes:
    """A header as numpy writes it, of any shape and type."""
    return header(f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}")


def write_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    """A zip file of members as they are."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def zeros_member(head: bytes, count: int) -> tuple[bytes, int, int]:
    """A header and so many zeros, deflated without ever being in memory: the bytes, their length and their checksum."""
    packer, crc, parts = zlib.compressobj(9, zlib.DEFLATED, -15), zlib.crc32(head), []
    parts.append(packer.compress(head))
    block = bytes(1 << 20)
    for start in range(0, count, len(block)):
        piece = block[: count - start]
        crc = zlib.crc32(piece, crc)
        parts.append(packer.compress(piece))
    return b"".join([*parts, packer.flush()]), len(head) + count, crc
