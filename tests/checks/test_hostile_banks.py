"""Banks that say they are of a network, and are not: refused wherever they are used, never an internal error."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks.banks import IMAGES, build, write_images
from models import small_lenet, write

from nmcheck.checks.bank_engine import open_bank
from nmcheck.checks.bank_info import verify_bank
from nmcheck.checks.case import open_case
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.cli.app import run as command
from nmcheck.errors import BankError
from nmcheck.linearize.bank.header import Arrays, Header
from nmcheck.linearize.bank.points import Points
from nmcheck.linearize.bank.store import BankFile, create


def zeros(arrays: Arrays) -> dict[str, np.ndarray]:
    return {name: np.zeros(shape, dtype) for name, (shape, dtype) in arrays.items()}


def forge(path: Path, header: Header) -> None:
    """A whole bank of zeros with any header."""
    one = zeros(header.choice_arrays)
    arrays = {name: np.stack([array] * header.points) for name, array in one.items()}
    create(path, header, Points(header.choice, **arrays), zeros(header.constant_arrays), replace=True)
    with BankFile(path, "r+") as file:
        for index in range(header.points):
            file.write(index, zeros(header.point_arrays))


CHANGES: dict[str, tuple[Callable[[Header], dict[str, Any]], str]] = {
    "another node": (lambda header: {"cut": "conv"}, "the network has no cut conv"),
    "a node that is not there": (lambda header: {"cut": "nowhere"}, "made of another model|the network has no cut"),
    "a name that commands a terminal": (lambda header: {"cut": "\x1b[31m"}, "made of another model|the network has no"),
    "a skip": (lambda header: {"cut_kind": "skip"}, "its cut_kind is skip, and the network's cut"),
    "more units": (lambda header: {"p": header.p + 1}, "its p is 8, and the network's 7"),
    "fewer units": (lambda header: {"p": 1}, "its p is 1"),
    "more logits": (lambda header: {"d": header.d + 1}, "its d is 4"),
    "more pixels": (lambda header: {"n": 100, "input_shape": (1, 1, 10, 10)}, "its n is 100, and the network's 64"),
    "another shape of as many pixels": (lambda header: {"input_shape": (1, 1, 4, 16)}, "its input_shape is"),
    "one A for all points": (lambda header: {"inner_is_constant": True}, "its inner_is_constant is True"),
    "a B for every point": (lambda header: {"outer_is_constant": False}, "its outer_is_constant is False"),
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, Header]:
    """A network, its data, and the header of a bank of both."""
    folder = tmp_path_factory.mktemp("made")
    network, data = write(small_lenet(), folder, "lenet.onnx"), write_images(folder, 8)
    with BankFile(build(network, data)) as file:
        return network, data, file.header


@pytest.mark.parametrize("name", CHANGES)
def test_a_header_that_is_not_the_networks_is_refused(made, tmp_path: Path, name: str) -> None:
    network, data, header = made
    change, reason = CHANGES[name]
    path = tmp_path / "forged.h5"
    forge(path, replace(header, **change(header)))
    options = AnalyzeOptions(network, data, bank=path, engines=("bank",), samples=IMAGES, device="cpu")
    with pytest.raises(BankError, match=reason), open_bank(open_case(options), options):
        pass
    with pytest.raises(BankError, match=reason):
        verify_bank(path, network)


def test_the_same_header_is_not_what_is_refused(made, tmp_path: Path) -> None:
    network, data, header = made
    forge(tmp_path / "forged.h5", header)
    options = AnalyzeOptions(
        network, data, bank=tmp_path / "forged.h5", engines=("bank",), samples=IMAGES, device="cpu"
    )
    with open_bank(open_case(options), options) as engine:
        assert engine is not None
    with pytest.raises(BankError, match="computed again, differs by"):
        verify_bank(tmp_path / "forged.h5", network)


@pytest.mark.parametrize("name", ["images\x1b[31m", "images\udcff", "images\u202e", "a\nb"])
def test_odd_names_of_data_are_no_obstacle(made, tmp_path: Path, name: str) -> None:
    _, _, header = made
    forge(tmp_path / "forged.h5", replace(header, data_name=name))
    for form in ("table", "json", "csv", "markdown", "html"):
        assert command(["bank", "info", str(tmp_path / "forged.h5"), "--format", form]) == 0


def test_a_link_that_leads_nowhere_is_no_place_for_a_bank(made, tmp_path: Path) -> None:
    network, data, _ = made
    path = tmp_path / "link.h5"
    path.symlink_to(tmp_path / "gone.h5")
    for resume in ([], ["--resume"]):
        assert command(["bank", "build", str(network), "--data", data, "-k", "2", "-o", str(path), "-q", *resume]) == 2
    assert not (tmp_path / "gone.h5").exists()
