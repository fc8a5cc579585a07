"""Type and shape checks at run time, and where the shared models and data lie.

The import hook makes beartype check every annotation of nmcheck, jaxtyping's shapes included, while the tests run;
users do not pay for it.
"""

import os
import signal
from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook

pytest_plugins = ("browser",)

# Some tests load onnxruntime before nmcheck does, which would not let it send reports on its use.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
install_import_hook("nmcheck", "beartype.beartype")
# A shell that starts the tests in the background, or by nohup, has them ignore what ends a run, and with them all
# processes they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
# The suite runs one process a core; threads inside them would only wait for each other.
torch.set_num_threads(1)

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


def _folder(path: Path) -> Path:
    if not path.is_dir():
        pytest.skip(reason=f"{path.relative_to(ROOT.parent)} is not on this machine")
    return path


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """The folder of third-party models that may not be committed."""
    return _folder(SHARED / "models")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of full data sets that may not be committed."""
    return _folder(SHARED / "data")


@pytest.fixture(scope="session")
def sample_models() -> Path:
    """The trained networks that come with the project."""
    return ROOT / "sample_models"
