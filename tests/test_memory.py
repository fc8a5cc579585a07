"""What this process may still take of memory, by machine, container and limit."""

from pathlib import Path

import pytest

from nmcheck import memory

MACHINE = "MemTotal:       16000000 kB\nMemAvailable:    8000000 kB\n"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with 8 GB free, in no container and without a limit."""
    (tmp_path / "meminfo").write_text(MACHINE)
    (tmp_path / "status").write_text("Name:\tpython\nVmSize:\t 1000000 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    monkeypatch.setattr(memory, "_GROUPS", ((tmp_path / "group", "memory.max", "memory.current", "inactive_file"),))
    monkeypatch.setattr(memory, "resource", None)
    return tmp_path


def group(folder: Path, limit: str) -> None:
    (folder / "group").mkdir()
    (folder / "group" / "memory.max").write_text(limit)
    (folder / "group" / "memory.current").write_text("3000000000\n")
    (folder / "group" / "memory.stat").write_text("anon 5\ninactive_file 1000000000\n")


def test_the_machine_tells(machine: Path) -> None:
    assert memory.free_memory() == 8_000_000 * 1024


def test_a_container_may_leave_less(machine: Path) -> None:
    group(machine, "4000000000\n")
    assert memory.free_memory() == 2_000_000_000


@pytest.mark.parametrize("limit", ["max\n", "9223372036854771712\n", "", "4e9"])
def test_a_container_without_a_limit_leaves_all(machine: Path, limit: str) -> None:
    group(machine, limit)
    assert memory.free_memory() == 8_000_000 * 1024


def test_a_limit_of_the_process_counts_what_it_has(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Limits:
        RLIMIT_AS, RLIM_INFINITY, given = 9, -1, 5_000_000_000

        def getrlimit(self, which: int) -> tuple[int, int]:
            assert which == self.RLIMIT_AS
            return self.given, self.RLIM_INFINITY

    limits = Limits()
    monkeypatch.setattr(memory, "resource", limits)
    assert memory.free_memory() == 5_000_000_000 - 1_000_000 * 1024
    limits.given = 10
    assert memory.free_memory() == 0
    limits.given = limits.RLIM_INFINITY
    assert memory.free_memory() == 8_000_000 * 1024


def test_where_nothing_tells_nobody_knows(machine: Path) -> None:
    (machine / "meminfo").write_text("nothing of that kind\n")
    assert memory.free_memory() is None
    (machine / "meminfo").unlink()
    assert memory.free_memory() is None


def test_here_it_is_a_number() -> None:
    found = memory.free_memory()
    assert found is None or found > 2**20
