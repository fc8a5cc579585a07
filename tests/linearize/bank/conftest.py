"""A bank in its file, for every test that takes one."""

from pathlib import Path

import pytest
from linearize.bank.stored import Bank


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path)
