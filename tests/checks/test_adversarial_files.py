import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from models import mlp, model, node, small_lenet, weights, write
from onnx import TensorProto
from PIL import Image

from nmcheck.checks.adversarial_files import export_vnnlib, save_adversarial
from nmcheck.checks.attacks import attack_uppers
from nmcheck.checks.bounds_options import BoundsOptions
from nmcheck.checks.bounds_report import bounds
from nmcheck.checks.case import Case, open_case
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.checks.progress import SilentProgress
from nmcheck.errors import OutputError, UnsupportedError
from nmcheck.execute.session import ReferenceSession


def image_case(folder: Path, scale: str = "unit", images: int = 5) -> Case:
    pixels = np.random.default_rng(0).integers(0, 256, (images, 8, 8), dtype=np.uint8)
    np.savez(folder / "data.npz", x=pixels)
    path = write(small_lenet(), folder)
    options = AnalyzeOptions(model=path, data=str(folder / "data.npz"), samples=images, scale=scale, device="cpu")
    return open_case(options)


def test_saved_examples_are_what_was_found(tmp_path):
    case = image_case(tmp_path)
    session = ReferenceSession(case.file_graph, threads=1)
    attacked = attack_uppers(case, session, "linf", (0.0, 1.0), attacks=("fgs", "pgd"))
    arrays, picture = save_adversarial(case, attacked, tmp_path / "new" / "folder")
    assert arrays.name == "adversarial_linf_boxed.npz"
    with np.load(arrays) as saved:
        rows = np.flatnonzero(np.isfinite(attacked.nearest.norms))
        assert len(rows) > 0
        np.testing.assert_array_equal(saved["index"], case.positions[rows])
        np.testing.assert_array_equal(saved["original"], case.dataset.pixels(case.positions[rows]))
        change = saved["adversarial"] - saved["original"]
        np.testing.assert_allclose(np.abs(change).max((1, 2)), saved["norm"], rtol=1e-12)
        outputs = session.run(saved["adversarial"].reshape(-1, 1, 8, 8).astype(np.float32))
        np.testing.assert_array_equal(outputs.reshape(len(rows), -1).argmax(1), saved["adversarial_class"])
        assert (saved["adversarial_class"] != saved["predicted"]).all()
        assert saved["attack"].tolist() == [attacked.methods[row] for row in rows]
    with Image.open(picture) as grid:
        columns = min(4, len(rows))
        assert grid.size == (columns * (24 + 2) - 2, -(-len(rows) // 4) * (8 + 2) - 2)


def test_vectors_are_saved_without_a_picture(tmp_path):
    np.savez(tmp_path / "data.npz", x=10 * weights(4, 6))
    path = write(mlp((6, 20, 3)), tmp_path)
    case = open_case(AnalyzeOptions(model=path, data=str(tmp_path / "data.npz"), samples=4, device="cpu"))
    attacked = attack_uppers(case, ReferenceSession(case.file_graph, threads=1), "l2", attacks=("deepfool",))
    (arrays,) = save_adversarial(case, attacked, tmp_path)
    assert arrays.name == "adversarial_l2.npz"


class Stages(SilentProgress):
    """The titles of the stages begun."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def stage(self, title: str, total: int | None):
        self.begun.append(title)
        return super().stage(title, total)


def test_a_missing_pillow_is_said_before_the_attacks(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    write(small_lenet(), tmp_path)
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).random((3, 8, 8)))
    asked = {"samples": 3, "attacks": ("fgs",), "method": "lipschitz", "norm": "inf", "box": True}
    options = BoundsOptions(
        tmp_path / "model.onnx", str(tmp_path / "data.npz"), save_adversarial=tmp_path / "found", **asked
    )
    stages = Stages()
    sentence = r"adversarial_linf_boxed\.png cannot be written: .*not installed; .*pip install 'nmcheck\[images\]'\.$"
    with pytest.raises(OutputError, match=sentence):
        bounds(options, stages)
    assert stages.begun == ["Model and data"]
    assert not (tmp_path / "found").exists()


def test_vectors_need_no_pillow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    write(mlp((6, 20, 3)), tmp_path)
    np.savez(tmp_path / "data.npz", x=10 * weights(4, 6))
    options = BoundsOptions(
        tmp_path / "model.onnx", str(tmp_path / "data.npz"), samples=4, attacks=("deepfool",), method="lipschitz",
        save_adversarial=tmp_path / "found",
    )  # fmt: skip
    bounds(options)
    assert [path.name for path in (tmp_path / "found").iterdir()] == ["adversarial_l2.npz"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    case = image_case(tmp_path, images=1)
    attacked = attack_uppers(case, ReferenceSession(case.file_graph, threads=1), "l2", attacks=("fgs",))
    (tmp_path / "file").write_text("")
    for use in (
        lambda: save_adversarial(case, attacked, tmp_path / "file"),
        lambda: export_vnnlib(case, np.arange(1), 0.1, tmp_path / "file"),
    ):
        with pytest.raises(OutputError, match=r"file cannot be written: .*; choose another folder\."):
            use()


def parse(path: Path) -> tuple[dict[str, float], dict[str, float], list[str]]:
    """Bounds of the inputs, read by the letter, and the clauses about the outputs."""
    low, high, clauses = {}, {}, []
    for line in path.read_text().splitlines():
        parts = line.replace("(", " ").replace(")", " ").split()
        if parts[:2] == ["assert", ">="] or parts[:2] == ["assert", "<="]:
            value = float("".join(parts[3:]))
            (low if parts[1] == ">=" else high)[parts[2]] = value
        elif parts[:1] == ["and"]:
            clauses.append(" ".join(parts[1:]))
    return low, high, clauses


@pytest.mark.parametrize("box", [None, (0.0, 1.0)])
def test_questions_for_verifiers_say_what_was_asked(tmp_path, box):
    case = image_case(tmp_path, "mean=0.5:std=0.25")
    *questions, table = export_vnnlib(case, np.array([1, 3]), 0.05, tmp_path / "vnn", box=box, timeout=60)
    for path, row in zip(questions, (1, 3), strict=True):
        low, high, clauses = parse(path)
        label = int(case.predicted[row])
        ends = [case.pixels[row].ravel() - 0.05, case.pixels[row].ravel() + 0.05]
        ends = ends if box is None else [end.clip(*box) for end in ends]
        for found, end in zip((low, high), ends, strict=True):
            assert list(found) == [f"X_{place}" for place in range(64)]
            np.testing.assert_allclose(list(found.values()), (end - 0.5) / 0.25, rtol=1e-12, atol=1e-15)
        assert clauses == [f">= Y_{other} Y_{label}" for other in range(3) if other != label]
        text = path.read_text()
        assert not any("e" in line.split("X_")[1] for line in text.splitlines() if "= X_" in line)
        assert text.count("(") == text.count(")")
        assert text.count("declare-const Y_") == 3
        assert f"image {case.positions[row]}," in text
    with table.open(newline="") as file:
        rows = list(csv.reader(file))
    assert [row[1] for row in rows] == [path.name for path in questions]
    assert {row[2] for row in rows} == {"60"}
    assert (table.parent / rows[0][0]).resolve() == Path(case.graph.model.path).resolve()


@pytest.mark.parametrize("is_new", [True, False])
def test_a_folder_made_for_questions_goes_if_the_run_ends_before_the_first(tmp_path, monkeypatch, *, is_new):
    case, folder = image_case(tmp_path), tmp_path / "questions"
    if not is_new:
        folder.mkdir()

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("nmcheck.checks.adversarial_files.robustness_property", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_vnnlib(case, np.arange(2), 0.1, folder)
    assert folder.exists() != is_new


def test_a_file_that_gives_the_class_itself_has_no_question(tmp_path):
    nodes = [node("Gemm", ["x", "W"], ["z"], transB=1), node("ArgMax", ["z"], axis=1, keepdims=0)]
    made = model(nodes, ("N", 4), {"W": weights(3, 4)}, output_type=TensorProto.INT64)
    np.savez(tmp_path / "data.npz", x=weights(2, 4))
    path = write(made, tmp_path)
    case = open_case(AnalyzeOptions(model=path, data=str(tmp_path / "data.npz"), samples=2, device="cpu"))
    with pytest.raises(UnsupportedError, match="export the model without its arg-max"):
        export_vnnlib(case, np.arange(2), 0.1, tmp_path)
