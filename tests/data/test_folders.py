import sys
from pathlib import Path

import numpy as np
import pytest

from nmcheck.data.folders import open_class_folders
from nmcheck.data.picture_files import Look, pillow_reader
from nmcheck.data.values import ValueCheck
from nmcheck.errors import DataError


class MadeUp:
    """Reads a made-up image format: height, width, channels, then one value."""

    def look(self, path: Path) -> Look:
        height, width, channels, _ = path.read_bytes()
        return Look(height, width, channels == 3)

    def pixels(self, path: Path) -> np.ndarray:
        height, width, channels, value = path.read_bytes()
        shape = (height, width) if channels == 1 else (height, width, channels)
        return np.full(shape, value, dtype=np.uint8)


def read_class_folders(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    source = open_class_folders(folder, MadeUp())
    assert source.labels is not None
    images = source.read(np.arange(len(source.labels)), ValueCheck("d", source.dtype, 3, None))
    assert images.shape == source.shape
    return images, source.labels


def put(folder, name, value, size=(2, 3), channels=1):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes((*size, channels, value)))


def test_names_in_alphabetical_order(tmp_path):
    put(tmp_path, "dog/b.png", 3)
    put(tmp_path, "dog/a.PNG", 2)
    put(tmp_path, "cat/z.jpg", 1)
    put(tmp_path, "cat/notes.txt", 9)
    put(tmp_path, ".hidden/a.png", 9)
    images, labels = read_class_folders(tmp_path)
    assert images.shape == (3, 2, 3)
    assert images[:, 0, 0].tolist() == [1, 2, 3]
    assert labels.tolist() == [0, 1, 1]


def test_numbers_are_the_labels(tmp_path):
    for label in (10, 2, 0):
        put(tmp_path, f"{label}/a.png", label)
    images, labels = read_class_folders(tmp_path)
    assert labels.tolist() == [0, 2, 10] == images[:, 0, 0].tolist()


def test_grey_among_colour_becomes_colour(tmp_path):
    put(tmp_path, "0/a.png", 5, channels=3)
    put(tmp_path, "0/b.png", 6)
    images, _ = read_class_folders(tmp_path)
    assert images.shape == (2, 2, 3, 3)
    assert (images[1] == 6).all()


def test_sizes_that_differ(tmp_path):
    put(tmp_path, "0/a.png", 5)
    put(tmp_path, "0/b.png", 5, size=(4, 4))
    with pytest.raises(DataError, match=r"0/b.png is 4x4 pixels, but 0/a.png is 3x2"):
        read_class_folders(tmp_path)


def test_no_images(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="neither idx files nor"):
        read_class_folders(tmp_path)


def test_pillow_reads_what_pillow_wrote(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="needs Pillow, an optional dependency")
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    image.fromarray(pixels).save(tmp_path / "grey.png")
    image.fromarray(np.stack([pixels] * 3, axis=-1)).save(tmp_path / "colour.png")
    reader = pillow_reader(tmp_path)
    assert np.array_equal(reader.pixels(tmp_path / "grey.png"), pixels)
    assert reader.pixels(tmp_path / "colour.png").shape == (2, 3, 3)
    assert reader.look(tmp_path / "colour.png") == Look(2, 3, colour=True)


def test_without_pillow_the_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match=r"pip install 'nmcheck\[images\]'"):
        pillow_reader(tmp_path)
