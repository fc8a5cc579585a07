"""One process writes a bank, and none reads it meanwhile."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from linearize.bank.stored import Bank

from nmcheck.errors import BankError
from nmcheck.linearize.bank import store
from nmcheck.linearize.bank.store import BankFile, create

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
