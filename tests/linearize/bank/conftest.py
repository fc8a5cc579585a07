"""A bank in its file, for every test that takes one."""

from pathlib import Path

import pytest
from linearize.bank.stored import Bank


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """One for all tests that change a copy of it."""
    return Bank(tmp_path_factory.mktemp("bank"))


@pytest.fixture
def copy(whole: Bank, tmp_path: Path) -> Path:
    path = tmp_path / "bank.h5"
    path.write_bytes(whole.path.read_bytes())
    return path
