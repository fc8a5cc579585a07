"""Image files that could be misread: read right, or refused by name with the reason."""

import os
import re
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest

from nmcheck.data import read_data
from nmcheck.data.picture_files import FORMATS, SUFFIXES, PictureReader, UnusablePictureError, pillow_reader
from nmcheck.errors import DataError

Image = pytest.importorskip("PIL.Image", reason="needs Pillow, an optional dependency")
PIXELS = (np.arange(48).reshape(6, 8) * 5).astype(np.uint8)
GREY = Image.fromarray(PIXELS)
COLOUR = Image.merge("RGB", (GREY, GREY, GREY.point(lambda value: 255 - value)))
OPAQUE = Image.new("L", GREY.size, 255)
RIGHT = np.asarray(COLOUR)
PALETTE = COLOUR.convert("P")
FIRST = PALETTE.getpixel((0, 0))
MORE = {"save_all": True, "append_images": [COLOUR.rotate(180)]}


def saved(folder: Path, image, name: str, **options) -> Path:
    path = folder / name
    image.save(path, **options)
    return path


def exif(orientation: int):
    found = Image.Exif()
    found[0x0112] = orientation
    return found


READ = {
    "grey": (GREY, "a.png", {}, PIXELS),
    "colour": (COLOUR, "a.png", {}, RIGHT),
    "one bit": (GREY.point(lambda value: 255 * (value > 99), "1"), "a.png", {}, np.where(PIXELS > 99, 255, 0)),
    "one bit, BMP": (GREY.point(lambda value: 255 * (value > 99), "1"), "a.bmp", {}, np.where(PIXELS > 99, 255, 0)),
    "one bit, PBM": (GREY.point(lambda value: 255 * (value > 99), "1"), "a.ppm", {}, np.where(PIXELS > 99, 255, 0)),
    "palette": (COLOUR.convert("P", palette=Image.Palette.ADAPTIVE), "a.png", {}, RIGHT),
    "palette, GIF": (COLOUR.convert("P", palette=Image.Palette.ADAPTIVE), "a.gif", {}, RIGHT),
    "palette with an entry that is transparent and not used": (
        COLOUR.convert("P", palette=Image.Palette.ADAPTIVE), "a.png", {"transparency": 255}, RIGHT
    ),
    "opaque alpha": (Image.merge("RGBA", (*COLOUR.split(), OPAQUE)), "a.png", {}, RIGHT),
    "opaque alpha, grey": (Image.merge("LA", (GREY, OPAQUE)), "a.png", {}, PIXELS),
    "opaque alpha, WebP": (Image.merge("RGBA", (*COLOUR.split(), OPAQUE)), "a.webp", {"lossless": True}, RIGHT),
    "a transparent colour that is not there": (COLOUR, "a.png", {"transparency": (1, 2, 3)}, RIGHT),
    "a transparent grey that is not there": (GREY, "a.png", {"transparency": 1}, PIXELS),
    "packed TIFF": (COLOUR, "a.tif", {"compression": "tiff_lzw"}, RIGHT),
    "PGM": (GREY, "a.pgm", {}, PIXELS),
    "interlaced of another name": (COLOUR, "a.tiff", {"format": "PNG"}, RIGHT),
    "orientation 1": (COLOUR, "a.png", {"exif": exif(1)}, RIGHT),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_read_right(tmp_path, name):
    image, file, options, right = READ[name]
    path = saved(tmp_path, image, file, **options)
    reader = pillow_reader(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        look, pixels = reader.look(path), reader.pixels(path)
    assert np.array_equal(pixels, right)
    assert pixels.dtype == np.uint8
    assert (look.height, look.width, look.colour) == (*right.shape[:2], right.ndim == 3)


DEEP = "of more than 8 bits a pixel; save it with 8"
REFUSED = {
    "16 bits": (Image.fromarray(PIXELS.astype(np.uint16) * 200), "a.png", {}, DEEP),
    "16 bits, TIFF": (Image.fromarray(PIXELS.astype(np.uint16) * 200), "a.tif", {}, DEEP),
    "16 bits, PGM": (Image.fromarray(PIXELS.astype(np.int32) * 200), "a.pgm", {}, DEEP),
    "32 bits": (Image.fromarray(PIXELS.astype(np.int32)), "a.tif", {}, DEEP),
    "fractions": (Image.fromarray(PIXELS / np.float32(255)), "a.tif", {}, "of floating-point numbers"),
    "CMYK": (COLOUR.convert("CMYK"), "a.jpg", {}, "in CMYK, whose colours depend on a printer; save it in RGB"),
    "CMYK, TIFF": (COLOUR.convert("CMYK"), "a.tif", {}, "in CMYK"),
    "YCbCr": (COLOUR.convert("YCbCr"), "a.tif", {}, "in the colours YCbCr; save it in RGB"),
    "LAB": (COLOUR.convert("LAB"), "a.tif", {}, "in the colours LAB"),
    "transparent": (Image.merge("RGBA", (*COLOUR.split(), GREY)), "a.png", {}, "transparent in places"),
    "transparent, grey": (Image.merge("LA", (GREY, GREY)), "a.png", {}, "transparent in places"),
    "transparent, WebP": (Image.merge("RGBA", (*COLOUR.split(), GREY)), "a.webp", {"lossless": True}, "transparent"),
    "a transparent colour": (COLOUR, "a.png", {"transparency": COLOUR.getpixel((0, 0))}, "transparent in places"),
    "a transparent grey": (GREY, "a.png", {"transparency": 5}, "transparent in places"),
    "a transparent entry of a palette": (PALETTE, "a.png", {"transparency": FIRST}, "transparent in places"),
    "a transparent entry of a GIF": (PALETTE, "a.gif", {"transparency": FIRST}, "transparent in places"),
    "a moving GIF": (COLOUR, "a.gif", MORE, "of 2 pictures"),
    "a moving PNG": (COLOUR, "a.png", MORE, "of 2 pictures"),
    "a moving WebP": (COLOUR, "a.webp", MORE, "of 2 pictures"),
    "pages": (COLOUR, "a.tif", {"save_all": True, "append_images": [COLOUR] * 2}, "of 3 pictures"),
    "two pictures of a camera": (COLOUR, "a.jpg", {"format": "MPO", **MORE}, "of 2 pictures"),
    **{f"turned, {suffix}": (COLOUR, f"a.{suffix}", {"exif": exif(turn)}, f"EXIF orientation {turn}")
       for suffix, turn in (("jpg", 6), ("png", 3), ("webp", 8), ("tif", 2))},
    **{kind: (COLOUR, "a.png", {"format": kind}, f"not to be read: it is damaged, or no image in {', '.join(FORMATS)}")
       for kind in ("EPS", "PDF", "ICO", "TGA", "PCX", "SGI", "DDS", "ICNS")},
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(tmp_path, name):
    image, file, options, reason = REFUSED[name]
    (tmp_path / "cat").mkdir()
    saved(tmp_path / "cat", image, file, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=rf"cat/{file} is .*{re.escape(reason)}"):
            read_data(str(tmp_path), None)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, bits: int, colours: int, rows: bytes, *more: bytes) -> bytes:
    """A PNG file of any header."""
    head = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    parts = [chunk(b"IHDR", head), *more, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def look_and_read(reader: PictureReader, path: Path) -> np.ndarray:
    look = reader.look(path)
    pixels = reader.pixels(path)
    assert pixels.shape[:2] == (look.height, look.width)
    return pixels


FILES = {
    "16 bits in colour": (png(2, 1, 16, 2, bytes(13)), DEEP),
    "16 bits with alpha": (png(2, 1, 16, 6, bytes(17)), DEEP),
    "16 bits, grey with alpha": (png(2, 1, 16, 4, bytes(9)), DEEP),
    "16 bits, PPM in colour": (b"P6 2 1 65535\n" + bytes(12), DEEP),
    "1,023 shades": (b"P6 2 1 1023\n" + bytes(12), DEEP),
    "fractions, PFM": (b"Pf\n2 1\n-1.0\n" + bytes(8), "of floating-point numbers"),
    "a bomb": (png(60_000, 60_000, 8, 0, bytes(100)), "larger than the 16,777,216 pixels that nmcheck reads"),
    "a bomb that Pillow warns of": (png(10_000, 9_500, 1, 0, bytes(100)), "of 10,000 x 9,500 pixels, larger"),
    "a bomb that Pillow takes": (png(4_097, 4_096, 1, 0, bytes(100)), "of 4,097 x 4,096 pixels, larger"),
    "no pixels": (png(0, 4, 8, 0, bytes(4)), "not to be read|without pixels"),
    "cut off": (png(8, 8, 8, 0, bytes(72))[:-30], "not to be read: it is damaged"),
    "cut off in the header": (png(8, 8, 8, 0, bytes(72))[:20], "not to be read"),
    "too few rows": (png(8, 8, 8, 0, bytes(20)), "not to be read: it is damaged"),
    "text of a hundred megabytes": (
        png(2, 1, 8, 0, bytes(3), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8)))), "not to be read"
    ),
    "a program": (b"#!/bin/sh\nexit 1\n", "not to be read: it is damaged, or no image in"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(%pipe%id) (w) file\n", "or no image in"),
    "a metafile": (b"\xd7\xcd\xc6\x9a" + bytes(60), "it is damaged, or no image in"),
    "a page": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is damaged, or no image in"),
    "a TIFF that leads back to itself": (
        b"II*\0" + struct.pack("<IH", 8, 3) + b"".join(
            struct.pack("<HHII", tag, 4, 1, value) for tag, value in ((256, 2), (257, 1), (258, 8))
        ) + struct.pack("<I", 8), "not to be read|pictures"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_no_picture(tmp_path, name):
    content, reason = FILES[name]
    path = tmp_path / "a.png"
    path.write_bytes(content)
    reader = pillow_reader(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UnusablePictureError, match=reason):
            look_and_read(reader, path)


def test_damaged_pictures_end_in_a_reason(tmp_path, capfd):
    """And libraries say nothing of their own on standard error."""
    reader = pillow_reader(tmp_path)
    generator = np.random.default_rng(0)
    for file, options in (
        ("a.png", {}),
        ("a.jpg", {}),
        ("a.gif", {}),
        ("a.webp", {}),
        ("a.tif", {"compression": "tiff_lzw"}),
        ("a.bmp", {}),
    ):
        path = saved(tmp_path, COLOUR, file, **options)
        whole = path.read_bytes()
        for place in generator.integers(0, len(whole), 25):
            content = bytearray(whole)
            content[place] ^= 1 << int(generator.integers(0, 8))
            path.write_bytes(content)
            try:
                look_and_read(reader, path)
            except UnusablePictureError:
                continue
    assert capfd.readouterr() == ("", "")


def test_a_changed_byte_of_a_png_is_never_a_changed_pixel(tmp_path):
    """Its checksums are compared: here the decoder would not notice."""
    smooth = (np.add.outer(np.arange(32), np.arange(32)) * 4 % 256).astype(np.uint8)
    path = saved(tmp_path, Image.fromarray(smooth), "a.png")
    reader, whole = pillow_reader(tmp_path), path.read_bytes()
    start = whole.index(b"IDAT") + 4
    for place in range(start, whole.index(b"IEND") - 8):
        content = bytearray(whole)
        content[place] ^= 1
        path.write_bytes(content)
        with pytest.raises(UnusablePictureError, match="not to be read: it is damaged"):
            reader.pixels(path)


def test_a_closed_standard_error_is_no_obstacle(tmp_path):
    path = saved(tmp_path, COLOUR, "a.tif", compression="tiff_lzw")
    reader, kept = pillow_reader(tmp_path), os.dup(2)
    try:
        os.close(2)
        assert np.array_equal(reader.pixels(path), RIGHT)
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def test_formats_and_suffixes_belong_together():
    Image.init()
    assert {suffix for suffix, kind in Image.EXTENSION.items() if kind in FORMATS} >= SUFFIXES
