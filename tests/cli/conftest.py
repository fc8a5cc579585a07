"""Inputs of every kind, made once."""

from pathlib import Path

import pytest
from run_case import make_inputs


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small inputs by the names of the parameters that take them; tests leave them as they are."""
    return make_inputs(tmp_path_factory.mktemp("inputs"))
