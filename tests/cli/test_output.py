import stat
import sys
from pathlib import Path

import pytest

from nmcheck.cli.output import check_writable, write_file
from nmcheck.errors import OutputError

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX files")


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_writes_and_overwrites(tmp_path):
    path = tmp_path / "r"
    for text in ("one\n", "tw\u00f6\n"):
        check_writable(path)
        write_file(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert names(tmp_path) == ["r"]


@posix
def test_permissions_are_those_of_a_plain_write(tmp_path):
    path, plain = tmp_path / "r", tmp_path / "plain"
    plain.write_text("")
    write_file(path, "x")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    path.chmod(0o640)
    write_file(path, "y")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@posix
def test_links_are_followed_and_stay(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write_file(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


@posix
def test_devices_are_written_into_and_not_replaced():
    check_writable(Path("/dev/null"))
    write_file(Path("/dev/null"), "x")
    assert not Path("/dev/null").is_file()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk():
    with pytest.raises(OutputError, match="No space left on device"):
        write_file(Path("/dev/full"), "x")


def test_a_failed_write_leaves_nothing(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "in-the-way").touch()
    for attempt in (lambda: check_writable(path), lambda: write_file(path, "x")):
        with pytest.raises(OutputError):
            attempt()
    assert names(tmp_path) == ["folder"]
