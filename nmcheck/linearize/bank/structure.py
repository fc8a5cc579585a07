"""What a bank's file may consist of: what nmcheck writes, and nothing else that HDF5 knows (docs/bank-format.md).

HDF5 can keep a dataset in another file, lead to one, compute it, or give it two names, and would read and write there.
Whatever is not a plain array in this file is found here, before anything is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5l, h5o  # pyright: ignore[reportAttributeAccessIssue] - not in its stubs

from nmcheck.errors import BankError
from nmcheck.linearize.bank.header import Arrays

FORMAT = "nmcheck bank"
TEXTS = ("format", "header")
NUMBERS = ("format_version", "header_crc32", "choice_crc32", "constants_crc32")
_LONGEST = 2**20
"""Bytes of a header that is looked at; one has about a thousand."""


def damaged(path: Path, what: str) -> BankError:
    """The sentence of a file that is not as it was made."""
    return BankError(f"{path}: the bank is damaged: {what}; delete the file and build it again.")


def read_attributes(file: h5py.File, path: Path) -> dict[str, str | int]:
    """The attributes of a bank, each of the type it has.

    Raises:
        BankError: there are none of a bank, or they are others.
    """
    names = (*TEXTS, *NUMBERS)
    if not h5py.h5a.exists(file.id, b"format") or _text(file, "format", path) != FORMAT:
        raise BankError(f"{path} is no bank of nmcheck's; name a file that nmcheck bank build has made.")
    missing = [name for name in names if not h5py.h5a.exists(file.id, name.encode())]
    if missing:
        raise damaged(path, f"it has no {', '.join(missing)}")
    if h5py.h5a.get_num_attrs(file.id) != len(names):
        raise damaged(path, "it has attributes that are none of a bank's")
    return {name: _text(file, name, path) if name in TEXTS else _number(file, name, path) for name in names}


def checked_datasets(file: h5py.File, expected: Arrays, path: Path) -> dict[str, h5py.Dataset]:
    """The datasets of a bank, each a plain array of its own in this file.

    Args:
        file: the bank.
        expected: names, shapes and types.
        path: of the file.

    Raises:
        BankError: one of them is something else, or there is more in the file.
    """
    if file.userblock_size:
        raise damaged(path, "something stands in front of it")
    folders = sorted({name.rpartition("/")[0] for name in expected if "/" in name})
    groups = {"": file.id} | {name: _group(file.id, name, path) for name in folders}
    for name, group in groups.items():
        inside = {full.rpartition("/")[2] for full in expected if full.rpartition("/")[0] == name}
        inside |= set(folders) if not name else set()
        # The number is asked for, not the names, of which there can be any number.
        if group.get_num_objs() != len(inside):
            raise damaged(path, f"{name or 'it'} has members that are none of a bank's")
    found = {}
    for full, (shape, dtype) in expected.items():
        folder, _, name = full.rpartition("/")
        dataset = _dataset(groups[folder], name, full, path)
        _check_array(dataset, shape, dtype, full, path)
        found[full] = h5py.Dataset(dataset)
    _check_places(found, path)
    return found


def allocate(file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """A dataset in one piece, all of it on the disk from the start: a disk too small shows before the work."""
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_layout(h5py.h5d.CONTIGUOUS)
    # The same bank is the same file to the byte, whenever it was built.
    settings.set_obj_track_times(False)
    settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    settings.set_fill_time(h5py.h5d.FILL_TIME_IFSET)
    settings.set_fill_value(np.array(np.nan if dtype.kind == "f" else 0, dtype))
    links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    kind, space = h5py.h5t.py_create(dtype), h5py.h5s.create_simple(shape)
    h5py.h5d.create(file.id, name.encode(), kind, space, settings, links)


def _group(parent: h5py.h5g.GroupID, name: str, path: Path) -> h5py.h5g.GroupID:
    opened = _open(parent, name, name, path)
    if not isinstance(opened, h5py.h5g.GroupID):
        raise damaged(path, f"{name} is no group")
    return opened


def _dataset(parent: h5py.h5g.GroupID, name: str, full: str, path: Path) -> h5py.h5d.DatasetID:
    opened = _open(parent, name, full, path)
    if not isinstance(opened, h5py.h5d.DatasetID):
        raise damaged(path, f"{full} is no dataset")
    return opened


def _open(parent: h5py.h5g.GroupID, name: str, full: str, path: Path) -> object:
    """A member that has this one name only, and no attributes: a group, a dataset or a type."""
    key = name.encode()
    if not parent.links.exists(key):
        raise damaged(path, f"it has no {full}")
    if parent.links.get_info(key).type != h5l.TYPE_HARD:
        raise damaged(path, f"{full} is a link to something else")
    opened = h5o.open(parent, key)
    if h5o.get_info(opened).rc != 1:
        raise damaged(path, f"{full} has another name beside this one")
    if h5py.h5a.get_num_attrs(opened):
        raise damaged(path, f"{full} has attributes")
    return opened


def _check_array(found: h5py.h5d.DatasetID, shape: tuple[int, ...], dtype: np.dtype, name: str, path: Path) -> None:
    made = found.get_create_plist()
    # Before the shape, for which HDF5 may open the files that a dataset is put together from.
    if made.get_layout() != h5py.h5d.CONTIGUOUS or made.get_external_count() or made.get_nfilters():
        raise damaged(path, f"{name} is not in one piece in this file")
    space = found.get_space()
    if space.get_simple_extent_type() != h5py.h5s.SIMPLE or space.get_simple_extent_dims() != shape:
        raise damaged(path, f"{name} has shape {space.get_simple_extent_dims()}, not {shape}")
    if not found.get_type().equal(h5py.h5t.py_create(dtype)):
        raise damaged(path, f"{name} is not of type {dtype}")
    if found.get_storage_size() != int(np.prod(shape, dtype=object)) * dtype.itemsize:
        raise damaged(path, f"{name} does not have the bytes of its shape")


def _check_places(found: Mapping[str, h5py.Dataset], path: Path) -> None:
    """That every array has bytes of its own, within the file: together they cannot be more than that then."""
    places = sorted(_places(found))
    end = path.stat().st_size
    if any(stop > following for (_, stop), (following, _) in pairwise([*places, (end, end)])):
        raise damaged(path, "its arrays share bytes, or lie beyond its end")


def _places(found: Mapping[str, h5py.Dataset]) -> Iterator[tuple[int, int]]:
    for dataset in found.values():
        size = dataset.id.get_storage_size()
        if size:
            start = dataset.id.get_offset()
            # None of an array without a place, which would be read as zeros of any number.
            yield (2**63, 2**64) if start is None else (start, start + size)


def _text(file: h5py.File, name: str, path: Path) -> str:
    attribute = h5py.h5a.open(file.id, name.encode())
    kind = attribute.get_type()
    is_text = isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str()
    if not is_text or attribute.get_space().get_simple_extent_type() != h5py.h5s.SCALAR:
        raise damaged(path, f"its {name} is no text")
    text: Any = file.attrs[name]
    # Bytes that are no text are there as half characters.
    if not isinstance(text, str) or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise damaged(path, f"its {name} is no text")
    if len(text) > _LONGEST:
        raise damaged(path, f"its {name} is too long")
    return text


def _number(file: h5py.File, name: str, path: Path) -> int:
    attribute = h5py.h5a.open(file.id, name.encode())
    kind, space = attribute.get_type(), attribute.get_space()
    is_number = isinstance(kind, h5py.h5t.TypeIntegerID) and kind.get_size() <= 8
    if not is_number or space.get_simple_extent_type() != h5py.h5s.SCALAR:
        raise damaged(path, f"its {name} is no whole number")
    return int(np.asarray(file.attrs[name]))
