"""Where the linearization of a bank's point is anchored: at the point, or at the image it serves."""

from pathlib import Path

import pytest
from checks.banks import build, entries, run, write_images
from residual_network import SHAPE

from nmcheck.checks.options import AnalyzeOptions
from nmcheck.errors import UsageError


@pytest.mark.parametrize("cut", ["stem", "inner", "tail"])
def test_anchored_at_the_image_a_bank_tells_what_noise_does_to_that_image(
    tmp_path: Path, residual: Path, cut: str
) -> None:
    """With one point for all images the model is the network's own where there is next to no noise, skip or cut."""
    data = write_images(tmp_path, SHAPE[1], 8)
    bank = build(residual, data, k=1, cut=cut)
    means = {}
    for anchor in ("point", "image"):
        found = run(residual, data, bank, engines=("bank",), sigmas=(1e-5,), samples=8, bank_anchor=anchor)
        entry = entries(found)["bank", 1e-5]
        assert entry.bank is not None
        assert entry.bank.anchor == anchor
        means[anchor] = entry.overall.mean_er
    assert means["image"] < 1e-3 < means["point"]


def test_at_a_point_itself_both_anchors_are_one(tmp_path: Path, lenet: Path) -> None:
    data = write_images(tmp_path, 8, 12)
    bank = build(lenet, data, k=12)
    found = [entries(run(lenet, data, bank, samples=12, bank_anchor=anchor)) for anchor in ("point", "image")]
    for sigma in (0.05, 0.3):
        one, other = (each["bank", sigma].overall for each in found)
        assert one.mean_er == pytest.approx(other.mean_er, abs=1e-6)
        assert one.var_ratio == pytest.approx(other.var_ratio, abs=1e-6)


def test_an_averaged_bank_has_no_anchor_at_an_image(tmp_path: Path, lenet: Path) -> None:
    data = write_images(tmp_path, 8)
    bank = build(lenet, data, linearizer="averaged", sigma=0.1)
    with pytest.raises(UsageError, match=r"--bank-anchor image is for banks of --linearizer taylor"):
        run(lenet, data, bank, sigmas=(0.1,), engines=("bank",), bank_anchor="image")


def test_an_anchor_needs_a_bank_and_must_be_known() -> None:
    with pytest.raises(UsageError, match="--bank-anchor says how a --bank FILE is served"):
        AnalyzeOptions(Path("m.onnx"), "mnist", bank_anchor="image")
    with pytest.raises(UsageError, match="choose from point, image"):
        AnalyzeOptions(Path("m.onnx"), "mnist", engines=("bank",), bank=Path("b.h5"), bank_anchor="centre")
