"""Folders in which something is missing, broken or of another kind: named, and never left out in silence."""

import os
import socket
from pathlib import Path

import numpy as np
import pytest

from nmcheck.data import read_data
from nmcheck.errors import DataError

Image = pytest.importorskip("PIL.Image", reason="needs Pillow, an optional dependency")


def put(folder: Path, name: str, value: int = 1, size: tuple[int, int] = (3, 2), colour: bool = False) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True, parents=True)
    pixels = np.full(size[::-1], value, np.uint8)
    Image.fromarray(np.stack([pixels] * 3, axis=-1) if colour else pixels).save(path)
    return path


@pytest.fixture
def data(tmp_path) -> Path:
    """Two classes of three images each."""
    folder = tmp_path / "data"
    for index in range(6):
        put(folder, f"{('cat', 'dog')[index % 2]}/{index}.png", index)
    return folder


def link(path: Path, target: Path | str) -> None:
    path.symlink_to(target)


def broken(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


PROBLEMS = {
    "a link that leads nowhere": (lambda d: link(d / "cat/a.png", "gone"), "cat/a.png is a link that leads nowhere"),
    "a link to itself": (lambda d: link(d / "cat/a.png", "a.png"), r"cat/a.png is not to be read \(Too many levels"),
    "an empty file": (lambda d: (d / "cat/a.png").touch(), r"cat/a.png is empty \(0 bytes\)"),
    "a file cut off": (lambda d: broken(d / "cat/0.png"), "cat/0.png is not to be read: it is damaged"),
    "text called an image": (lambda d: (d / "cat/a.jpg").write_text("a"), "cat/a.jpg is not to be read"),
    "a page called an image": (lambda d: (d / "cat/a.png").write_text("<html>"), "cat/a.png is not to be read"),
    "a pipe": (lambda d: os.mkfifo(d / "cat/a.png"), "cat/a.png is no regular file"),
    "a device": (lambda d: link(d / "cat/a.png", "/dev/zero"), "cat/a.png is no regular file"),
    "a folder called an image": (lambda d: (d / "cat/a.png").mkdir(), "cat/a.png is a folder in a class's folder"),
    "a folder in a class's": (lambda d: put(d, "cat/more/a.png"), "cat/more is a folder in a class's folder"),
    "a class that leads back": (lambda d: link(d / "cat/up", ".."), "cat/up is a folder in a class's folder"),
    "another size": (lambda d: put(d, "cat/a.png", size=(4, 4)), "cat/a.png is 4x4 pixels, but cat/0.png is 3x2"),
    "turned": (lambda d: put(d, "dog/a.png", size=(2, 3)), "dog/a.png is 2x3 pixels, but cat/0.png is 3x2"),
    "a class without images": (lambda d: (d / "emu").mkdir(), "emu is a class without images"),
    "a class of text": (lambda d: ((d / "emu").mkdir(), (d / "emu/a.txt").touch()), "emu is a class without images"),
    "a class of hidden files": (lambda d: ((d / "emu").mkdir(), (d / "emu/._a.png").touch()), "emu is a class without"),
    "a class that leads nowhere": (lambda d: link(d / "emu", "gone"), "emu is a link that leads nowhere"),
    "a class that leads to nothing": (lambda d: (d / "emu.d").mkdir(), "emu.d is a class without images"),
    "an image in no class": (lambda d: put(d, "a.png"), "a.png is in no class's folder"),
    "a transparent image": (
        lambda d: Image.new("LA", (3, 2), (3, 0)).save(d / "cat/0.png"), "cat/0.png is transparent in places"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_cannot_be_used_is_named(data, name):
    change, reason = PROBLEMS[name]
    change(data)
    with pytest.raises(DataError, match=reason) as refused:
        read_data(str(data), None)
    assert str(data) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_socket_is_named(data, monkeypatch):
    monkeypatch.chdir(data)  # paths of sockets are short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("cat/a.png")
        with pytest.raises(DataError, match=r"cat/a.png is no regular file"):
            read_data(".", None)


def test_what_may_not_be_read_is_named(data):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (data / "cat/0.png").chmod(0)
    with pytest.raises(DataError, match=r"cat/0.png is not to be read \(Permission denied\)"):
        read_data(str(data), None)


def test_many_problems_are_counted(data):
    for index in range(30):
        (data / f"dog/z{index}.png").touch()
    with pytest.raises(DataError, match=r"30 entries cannot be used: dog/z0.png is empty .*; and 25 more; repair or"):
        read_data(str(data), None)


def test_an_image_that_is_not_chosen_is_named_too(data):
    (data / "dog/z.png").touch()
    with pytest.raises(DataError, match=r"1 entry cannot be used: dog/z.png is empty"):
        read_data(str(data), None, 2)


LEFT = ["cat/notes.txt", "cat/.DS_Store", "cat/._0.png", "dog/Thumbs.db", "dog/desktop.ini", "dog/a.heic", "README.md",
        ".hidden", "__MACOSX"]  # fmt: skip


@pytest.mark.parametrize("name", LEFT)
def test_what_is_no_image_is_noted(data, name):
    before = read_data(str(data), None)
    assert before.notes == ()
    if name in (".hidden", "__MACOSX"):
        put(data, f"{name}/a.png")
    else:
        (data / name).write_bytes(b"anything")
    found = read_data(str(data), None)
    assert np.array_equal(found.images, before.images)
    (note,) = found.notes
    assert note.startswith(f"{data}: 1 entry is no image and was not read: {name} (images are .bmp, ")


def test_what_is_no_image_is_counted(data):
    for index in range(12):
        (data / f"cat/{index}.txt").touch()
    (note,) = read_data(str(data), None).notes
    assert "12 entries are no images and were not read: cat/0.txt, " in note
    assert note.endswith("and 7 more (images are .bmp, .gif, .jpeg, .jpg, .pgm, .png, .ppm, .tif, .tiff, .webp).")


def test_links_within_the_folder_are_images_like_others(data):
    link(data / "dog/z.png", data / "cat/0.png")
    found = read_data(str(data), None)
    assert (len(found), found.notes) == (7, ())


@pytest.mark.parametrize("whole", [False, True])
def test_links_out_of_the_folder_are_followed_and_noted(data, tmp_path, whole):
    put(tmp_path, "elsewhere/a.png", 9)
    if whole:
        link(data / "emu", tmp_path / "elsewhere")
    else:
        link(data / "dog/z.png", tmp_path / "elsewhere" / "a.png")
    found = read_data(str(data), None)
    assert found.images[-1].max() == 9
    (note,) = found.notes
    name = "emu/a.png" if whole else "dog/z.png"
    assert note == f"{data}: 1 image is a link out of this folder, followed all the same: {name}."


def test_the_folder_itself_may_be_a_link(data, tmp_path):
    link(tmp_path / "there", data)
    assert read_data(str(tmp_path / "there"), None).notes == ()


def test_two_folders_of_one_class_are_refused(tmp_path):
    put(tmp_path, "1/a.png")
    put(tmp_path, "01/a.png")
    with pytest.raises(DataError, match=r"0?1 and 0?1 are both the folder of class 1; join them"):
        read_data(str(tmp_path), None)


@pytest.mark.parametrize("name", ["9" * 20, "9" * 200, str(2**53)])
def test_numbers_too_large_for_a_label_are_refused(tmp_path, name):
    put(tmp_path, "0/a.png")
    put(tmp_path, f"{name}/a.png")
    with pytest.raises(DataError, match=rf"{name} is no label; number the classes"):
        read_data(str(tmp_path), None)


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31m", "a\u202eb", "\udcff"])
def test_names_are_shown_as_text(data, name):
    (data / "cat" / f"{name}.txt").touch()
    (data / "cat" / f"{name}.png").touch()
    with pytest.raises(DataError) as refused:
        read_data(str(data), None)
    assert str(refused.value).removeprefix(str(data)).isprintable()
    (data / "cat" / f"{name}.png").unlink()
    (note,) = read_data(str(data), None).notes
    assert note.isprintable()


def test_only_the_chosen_images_are_decoded(data, monkeypatch):
    whole = read_data(str(data), None)
    read = []

    def pixels(self, path):
        read.append(path.name)
        return np.full((2, 3), 7, np.uint8)

    monkeypatch.setattr("nmcheck.data.picture_files._Pillow.pixels", pixels)
    part = read_data(str(data), None, 2)
    assert part.positions is not None
    assert len(read) == 2
    assert (len(part), part.images.shape) == (6, (2, 2, 3))
    assert part.labels is not None
    assert whole.labels is not None
    assert part.labels.tolist() == whole.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_chosen_images_are_those_of_the_whole(data):
    """Grey images among colour stay colour where only grey ones are chosen."""
    put(data, "dog/z.png", 200, colour=True)
    whole = read_data(str(data), None)
    for samples in range(1, 7):
        for seed in range(3):
            part = read_data(str(data), None, samples, seed)
            assert part.positions is not None
            assert np.array_equal(part.pixels(part.positions), whole.pixels(part.positions))


def test_an_image_that_changes_meanwhile_is_said(data, monkeypatch):
    pixels = np.zeros((9, 9), np.uint8)
    monkeypatch.setattr("nmcheck.data.picture_files._Pillow.pixels", lambda self, path: pixels)
    with pytest.raises(DataError, match="has changed while it was read"):
        read_data(str(data), None)
