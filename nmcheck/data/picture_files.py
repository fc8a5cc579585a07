"""Image files, read by Pillow: bytes of grey or of red, green and blue, and nothing that would have to be guessed.

Formats are those of ``FORMATS`` whatever a file is called: nothing that runs a program to be read, such as PostScript.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from nmcheck.errors import DataError

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
MOST_PIXELS = 2**24
"""Of one image: 4,096 x 4,096, far more than any network takes that can be analysed."""
_GREY, _COLOUR = ("1", "L", "LA"), ("P", "PA", "RGB", "RGBA")
_REASONS = {
    "CMYK": "in CMYK, whose colours depend on a printer; save it in RGB",
    "F": "of floating-point numbers; give such images as .npz with --range",
    "I": "of more than 8 bits a pixel; save it with 8, or give such images as .npz with --range",
}
_DEEP = _REASONS["I"]
_OTHER = "in the colours {mode}; save it in RGB"
_PNG = b"\x89PNG\r\n\x1a\n"
_ORIENTATION, _BITS, _PHOTOMETRIC = 0x0112, 0x0102, 0x0106
"""Tags of EXIF and of TIFF."""
_YCBCR = 6
"""What the last of them says of luma and chroma."""


class UnusablePictureError(ValueError):
    """Why a file is no picture that can be used: the rest of a sentence that says "is"."""


@dataclass(frozen=True)
class Look:
    """What a picture's file says of it.

    Attributes:
        height: rows.
        width: columns.
        colour: whether it has three channels.
    """

    height: int
    width: int
    colour: bool


@runtime_checkable
class PictureReader(Protocol):
    """Reads image files."""

    def look(self, path: Path) -> Look:
        """What a file holds, without decoding it.

        Raises:
            UnusablePictureError: it holds no picture that could be used.
        """
        ...

    def pixels(self, path: Path) -> UInt8[np.ndarray, "height width *channels"]:
        """Its pixels: (H,W), or (H,W,3) where it is in colour.

        Raises:
            UnusablePictureError: it holds no picture that can be used.
        """
        ...


def pillow_reader(folder: Path) -> PictureReader:
    """Pillow's.

    Raises:
        DataError: if Pillow is not installed.
    """
    try:
        # The formats that Pillow would look for in all its plugins.
        from PIL import Image, TiffImagePlugin, WebPImagePlugin  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise DataError(
            f"{folder} looks like a folder of image files, and reading those needs Pillow, which is not installed; "
            "install it with: pip install 'nmcheck[images]'."
        ) from error
    return _Pillow(Image)


class _Pillow:
    def __init__(self, module: Any) -> None:
        self._module = module

    def look(self, path: Path) -> Look:
        with self._opened(path) as image:
            _refuse(image, path)
            return Look(image.height, image.width, image.mode in _COLOUR)

    def pixels(self, path: Path) -> np.ndarray:
        with self._opened(path) as image:
            if image.format == "PNG":
                # Its checksums, which decoding passes over; other formats have none.
                image.verify()
        # Where there is no standard error, the file itself may have its number.
        with self._opened(path) as image, _silenced(image.format == "TIFF" and image.fp.fileno() != 2):
            _refuse(image, path)
            mode = "L" if image.mode in _GREY else "RGB"
            opaque = image
            if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
                opaque = image.convert("RGBA")
                if opaque.getchannel("A").getextrema()[0] < 255:
                    raise UnusablePictureError("transparent in places; save it on the background it is to be seen on")
                # Grey has three equal channels here, and would be weighed into numbers that can be one off.
                opaque = opaque.getchannel("R") if mode == "L" else opaque
            return np.asarray(opaque.convert(mode), dtype=np.uint8)

    @contextmanager
    def _opened(self, path: Path) -> Iterator[Any]:
        """An image whose header has been read. Whatever Pillow raises over a damaged file is a reason."""
        try:
            with warnings.catch_warnings(), _Bounded(path) as file:
                # Of odd metadata, which is not read, and of sizes, which are checked.
                warnings.simplefilter("ignore")
                with self._module.open(file, formats=FORMATS) as image:
                    yield image
        except UnusablePictureError:
            raise
        except self._module.DecompressionBombError as error:
            raise UnusablePictureError(_too_large(None)) from error
        except self._module.UnidentifiedImageError as error:
            raise UnusablePictureError(f"not to be read: it is damaged, or no image in {', '.join(FORMATS)}") from error
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".") or type(error).__name__
            raise UnusablePictureError(f"not to be read: it is damaged ({reason[:100]})") from error


class _Bounded(io.BufferedReader):
    """A file of which nobody can ask for more than it has: damaged ones make Pillow do so, which would take memory."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


@contextmanager
def _silenced(wanted: bool) -> Iterator[None]:
    """Without what a C library writes to standard error by itself, as libtiff does of damaged files."""
    try:
        kept = os.dup(2) if wanted else None
    except OSError:  # there is no standard error
        kept = None
    if kept is None:
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _refuse(image: Any, path: Path) -> None:
    """Refuse what could only be read by guessing, by what the header says.

    Raises:
        UnusablePictureError: with the reason.
    """
    if image.width * image.height > MOST_PIXELS:
        raise UnusablePictureError(_too_large(image.size))
    if image.width < 1 or image.height < 1:
        raise UnusablePictureError("without pixels")
    frames = getattr(image, "n_frames", 1)
    if frames != 1:
        raise UnusablePictureError(f"of {frames:,} pictures (animated, or of several pages); save one of them")
    if image.mode not in (*_GREY, *_COLOUR):
        kind = "I" if image.mode.startswith("I") else image.mode
        raise UnusablePictureError(_REASONS.get(kind, _OTHER.format(mode=image.mode)))
    if image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == _YCBCR and image.tile[0][0] == "raw":
        # Pillow before 13 takes such bytes for RGB with a fourth one.
        raise UnusablePictureError(_OTHER.format(mode="YCbCr"))
    if _is_deep(image, path):
        raise UnusablePictureError(_DEEP)
    turned = image.getexif().get(_ORIENTATION, 1)
    if turned != 1:
        raise UnusablePictureError(
            f"to be turned before it is seen (EXIF orientation {turned}), which some programs that train networks do "
            "and others do not; save it turned, or without that entry"
        )


def _is_deep(image: Any, path: Path) -> bool:
    """Whether there are more than 8 bits a channel, which Pillow would cut off in silence."""
    if image.format == "PNG":
        with path.open("rb") as file:
            # Signature, length and name of the first chunk, width and height; then the bits.
            head = file.read(25)
        return head.startswith(_PNG) and head[24] > 8
    if image.format == "TIFF":
        bits = image.tag_v2.get(_BITS, 1)
        return max(bits if isinstance(bits, tuple) else (bits,)) > 8
    if image.format == "PPM":
        # Of the decoder, last the value that stands for white where it is not 255.
        arguments: Any = image.tile[0][3] if image.tile else None
        return isinstance(arguments, tuple) and isinstance(arguments[-1], int) and arguments[-1] > 255
    return False


def _too_large(size: tuple[int, int] | None) -> str:
    pixels = "" if size is None else f"of {size[0]:,} x {size[1]:,} pixels, "
    return f"{pixels}larger than the {MOST_PIXELS:,} pixels that nmcheck reads; resize it to the model's size"
