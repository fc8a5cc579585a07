"""The file of a bank: whole at any moment, and never read as something it is not."""

import errno
import io
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hdf5 import dataset
from linearize.bank.networks import header_of, lenet_graph, points_of

from nmcheck.errors import BankError, UsageError
from nmcheck.linearize.bank import store
from nmcheck.linearize.bank.header import Header
from nmcheck.linearize.bank.storage import Storage
from nmcheck.linearize.bank.store import BankFile, create


class Bank:
    """A bank on the disk with all points but one done."""

    def __init__(self, folder: Path) -> None:
        graph = lenet_graph(folder)
        self.points = points_of(graph)
        self.header, self.maker = header_of(graph, "relu", self.points, dtype="float16")
        self.constants = self.maker.constants(self.header, self.points.centers[0])
        self.content = [self.maker.make(self.header, index, row) for index, row in enumerate(self.points.centers)]
        self.path = folder / "bank.h5"
        create(self.path, self.header, self.points, self.constants, replace=False)
        with BankFile(self.path, "r+") as file:
            for index in range(len(self.points) - 1):
                file.write(index, self.content[index])


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path)


def test_what_was_written_is_read(bank: Bank) -> None:
    with BankFile(bank.path) as file:
        assert file.header == bank.header
        assert file.done.tolist() == [True] * 3 + [False]
        assert np.array_equal(file.points.centers, bank.points.centers)
        for index in range(3):
            kept = file.read(index)
            assert kept.keys() == bank.content[index].keys() == {"norms", "correlations"}
            assert all(np.array_equal(kept[name], bank.content[index][name]) for name in kept)
        constants = file.constants()
        assert constants.keys() == {"outer", "bias"}
        assert all(np.array_equal(constants[name], bank.constants[name]) for name in constants)
        assert len(file.damaged()) == 0


def test_the_same_bank_is_the_same_file(bank: Bank, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    create(other, bank.header, bank.points, bank.constants, replace=False)
    with BankFile(other, "r+") as file:
        for index in (2, 0, 1):
            file.write(index, bank.content[index])
    assert other.read_bytes() == bank.path.read_bytes()


def test_a_hole_is_not_a_number_and_never_read(bank: Bank) -> None:
    with BankFile(bank.path) as file, pytest.raises(BankError, match="point 3 is missing; complete the bank"):
        file.read(3)
    with h5py.File(bank.path) as raw:
        assert np.isnan(dataset(raw, "points/correlations")[3]).all()
        assert np.isnan(dataset(raw, "points/norms")[3]).all()


def test_all_space_is_taken_before_the_first_point(bank: Bank, tmp_path: Path) -> None:
    empty = tmp_path / "empty.h5"
    create(empty, bank.header, bank.points, bank.constants, replace=False)
    assert empty.stat().st_size == bank.path.stat().st_size >= bank.header.bytes


def every_byte_of_points(path: Path) -> list[int]:
    """Places in the file where something of point 1 stands."""
    places = []
    with h5py.File(path) as raw:
        for name in ("centers", "members", "class_mix", "reach", "points/norms", "points/correlations", "checksum"):
            found = dataset(raw, name)
            size = found[1].nbytes
            start = (found.id.get_offset() or 0) + size
            places += [start, start + size // 2, start + size - 1]
    return places


def test_any_flipped_byte_of_a_point_is_found(bank: Bank) -> None:
    whole = bank.path.read_bytes()
    for place in every_byte_of_points(bank.path):
        for bit in (0, 7):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            bank.path.write_bytes(flipped)
            with BankFile(bank.path) as file:
                assert file.damaged().tolist() == [1], place
                with pytest.raises(BankError, match="point 1 is damaged"):
                    file.read(1)
                file.read(0)


@pytest.mark.parametrize("name", ["centers", "members", "class_mix", "reach"])
def test_a_damaged_choice_of_a_point_that_is_not_done_is_found(bank: Bank, name: str) -> None:
    """Before the point is made from it and gets a checksum that agrees."""
    with h5py.File(bank.path) as raw:
        found = dataset(raw, name)
        place = (found.id.get_offset() or 0) + 3 * found[3].nbytes
    flipped = bytearray(bank.path.read_bytes())
    flipped[place] ^= 1
    bank.path.write_bytes(flipped)
    with pytest.raises(BankError, match=r"what was chosen of the points .* is damaged; delete the file and build it"):
        BankFile(bank.path, "r+")
    with BankFile(bank.path) as file:
        with pytest.raises(BankError, match="what was chosen of the points"):
            file.damaged()
        with pytest.raises(BankError, match="what was chosen of the points"):
            _ = file.points
        file.read(0)


def test_a_bank_without_the_checksum_of_its_choice_is_refused(bank: Bank) -> None:
    with h5py.File(bank.path, "r+") as raw:
        del raw.attrs["choice_crc32"]
    with pytest.raises(BankError, match=r"the bank is damaged: .*choice_crc32"):
        BankFile(bank.path, "r+")


def test_a_flipped_byte_of_what_is_kept_once_is_found(bank: Bank) -> None:
    with h5py.File(bank.path) as raw:
        place = (dataset(raw, "constants/outer").id.get_offset() or 0) + 5
    flipped = bytearray(bank.path.read_bytes())
    flipped[place] ^= 4
    bank.path.write_bytes(flipped)
    with BankFile(bank.path) as file, pytest.raises(BankError, match="keeps for all points is damaged"):
        file.constants()


def test_a_flipped_byte_anywhere_ends_in_a_sentence_or_is_found(bank: Bank) -> None:
    """Also in HDF5's own structures: never another kind of error."""
    whole = bank.path.read_bytes()
    for place in np.random.default_rng(0).integers(0, 4096, 60):
        flipped = bytearray(whole)
        flipped[place] ^= 0xFF
        bank.path.write_bytes(flipped)
        with suppress(BankError), BankFile(bank.path) as file:
            file.damaged()
            file.constants()
            assert len(file.points) == 4


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_file_cut_off_is_refused(bank: Bank, share: float) -> None:
    whole = bank.path.read_bytes()
    bank.path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(
        BankError, match=r"bank\.h5: the bank cannot be opened: .*(or delete it and build it again|no HDF5 file)"
    ):
        BankFile(bank.path)


def test_what_is_no_bank_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.h5"
    with pytest.raises(BankError, match="does not exist; make one with nmcheck bank build"):
        BankFile(path)
    with pytest.raises(BankError, match="is a folder"):
        BankFile(tmp_path)
    path.write_bytes(b"PK\3\4 something else")
    with pytest.raises(BankError, match="no HDF5 file"):
        BankFile(path)
    path.unlink()
    with h5py.File(path, "w") as raw:
        raw["x"] = 1
    with pytest.raises(BankError, match="is no bank of nmcheck's"):
        BankFile(path)


def test_a_later_format_and_a_damaged_header_are_refused(bank: Bank) -> None:
    with h5py.File(bank.path, "r+") as raw:
        raw.attrs["format_version"] = 2
    with pytest.raises(BankError, match="format version 2, and this nmcheck reads version 1; update nmcheck"):
        BankFile(bank.path)
    with h5py.File(bank.path, "r+") as raw:
        raw.attrs["format_version"] = 1
        raw.attrs["header"] = str(raw.attrs["header"]).replace('"seed": 0', '"seed": 1')
    with pytest.raises(BankError, match="header is damaged"):
        BankFile(bank.path)


def test_a_dataset_missing_or_of_another_shape_is_refused(bank: Bank) -> None:
    with h5py.File(bank.path, "r+") as raw:
        del raw["points/norms"]
    with pytest.raises(BankError, match="the bank is damaged"):
        BankFile(bank.path)
    with h5py.File(bank.path, "r+") as raw:
        raw["points/norms"] = np.zeros((4, 8), np.float32)
    with pytest.raises(BankError, match=r"norms has shape \(4, 8\)"):
        BankFile(bank.path)


HOLD = """
import sys, h5py
file = h5py.File(sys.argv[1], sys.argv[2], locking=True)
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(("theirs", "mine"), [("r+", "r+"), ("r+", "r"), ("r", "r+")])
def test_a_second_writer_or_a_reader_meanwhile_is_refused(bank: Bank, theirs: str, mine: str) -> None:
    command = [sys.executable, "-c", HOLD, str(bank.path), theirs]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(BankError, match="another process is building or reading it; wait"):
            BankFile(bank.path, "r+" if mine == "r+" else "r")
        other.communicate("")
    BankFile(bank.path, "r+").__exit__(None, None, None)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOLCK, "No locks available"),
        # As HDF5 says it, without an errno of the error's own.
        (None, "Unable to synchronously open file (unable to lock file, errno = 38, error message = 'Function not')"),
        (None, "Unable to synchronously open file (unable to lock file, errno = 95, error message = 'Operation not')"),
    ],
)
def test_where_there_are_no_locks_the_way_out_is_said(
    bank: Bank, tmp_path: Path, number: int | None, text: str
) -> None:
    def opener(path, mode):
        raise OSError(text) if number is None else OSError(number, text)

    before = {*tmp_path.iterdir()}
    sentence = r"has no locks \(E\w+\).*; put it on a local disk, or set HDF5_USE_FILE_LOCKING=FALSE and see to it"
    with pytest.raises(BankError, match=rf"cannot be opened: its file system {sentence}"):
        BankFile(bank.path, opener=opener)
    with pytest.raises(BankError, match=rf"cannot be made: its file system {sentence}"):
        create(tmp_path / "b.h5", bank.header, bank.points, bank.constants, replace=False, opener=opener)
    assert {*tmp_path.iterdir()} == before


def test_the_way_out_works(bank: Bank) -> None:
    """What the sentence names makes HDF5 ask for no lock, though nmcheck wants one."""
    code = "import sys; from pathlib import Path; from nmcheck.linearize.bank.store import BankFile; "
    code += "BankFile(Path(sys.argv[1]), 'r+')"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    command = [sys.executable, "-c", code, str(bank.path)]
    with BankFile(bank.path, "r+"):
        for value, is_open in (("TRUE", False), ("FALSE", True)):
            tried = subprocess.run(
                command, env={**environment, "HDF5_USE_FILE_LOCKING": value}, capture_output=True, check=False
            )
            assert (tried.returncode == 0) == is_open


class FullDisk(io.BytesIO):
    """A file on a disk with some room: writing beyond it fails as the system's does."""

    def __init__(self, content: bytes, room: int) -> None:
        super().__init__(content)
        self.room = room

    def write(self, data) -> int:  # type: ignore[override]
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)

    def truncate(self, size: int | None = None) -> int:
        if (size or 0) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().truncate(size)


@pytest.mark.parametrize("room", [0, 300, 3000])
def test_a_disk_that_is_full_for_hdf5_all_the_same_is_said_and_nothing_left(
    bank: Bank, tmp_path: Path, room: int
) -> None:
    """Where a file system does not keep its word about space that was taken."""
    folder = tmp_path / "full"
    folder.mkdir()
    disks = []

    def opener(path, mode):
        disks.append(FullDisk(path.read_bytes()[:800], room))
        return h5py.File(disks[-1], mode)

    with pytest.raises(BankError, match=r"cannot be made: the disk is full; free some space, then run the command ag"):
        create(folder / "b.h5", bank.header, bank.points, bank.constants, replace=False, opener=opener)
    assert len(disks) == 1
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("is_kept", [True, False])
def test_hdf5_sees_a_file_that_has_all_its_space(bank: Bank, tmp_path: Path, monkeypatch, *, is_kept: bool) -> None:
    """Also on a file system that can only be written to."""
    seen = []

    def unsupported(*_) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    def opener(path: Path, mode):
        seen.append((path.stat().st_size, 512 * path.stat().st_blocks))
        return store.open_file(path, mode)

    if not is_kept:
        monkeypatch.setattr(os, "posix_fallocate", unsupported)
    other = tmp_path / "other.h5"
    create(other, bank.header, bank.points, bank.constants, replace=False, opener=opener)
    (size, taken), made = seen[0], other.stat().st_size
    assert made <= size <= taken
    assert size - made < 17_000
    with BankFile(other, "r+") as file:
        for index in range(3):
            file.write(index, bank.content[index])
    assert other.read_bytes() == bank.path.read_bytes()


LIMITED = """
import os, pickle, resource, sys
from pathlib import Path
from nmcheck.errors import BankError
from nmcheck.linearize.bank.store import create
path, parts = Path(sys.argv[1]), pickle.loads(Path(sys.argv[2]).read_bytes())
for limit in map(int, sys.argv[3:]):
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            create(path, *parts, replace=False)
        except BankError as error:
            print(f"Error: {limit} {error}", file=sys.stderr, flush=True)
            # To the very end: what HDF5 could not write it tries again while the process is taken down.
            sys.exit(3)
        sys.exit(0)
    print(limit, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_no_limit_of_the_system_makes_hdf5_crash(bank: Bank, tmp_path: Path) -> None:
    """Real ones, from nothing to a little less than is needed; each in a process of its own."""
    folder, parts = tmp_path / "limited", tmp_path / "parts"
    folder.mkdir()
    parts.write_bytes(pickle.dumps((bank.header, bank.points, bank.constants)))
    limits = [0, 799, 2_000, 8_000, 18_000]
    command = [sys.executable, "-c", LIMITED, str(folder / "b.h5"), str(parts), *map(str, limits)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    made = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert made.stdout.splitlines() == [f"{limit} 3" for limit in limits], made.stderr
    said = made.stderr.splitlines()
    assert len(said) == len(limits)
    for limit, line in zip(limits, said, strict=True):
        assert line.startswith(f"Error: {limit} {folder / 'b.h5'}: the bank cannot be made: the system allows no file")
    assert list(folder.iterdir()) == []


def test_of_two_builds_of_one_file_the_first_to_end_has_it(bank: Bank, tmp_path: Path, monkeypatch) -> None:
    path, fill, begun = tmp_path / "twice.h5", store._fill, []

    def twice(file, header, points, constants) -> None:
        begun.append(file.filename)
        if len(begun) == 1:
            # Another process begins and ends, and has a point done, while this one is in the middle.
            create(path, header, points, constants, replace=False)
            with BankFile(path, "r+") as other:
                other.write(0, bank.content[0])
        fill(file, header, points, constants)

    monkeypatch.setattr(store, "_fill", twice)
    before = {*tmp_path.iterdir()}
    with pytest.raises(BankError, match=r"twice\.h5: another process has made that file meanwhile.*--resume"):
        create(path, bank.header, bank.points, bank.constants, replace=False)
    assert len({*begun}) == 2
    assert {*tmp_path.iterdir()} == before | {path}
    with BankFile(path) as file:
        assert file.done.tolist() == [True, False, False, False]
        assert len(file.damaged()) == 0


def test_a_file_is_replaced_only_where_it_may_be(bank: Bank) -> None:
    before = bank.path.read_bytes()
    with pytest.raises(UsageError, match="exists; go on with it by --resume"):
        create(bank.path, bank.header, bank.points, bank.constants, replace=False)
    assert bank.path.read_bytes() == before
    create(bank.path, bank.header, bank.points, bank.constants, replace=True)
    with BankFile(bank.path) as file:
        assert not file.done.any()


def test_a_folder_that_is_missing_is_said(bank: Bank, tmp_path: Path) -> None:
    with pytest.raises(BankError, match=r"cannot be made: No such file or directory \(ENOENT\); choose another"):
        create(tmp_path / "no" / "b.h5", bank.header, bank.points, bank.constants, replace=False)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Root may write anywhere, so that the tests of a container would see no permission denied."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(user)


def test_a_read_only_folder_is_said_and_left_as_it_was(bank: Bank) -> None:
    # Not in tmp_path, into whose parents nobody but the owner may look.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        there = folder / "there.h5"
        there.write_bytes(bank.path.read_bytes())
        there.chmod(0o444)
        folder.chmod(0o555)
        try:
            with ordinary_user():
                with pytest.raises(BankError, match=r"cannot be made: Permission denied \(EACCES\); choose another"):
                    create(folder / "b.h5", bank.header, bank.points, bank.constants, replace=False)
                with pytest.raises(BankError, match=r"there.h5: the bank cannot be opened: Permission denied"):
                    BankFile(there, "r+")
                with BankFile(there) as file:
                    assert file.done.any()
            assert [path.name for path in folder.iterdir()] == ["there.h5"]
            assert there.read_bytes() == bank.path.read_bytes()
        finally:
            folder.chmod(0o755)


def test_a_failed_write_leaves_the_points_that_were_done(bank: Bank) -> None:
    with pytest.raises(BankError, match="the bank cannot be written"), BankFile(bank.path, "r") as file:
        file.write(3, bank.content[3])
    with BankFile(bank.path) as file:
        assert file.done.tolist() == [True] * 3 + [False]
        assert len(file.damaged()) == 0


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"model_fingerprint": "1" * 64}, "another model"),
        ({"data_sha256": "1" * 64}, "another choice of images"),
        ({"scale": "byte"}, "another --scale"),
        ({"cut": "other"}, "another --cut"),
        ({"linearizer": "averaged"}, "another --linearizer"),
        ({"sigma": 0.1}, "another --sigma"),
        ({"wanted": 9}, r"another number of points -k \(4, not 9\)"),
        ({"choice": "medoid"}, "another --points"),
        ({"seed": 4}, "another --seed"),
        ({"gain": (2.0,)}, r"another factor of the input scaling \(1\.0, not 2\.0\)"),
        ({"classes": 8}, r"another number of classes \(3, not 8\)"),
        ({"input_shape": (1, 64)}, r"another input shape \(1, 1, 8, 8, not 1, 64\)"),
        (
            {"storage": Storage("gram", 0, "float32")},
            r"another --store or --dtype \(gram in float16, not gram in float3",
        ),
        ({"storage": Storage("low-rank", 4, "float32")}, r"\(gram in float16, not low-rank:4 in float32\)"),
    ],
)
def test_a_build_goes_on_with_its_own_bank_only(bank: Bank, change, what: str) -> None:
    import re

    reason = bank.header.refusal_to_continue(replace(bank.header, **change))
    assert reason is not None
    assert re.search(what, reason)


def test_every_field_of_a_header_that_must_agree_is_named(bank: Bank) -> None:
    """A field added later is compared too, or stated here not to be."""
    compared = {field.name for field in fields(Header)} - {"points", "arithmetic"}
    for name in compared:
        other = replace(bank.header)
        object.__setattr__(other, name, "another value")  # of no right type, which the constructor would refuse
        reason = bank.header.refusal_to_continue(other)
        assert reason is not None, name
        assert "not another value)" in reason
        assert "_" not in reason


def test_how_numbers_are_computed_is_the_banks_own_matter(bank: Bank) -> None:
    other = replace(bank.header, arithmetic=replace(bank.header.arithmetic, chunk=99))
    assert bank.header.refusal_to_continue(other) is None
    assert store.FORMAT == "nmcheck bank"
