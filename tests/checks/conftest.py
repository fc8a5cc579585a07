"""Networks that several tests of the use cases take."""

from pathlib import Path

import pytest
from models import small_lenet, write
from residual_network import residual_network


@pytest.fixture
def lenet(tmp_path: Path) -> Path:
    return write(small_lenet(), tmp_path, "lenet.onnx")


@pytest.fixture
def residual(tmp_path: Path) -> Path:
    return write(residual_network(), tmp_path, "residual.onnx")
