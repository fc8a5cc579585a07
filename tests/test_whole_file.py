"""Files appear whole, or not at all."""

import errno
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from nmcheck import interruption
from nmcheck.whole_file import publish, whole_file, whole_files

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX files")


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_it_has_its_name_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with whole_file(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert texts(tmp_path) == {"a": "new"}


@pytest.mark.parametrize("failure", [ZeroDivisionError, KeyboardInterrupt, OSError])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def write() -> None:
        with whole_file(path) as file:
            file.write(b"half")
            raise failure

    with pytest.raises(failure):
        write()
    assert texts(tmp_path) == {"a": "old"}


@posix
def test_links_are_followed_and_devices_written_into(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    with whole_file(tmp_path / "link") as file:
        file.write(b"x")
    assert texts(tmp_path) == {"link": "x", "target": "x"}
    assert (tmp_path / "link").is_symlink()
    with whole_file(Path(os.devnull)) as file:
        file.write(b"x")
    assert not Path(os.devnull).is_file()


def test_several_take_their_names_together(tmp_path: Path) -> None:
    files = {tmp_path / "a": b"new a", tmp_path / "b": b"new b"}
    (tmp_path / "a").write_text("old")
    with whole_files(files):
        assert (tmp_path / "a").read_text() == "old"
        assert not (tmp_path / "b").exists()
    assert texts(tmp_path) == {"a": "new a", "b": "new b"}
    with pytest.raises(ZeroDivisionError), whole_files(dict.fromkeys(files, b"newer")):
        raise ZeroDivisionError
    assert texts(tmp_path) == {"a": "new a", "b": "new b"}
    with pytest.raises(FileNotFoundError) as failed, whole_files({**files, tmp_path / "no" / "c": b""}):
        pass
    assert failed.value.filename == str(tmp_path / "no" / "c")
    assert texts(tmp_path) == {"a": "new a", "b": "new b"}


@pytest.mark.parametrize("has_links", [True, False])
def test_what_may_not_be_replaced_is_not_even_if_it_came_meanwhile(tmp_path: Path, monkeypatch, *, has_links) -> None:
    def no_links(*_) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(FileExistsError) as failed, whole_files({tmp_path / "a": b"new"}, replace=False):
        (tmp_path / "a").write_text("came meanwhile")
    assert failed.value.filename == str(tmp_path / "a")
    assert texts(tmp_path) == {"a": "came meanwhile"}
    with whole_files({tmp_path / "b": b"new"}, replace=False):
        pass
    assert texts(tmp_path) == {"a": "came meanwhile", "b": "new"}


@posix
def test_a_signal_between_two_names_waits_until_both_are_given(tmp_path: Path, monkeypatch) -> None:
    """Else one of a gate's reports would be new and another old."""
    assert threading.current_thread() is threading.main_thread()
    replace = Path.replace

    def interrupted(path: Path, target: Path) -> Path:
        os.kill(os.getpid(), signal.SIGTERM)
        return replace(path, target)

    before = {name: signal.getsignal(getattr(signal, name)) for name in interruption.SIGNALS}
    monkeypatch.setattr(interruption, "_STATE", type(interruption._STATE)())
    interruption.catch(lambda: None)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", interrupted)
            with pytest.raises(KeyboardInterrupt), whole_files({tmp_path / "a": b"a", tmp_path / "b": b"b"}):
                pass
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
    assert texts(tmp_path) == {"a": "a", "b": "b"}


def test_publishing_fails_where_a_name_is_taken(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    with pytest.raises(FileExistsError):
        publish(tmp_path / "a", tmp_path / "b")
    assert texts(tmp_path) == {"a": "a", "b": "b"}
