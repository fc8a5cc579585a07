"""A file that appears whole, or not at all."""

import errno
import os
from pathlib import Path

import pytest

from nmcheck.linearize.bank.fresh_file import fresh_file, reserve


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_has_its_name_at_the_end_and_the_rights_of_any_file(tmp_path: Path) -> None:
    path, plain = tmp_path / "a.h5", tmp_path / "plain"
    plain.touch()
    with fresh_file(path, b"begin", 100, replace=False) as temporary:
        assert temporary.read_bytes() == b"begin" + bytes(95)
        assert temporary.parent == tmp_path
        assert not path.exists()
    assert names(tmp_path) == ["a.h5", "plain"]
    assert path.stat().st_mode == plain.stat().st_mode
    assert path.stat().st_nlink == 1


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), fresh_file(tmp_path / "a", b"x", 10, replace=False):
        raise ZeroDivisionError
    assert names(tmp_path) == []


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_made_meanwhile_is_replaced_only_where_it_may_be(
    tmp_path: Path, monkeypatch, *, has_links: bool
) -> None:
    def no_links(*_) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "a"
    with fresh_file(path, b"one", 3, replace=False):
        pass
    assert path.read_bytes() == b"one"
    with pytest.raises(FileExistsError), fresh_file(path, b"two", 3, replace=False):
        pass
    assert path.read_bytes() == b"one"
    with fresh_file(path, b"two", 3, replace=True):
        pass
    assert path.read_bytes() == b"two"
    assert names(tmp_path) == ["a"]


def test_where_links_are_missing_and_renaming_fails_the_name_is_free_again(tmp_path: Path, monkeypatch) -> None:
    def failing(*_) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", failing)
    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(PermissionError), fresh_file(tmp_path / "a", b"x", 1, replace=False):
        pass
    assert names(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, None])
def test_space_is_taken_by_writing_where_it_cannot_be_asked_for(tmp_path: Path, monkeypatch, number) -> None:
    def unsupported(*_) -> None:
        raise OSError(number, "not here")

    if number is None:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    else:
        monkeypatch.setattr(os, "posix_fallocate", unsupported)
    monkeypatch.setattr("nmcheck.linearize.bank.fresh_file._AT_ONCE", 4096)
    with (tmp_path / "a").open("wb+", buffering=0) as file:
        file.write(b"begin")
        reserve(file.fileno(), 5, 10_000)
        reserve(file.fileno(), 5, 3)
    assert (tmp_path / "a").read_bytes() == b"begin" + bytes(9_995)
    assert 512 * (tmp_path / "a").stat().st_blocks >= 10_000


def test_a_full_disk_is_no_reason_to_write_zeros(tmp_path: Path, monkeypatch) -> None:
    def full(*_) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left") as failed, fresh_file(tmp_path / "a", b"x", 10, replace=False):
        pass
    assert failed.value.errno == errno.ENOSPC
    assert names(tmp_path) == []
