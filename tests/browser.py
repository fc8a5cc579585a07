"""A browser for tests: Chromium as the machine has it, driven by playwright.

Where one of the two is missing, tests that ask for it skip; with the environment variable CI set they fail instead.
"""

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

# No name but the loopback interface's is ever looked up, and the sandbox does not work for root in a container.
ARGUMENTS = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


def lacks(reason: str) -> None:
    """Skip, or fail where everything is supposed to be there."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium() -> Iterator:
    """A headless Chromium."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        lacks("there is no chromium: apt-get install chromium")
    if find_spec("playwright") is None:
        lacks("playwright is not installed: pip install playwright")
    from playwright.sync_api import expect, sync_playwright

    # A machine busy with other work takes many seconds to draw a thousand nodes anew.
    expect.set_options(timeout=60_000)
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield running
        running.close()
