"""Threads, signals, and where the shared models and data lie."""

import os
import signal
from pathlib import Path

import pytest

# The suite runs one process a core; threads inside them, and inside those they start, would only wait for each other.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import torch

pytest_plugins = ("browser",)

# Some tests load onnxruntime before nmcheck does, which would not let it send reports on its use.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# A shell that starts the tests in the background, or by nohup, has them ignore what ends a run, and with them all
# processes they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
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
