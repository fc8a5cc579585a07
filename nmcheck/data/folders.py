"""A folder with one sub-folder of images per class.

Nothing in it is left out in silence. What should be an image and cannot be used is an error that names it, for without
it this would be another set; so is a class without images, which nobody would look at. What is no image is named in a
note.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

from nmcheck.counting import counted
from nmcheck.data.entries import is_system_entry, shown, unusable
from nmcheck.data.picture_files import SUFFIXES, Look, PictureReader, UnusablePictureError
from nmcheck.data.source import Source
from nmcheck.data.values import ValueCheck
from nmcheck.errors import DataError

_NAMED = 5
"""Files that a message names."""
_LABELS = 2**53


def open_class_folders(folder: Path, reader: PictureReader) -> Source:
    """Images (N,H,W) or (N,H,W,3) and labels, sorted by class and then by file name.

    Where every sub-folder's name is a whole number, the number is the label; otherwise labels count the names in
    alphabetical order. Links are followed; those that lead out of the folder are named in a note.

    Args:
        folder: the data.
        reader: reads image files.

    Raises:
        DataError: if there are no images, one cannot be used, they differ in size, or a class has none.
    """
    try:
        found = _Survey(folder, reader)
        found.look()
    except OSError as error:
        raise DataError(f"{error.filename or folder} cannot be read: {error.strerror or error}.") from error
    found.check()
    return Source(found.shape, np.dtype(np.uint8), found.labels, found.read, found.notes)


@dataclass
class _Survey:
    """What is in a folder.

    Attributes:
        folder: the data.
        reader: reads image files.
        paths: of the images that can be used, in their order.
        looks: what the file of each says.
        classes: the label of each.
        problems: what cannot be used, in words.
        others: what is no image.
        outside: images that are links out of the folder.
    """

    folder: Path
    reader: PictureReader
    paths: list[Path] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    classes: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def look(self) -> None:
        """Go through the folder.

        Raises:
            OSError: a folder cannot be read.
            DataError: names of class folders say nothing, or two mean the same class.
        """
        named = [entry for entry in sorted(self.folder.iterdir()) if self._is_class(entry)]
        for label, entry in _labelled(named, self.folder):
            before = len(self.paths), len(self.problems)
            for path in sorted(entry.iterdir()):
                self._look_at(path, label, is_outside=self._leads_out(entry))
            if (len(self.paths), len(self.problems)) == before:
                self.problems.append(f"{self._shown(entry)} is a class without images")

    def check(self) -> None:
        """Refuse what is not a whole set of images of one size.

        Raises:
            DataError: it is not.
        """
        for path, look in zip(self.paths, self.looks, strict=True):
            if (look.height, look.width) != (self.looks[0].height, self.looks[0].width):
                self.problems.append(
                    f"{self._shown(path)} is {look.width}x{look.height} pixels, but {self._shown(self.paths[0])} is "
                    f"{self.looks[0].width}x{self.looks[0].height} (resize all images to the model's size first)"
                )
        if not self.paths and all(problem.endswith(" is a class without images") for problem in self.problems):
            raise DataError(
                f"{self.folder} holds neither idx files nor one sub-folder of images per class; "
                "give a .npz file or a folder of one of those kinds."
            )
        if self.problems:
            raise DataError(
                f"{self.folder}: {counted(len(self.problems), 'entry', 'entries')} cannot be used: "
                f"{_listed(self.problems, '; ')}; repair or remove them, for a set without them would be another one."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all images together."""
        first = self.looks[0]
        return (len(self.looks), first.height, first.width, *((3,) if self._colour else ()))

    @property
    def labels(self) -> np.ndarray:
        """The class of each."""
        return np.array(self.classes, dtype=np.int64)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know."""
        notes = []
        if self.others:
            what = "entry is no image and was" if len(self.others) == 1 else "entries are no images and were"
            notes.append(
                f"{self.folder}: {len(self.others):,} {what} not read: {_listed(self.others, ', ')} (images are "
                f"{', '.join(sorted(SUFFIXES))})."
            )
        if self.outside:
            links = "image is a link" if len(self.outside) == 1 else "images are links"
            notes.append(
                f"{self.folder}: {len(self.outside):,} {links} out of this folder, followed all the same: "
                f"{_listed(self.outside, ', ')}."
            )
        return tuple(notes)

    def read(self, positions: np.ndarray, check: ValueCheck) -> np.ndarray:
        """The chosen images.

        Raises:
            DataError: one of them is damaged behind its header, or transparent.
        """
        images = np.empty((len(positions), *self.shape[1:]), np.uint8)
        for row, position in enumerate(positions):
            path = self.paths[position]
            try:
                image = self.reader.pixels(path)
            except UnusablePictureError as error:
                raise DataError(f"{self.folder}: {self._shown(path)} is {error}.") from error
            if image.shape[:2] != self.shape[1:3]:
                raise DataError(f"{path} has changed while it was read; run nmcheck again.")
            images[row] = image[..., None] if self._colour and image.ndim == 2 else image
        check.see(images, positions)
        return images

    @cached_property
    def _colour(self) -> bool:
        return any(look.colour for look in self.looks)

    @cached_property
    def _root(self) -> str:
        return os.path.realpath(self.folder)

    def _leads_out(self, path: Path) -> bool:
        return not Path(os.path.realpath(path)).is_relative_to(self._root)

    def _is_class(self, entry: Path) -> bool:
        """Whether something in the folder is a class; if not, what it is instead is noted."""
        if is_system_entry(entry.name):
            self.others.append(self._shown(entry))
        elif entry.is_dir():
            return True
        elif entry.is_symlink() and not entry.exists():
            self.problems.append(f"{self._shown(entry)} is a link that leads nowhere")
        elif entry.suffix.lower() in SUFFIXES:
            self.problems.append(f"{self._shown(entry)} is in no class's folder")
        else:
            self.others.append(self._shown(entry))
        return False

    def _look_at(self, path: Path, label: int, *, is_outside: bool) -> None:
        """Take in one entry of a class's folder."""
        is_image = path.suffix.lower() in SUFFIXES
        if is_system_entry(path.name) or not (is_image or path.is_dir()):
            self.others.append(self._shown(path))
            return
        reason = unusable(path)
        if reason is None:
            try:
                look = self.reader.look(path)
            except UnusablePictureError as error:
                reason = str(error)
            else:
                self.paths.append(path)
                self.looks.append(look)
                self.classes.append(label)
                if self._leads_out(path) if path.is_symlink() else is_outside:
                    self.outside.append(self._shown(path))
                return
        elif reason == "a folder":
            reason = "a folder in a class's folder, whose own files would not be read"
        self.problems.append(f"{self._shown(path)} is {reason}")

    def _shown(self, path: Path) -> str:
        return shown(path, self.folder)


def _labelled(named: Sequence[Path], folder: Path) -> list[tuple[int, Path]]:
    """The classes in the order of their labels.

    Raises:
        DataError: two of them have one label, or one has none that is possible.
    """
    if not all(entry.name.isascii() and entry.name.isdigit() for entry in named):
        return list(enumerate(named))
    classes = sorted((int(entry.name), entry) for entry in named)
    for (label, entry), (following, other) in pairwise(classes):
        if label == following:
            raise DataError(f"{folder}: {entry.name} and {other.name} are both the folder of class {label}; join them.")
    if classes and classes[-1][0] >= _LABELS:
        raise DataError(f"{folder}: {classes[-1][1].name} is no label; number the classes 0, 1, 2, ....")
    return classes


def _listed(items: Sequence[str], between: str) -> str:
    more = len(items) - _NAMED
    return between.join([*items[:_NAMED], *([f"and {more:,} more"] if more > 0 else [])])
