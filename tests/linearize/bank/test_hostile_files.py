"""Banks made to do harm: refused as damaged before anything is read, and nothing else is ever written to.

Each attack changes a whole bank by HDF5's own means, with checksums that agree where it changes what they are of.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hdf5 import dataset
from linearize.bank.stored import Bank, refusal

from nmcheck.linearize.bank.store import BankFile


def replaced(raw: h5py.File, name: str, make: Callable[[np.ndarray], object]) -> None:
    """Another thing under the name of a dataset; what it is made of is what was there."""
    whole = dataset(raw, name)[...]
    del raw[name]
    made = make(whole)
    if made is not None:
        raw[name] = made


def external(folder: Path, name: str) -> Callable[[h5py.File], None]:
    """A dataset whose bytes are in another file."""

    def change(raw: h5py.File) -> None:
        whole = dataset(raw, name)[...]
        del raw[name]
        place = folder / "elsewhere"
        place.write_bytes(whole.tobytes())
        raw.create_dataset(name, whole.shape, whole.dtype, external=[(str(place), 0, whole.nbytes)])

    return change


def virtual(raw: h5py.File, name: str, source: str) -> None:
    whole = dataset(raw, name)[...]
    del raw[name]
    layout = h5py.VirtualLayout(whole.shape, whole.dtype)
    layout[...] = h5py.VirtualSource(source, "x", whole.shape, dtype=whole.dtype)
    raw.create_virtual_dataset(name, layout)


def remade(raw: h5py.File, name: str, **settings) -> None:
    whole = dataset(raw, name)[...]
    del raw[name]
    raw.create_dataset(name, data=whole, **settings)


def unplaced(raw: h5py.File, name: str) -> None:
    """A dataset that has no bytes in the file, and is read as zeros."""
    whole = dataset(raw, name)[...]
    del raw[name]
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
    space, kind = h5py.h5s.create_simple(whole.shape), h5py.h5t.py_create(whole.dtype)
    h5py.h5d.create(raw.id, name.encode(), kind, space, settings)


def compact(raw: h5py.File, name: str) -> None:
    whole = dataset(raw, name)[...]
    del raw[name]
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_layout(h5py.h5d.COMPACT)
    space, kind = h5py.h5s.create_simple(whole.shape), h5py.h5t.py_create(whole.dtype)
    h5py.h5d.create(raw.id, name.encode(), kind, space, settings)


def renamed_type(raw: h5py.File) -> None:
    del raw["done"]
    raw["done"] = np.dtype("u1")


MEMBERS = "it has members that are none of a bank's"
PIECE = "is not in one piece in this file"
CHANGES: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "computed from another file": (lambda raw: virtual(raw, "centers", "/etc/passwd"), f"centers {PIECE}"),
    "computed from itself": (lambda raw: virtual(raw, "centers", "."), f"centers {PIECE}"),
    "computed points": (lambda raw: virtual(raw, "points/norms", "other.h5"), f"points/norms {PIECE}"),
    "in chunks": (lambda raw: remade(raw, "centers", chunks=True), f"centers {PIECE}"),
    "packed": (lambda raw: remade(raw, "centers", compression="gzip"), f"centers {PIECE}"),
    "packed by a plugin": (lambda raw: remade(raw, "centers", compression="lzf"), f"centers {PIECE}"),
    "with checksums of HDF5": (lambda raw: remade(raw, "points/norms", fletcher32=True), f"points/norms {PIECE}"),
    "growing without end": (lambda raw: remade(raw, "members", maxshape=(None,)), f"members {PIECE}"),
    "in the header": (lambda raw: compact(raw, "reach"), f"reach {PIECE}"),
    "without bytes": (lambda raw: unplaced(raw, "members"), "members does not have the bytes of its shape"),
    "a link to another file": (
        lambda raw: replaced(raw, "centers", lambda _: h5py.ExternalLink("other.h5", "x")),
        "centers is a link to something else",
    ),
    "a link to a device": (
        lambda raw: replaced(raw, "centers", lambda _: h5py.ExternalLink("/dev/zero", "x")),
        "centers is a link to something else",
    ),
    "a link to another dataset": (
        lambda raw: replaced(raw, "points/norms", lambda _: h5py.SoftLink("/centers")),
        "points/norms is a link to something else",
    ),
    "a link to itself": (lambda raw: replaced(raw, "done", lambda _: h5py.SoftLink("/done")), "done is a link"),
    "a group that is a link": (
        lambda raw: (raw.move("constants", "points/c"), raw.__setitem__("constants", h5py.SoftLink("/points/c"))),
        "constants is a link to something else",
    ),
    "a group in another file": (
        lambda raw: (raw.pop("constants"), raw.__setitem__("constants", h5py.ExternalLink("other.h5", "/"))),
        "constants is a link to something else",
    ),
    "two names for one dataset": (
        lambda raw: (raw.pop("reach"), raw.__setitem__("reach", raw["members"])), "members has another name beside"
    ),
    "a name outside": (lambda raw: raw.__setitem__("more", raw["members"]), MEMBERS),
    "a group within itself": (lambda raw: raw.__setitem__("points/more", raw["points"]), "members that are|another"),
    "another dataset": (lambda raw: raw.__setitem__("more", 1), MEMBERS),
    "another dataset of the points": (lambda raw: raw.__setitem__("points/more", 1), "points has members that are"),
    "another group": (lambda raw: raw.create_group("more"), MEMBERS),
    "a dataset less": (lambda raw: raw.pop("checksum"), MEMBERS),
    "a group for a dataset": (lambda raw: (raw.pop("done"), raw.create_group("done")), "done is no dataset"),
    "a dataset for a group": (
        lambda raw: (raw.pop("constants"), raw.__setitem__("constants", 1)), "constants is no group"
    ),
    "a type for a dataset": (renamed_type, "done is no dataset"),
    "attributes of a dataset": (lambda raw: dataset(raw, "done").attrs.__setitem__("a", 1), "done has attributes"),
    "attributes of a group": (lambda raw: raw["points"].attrs.__setitem__("a", 1), "points has attributes"),
    "attributes more": (lambda raw: raw.attrs.__setitem__("more", 1), "attributes that are none of a bank's"),
    "attributes less": (lambda raw: raw.attrs.pop("choice_crc32"), "it has no choice_crc32"),
    "another shape": (lambda raw: replaced(raw, "reach", lambda a: a[:-1]), r"reach has shape \(3,\), not \(4,\)"),
    "another shape of as many": (lambda raw: replaced(raw, "centers", lambda a: a.T), "centers has shape"),
    "no shape": (lambda raw: replaced(raw, "reach", lambda a: a[0]), "reach has shape|reach is|in one piece"),
    "an empty dataset": (lambda raw: replaced(raw, "reach", lambda a: h5py.Empty("f8")), "reach has shape"),
    "other numbers": (lambda raw: replaced(raw, "centers", lambda a: a.astype("f8")), "centers is not of type"),
    "another byte order": (lambda raw: replaced(raw, "centers", lambda a: a.astype(">f4")), "centers is not of type"),
    "signs": (lambda raw: replaced(raw, "done", lambda a: a.astype("i1")), "done is not of type uint8"),
    "truths": (lambda raw: replaced(raw, "done", lambda a: a.astype(bool)), "done is not of type uint8"),
    "words for numbers": (
        lambda raw: remade(raw, "done", dtype=h5py.enum_dtype({"no": 0, "yes": 1}, "u1")), "done is not of type uint8"
    ),
    "texts": (lambda raw: replaced(raw, "members", lambda a: a.astype("S8")), "members is not of type int64"),
    "texts of any length": (
        lambda raw: replaced(raw, "members", lambda a: np.array(["a"] * 4, h5py.string_dtype())), "members is not of"
    ),
    "references": (
        lambda raw: replaced(raw, "members", lambda a: np.array([raw.ref] * 4, h5py.ref_dtype)), "members is not of"
    ),
    "records": (
        lambda raw: replaced(raw, "members", lambda a: np.zeros(4, [("a", "i8")])), "members is not of type int64"
    ),
    "raw bytes": (lambda raw: replaced(raw, "members", lambda a: np.zeros(4, "V8")), "members is not of type int64"),
    "numbers as a text": (lambda raw: raw.attrs.__setitem__("header_crc32", "1"), "its header_crc32 is no whole"),
    "a fraction": (lambda raw: raw.attrs.__setitem__("constants_crc32", 1.5), "its constants_crc32 is no whole number"),
    "many numbers": (lambda raw: raw.attrs.__setitem__("choice_crc32", [1] * 9), "its choice_crc32 is no whole number"),
    "no number": (lambda raw: raw.attrs.__setitem__("choice_crc32", h5py.Empty("i8")), "its choice_crc32 is no whole"),
    "a number as its name": (lambda raw: raw.attrs.__setitem__("format", 7), "its format is no text"),
    "a version that is a text": (lambda raw: raw.attrs.__setitem__("format_version", "1"), "its format_version is no"),
    "texts for a header": (lambda raw: raw.attrs.__setitem__("header", ["a", "b"]), "its header is no text"),
    "bytes for a header": (lambda raw: raw.attrs.__setitem__("header", np.bytes_(b"{}")), "its header is no text"),
    "no header": (lambda raw: raw.attrs.__setitem__("header", h5py.Empty(h5py.string_dtype())), "header is no text"),
    "a reference for a header": (lambda raw: raw.attrs.__setitem__("header", raw.ref), "its header is no text"),
    "a long header": (lambda raw: raw.attrs.__setitem__("header", "a" * 60_000), "the bank's header is damaged"),
}  # fmt: skip


@pytest.mark.parametrize("mode", ["r", "r+"])
@pytest.mark.parametrize("name", CHANGES)
def test_what_nmcheck_does_not_write_is_refused(copy: Path, monkeypatch, name: str, mode: str) -> None:
    monkeypatch.chdir(copy.parent)
    change, reason = CHANGES[name]
    with h5py.File("other.h5", "w") as other:
        other["x"] = np.zeros((4, 64), np.float32)
    beside = Path("other.h5").read_bytes()
    with h5py.File(copy, "r+") as raw:
        change(raw)
    before = copy.read_bytes()
    assert re.search(reason, refusal(copy, mode)), refusal(copy, mode)
    assert copy.read_bytes() == before
    assert Path("other.h5").read_bytes() == beside


@pytest.mark.parametrize("name", ["centers", "points/norms", "done", "checksum", "constants/outer"])
def test_bytes_in_another_file_are_neither_read_nor_written(copy: Path, tmp_path: Path, name: str) -> None:
    with h5py.File(copy, "r+") as raw:
        external(tmp_path, name)(raw)
    elsewhere = (tmp_path / "elsewhere").read_bytes()
    for mode in ("r", "r+"):
        assert f"{name} is not in one piece in this file" in refusal(copy, mode)
    assert (tmp_path / "elsewhere").read_bytes() == elsewhere


def test_a_file_with_something_in_front_is_refused(copy: Path, tmp_path: Path) -> None:
    path = tmp_path / "front.h5"
    with h5py.File(copy) as whole, h5py.File(path, "w", userblock_size=512, libver=("earliest", "v108")) as raw:
        for member in whole:
            whole.copy(member, raw)
        raw.attrs.update(whole.attrs)
    assert "something stands in front of it" in refusal(path)


def test_other_files_of_hdf5_are_not_changed_by_going_on(tmp_path: Path) -> None:
    """HDF5 marks some kinds of files as open when it opens them to write."""
    path = tmp_path / "other.h5"
    with h5py.File(path, "w", libver="latest") as raw:
        raw["x"] = 1
    before, times = path.read_bytes(), path.stat().st_mtime_ns
    # HDF5 before 2 refuses by itself to change a file as new as this one.
    new = h5py.version.hdf5_version_tuple >= (2, 0, 0)
    assert ("is no bank of nmcheck's" if new else "the bank cannot be opened") in refusal(path, "r+")
    assert path.read_bytes() == before
    assert path.stat().st_mtime_ns == times


def test_arrays_that_share_bytes_are_refused(copy: Path) -> None:
    """The place of one is overwritten by that of another, in HDF5's own structures."""
    with h5py.File(copy) as raw:
        one, other = (dataset(raw, name).id.get_offset() for name in ("done", "checksum"))
    assert one is not None
    assert other is not None
    content = copy.read_bytes()
    changed = content.replace(other.to_bytes(8, "little"), one.to_bytes(8, "little"))
    assert changed != content
    copy.write_bytes(changed)
    assert "its arrays share bytes" in refusal(copy)


@pytest.mark.parametrize("letters", [b"\xff\xfe\xfd\xfc", b"\xed\xa0\x80y", b"\xc0\xaf\xc0\xaf"])
def test_a_header_that_is_no_text_is_refused(copy: Path, letters: bytes) -> None:
    content = copy.read_bytes()
    assert content.count(b'"tiny"') == 1
    copy.write_bytes(content.replace(b'"tiny"', b'"' + letters + b'"'))
    assert "its header is no text" in refusal(copy)
    assert "its header is no text" in refusal(copy, "r+")


def test_a_bank_by_a_link_is_that_bank(whole: Bank, copy: Path, tmp_path: Path) -> None:
    """Links to a bank are followed: on another disk it is still the bank that the user named."""
    link = tmp_path / "link.h5"
    link.symlink_to(copy)
    with BankFile(link, "r+") as file:
        file.write(3, whole.content[3])
    assert link.is_symlink()
    with BankFile(copy) as file:
        assert file.done.all()


@pytest.mark.parametrize(
    "make", [lambda path: path.symlink_to("gone"), lambda path: path.symlink_to(path.name), os.mkfifo]
)
def test_a_path_without_a_file_is_refused(tmp_path: Path, make) -> None:
    make(tmp_path / "b.h5")
    assert "the bank does not exist" in refusal(tmp_path / "b.h5")
