"""What the tests of the viewer need: Netron, and a browser to show it in."""

from importlib.util import find_spec

import pytest
from browser import lacks


@pytest.fixture(scope="session")
def netron() -> None:
    """Netron is installed."""
    if find_spec("netron") is None:
        lacks("netron is not installed: pip install netron")


@pytest.fixture(scope="session")
def browser(netron: None, chromium):
    """A headless Chromium."""
    return chromium
