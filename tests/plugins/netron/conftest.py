"""A browser for the tests of the drawing: Chromium as the machine has it, driven by playwright.

Where one of the two is missing the tests skip; with the environment variable CI set they fail instead.
"""

import os
import shutil
from collections.abc import Iterator

import pytest

# No name but the loopback interface's is ever looked up, and the sandbox does not work for root in a container.
ARGUMENTS = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """A headless Chromium."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    if sync_playwright is None or path is None:
        missing = "playwright is not installed" if sync_playwright is None else "there is no chromium"
        reason = f"{missing}: pip install playwright; apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield running
        running.close()
