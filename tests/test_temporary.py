"""Temporary files tell whose they are."""

import os
import signal
import sys
from pathlib import Path

import pytest
from forked import forked

from nmcheck import temporary
from nmcheck.temporary import forget, open_temporary, remove, remove_all, sweep

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX processes")
DAY = 86_400


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def made(folder: Path, ending: str = "") -> Path:
    path, descriptor = open_temporary(folder, ending)
    os.close(descriptor)
    return path


def of_a_dead_process(folder: Path) -> Path:
    """What a process leaves that is killed before it can tidy up."""

    def killed() -> None:
        made(folder)
        os.kill(os.getpid(), signal.SIGKILL)

    assert forked(killed) == -signal.SIGKILL
    (path,) = folder.iterdir()
    return path


def test_it_is_new_and_has_the_rights_of_any_file(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    paths = {made(tmp_path) for _ in range(20)}
    assert len(paths) == 20
    assert {path.stat().st_mode for path in paths} == {plain.stat().st_mode}
    remove_all()
    assert names(tmp_path) == ["plain"]


def test_what_has_another_name_now_is_nobody_s(tmp_path: Path) -> None:
    path = made(tmp_path)
    path.rename(tmp_path / "whole")
    forget(path)
    (tmp_path / path.name).touch()
    remove_all()
    assert names(tmp_path) == sorted([path.name, "whole"])


def test_a_folder_that_is_not_there_leaves_nothing_to_remember(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_temporary(tmp_path / "missing")
    assert not temporary._made


@posix
def test_a_live_run_s_files_are_never_touched(tmp_path: Path) -> None:
    path = made(tmp_path, ".report.json")
    sweep(tmp_path, path.stat().st_mtime + 1000 * DAY)
    assert path.exists()
    remove(path)


@posix
def test_a_dead_run_s_files_go_at_once(tmp_path: Path) -> None:
    path = of_a_dead_process(tmp_path)
    sweep(tmp_path, path.stat().st_mtime)
    assert names(tmp_path) == []


@posix
def test_a_forked_process_leaves_what_its_parent_made(tmp_path: Path) -> None:
    path = made(tmp_path)
    assert forked(remove_all) == 0
    assert path.exists()
    remove(path)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_process_number_that_is_used_again_is_no_sign_of_life(tmp_path: Path) -> None:
    path = made(tmp_path)
    parts = path.name.split("-")
    other = tmp_path / "-".join([*parts[:3], str(int(parts[3]) - 1), parts[4]])
    path.rename(other)
    forget(path)
    sweep(tmp_path, 0.0)
    assert names(tmp_path) == []


def test_another_machine_s_files_go_after_a_day(tmp_path: Path) -> None:
    """Containers that share a folder have processes of the same numbers."""
    there = made(tmp_path)
    young, old = (
        tmp_path / "-".join([".nmcheck", "00000000", "1", "1", end]) for end in ("00000001.tmp", "00000002.tmp")
    )
    there.rename(young)
    forget(there)
    old.touch()
    now = young.stat().st_mtime
    os.utime(old, (now - 2 * DAY, now - 2 * DAY))
    sweep(tmp_path, now)
    assert list(tmp_path.iterdir()) == [young]


@posix
def test_only_plain_files_of_its_own_names_go(tmp_path: Path) -> None:
    dead = of_a_dead_process(tmp_path)
    head, token = dead.name[: -len("01234567.tmp")], "01234567.tmp"
    kept = [f"x{dead.name}", dead.name[1:], f"{head}0123456.tmp", f"{head}0123456g.tmp", ".nmcheck-.tmp", "report.json"]
    for name in kept:
        (tmp_path / name).touch()
    (tmp_path / f"{head}{token}").mkdir()
    (tmp_path / f"{head}{token}x").symlink_to(tmp_path / "report.json")
    sweep(tmp_path, 0.0)
    assert names(tmp_path) == sorted([*kept, f"{head}{token}", f"{head}{token}x"])
    sweep(tmp_path / "missing", 0.0)
