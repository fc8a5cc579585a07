"""Attacks of a case: what counts is what onnxruntime says of the original file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from models import mlp, model, node, weights, write
from onnx import TensorProto

from nmcheck.bounds.network import network_bounds
from nmcheck.checks.adversarial import verify
from nmcheck.checks.attacks import (
    ATTACKS,
    NO_CORRECT,
    NO_SUCCESS,
    NOT_CONFIRMED,
    NOTHING_FOUND,
    attack_uppers,
    class_changes,
)
from nmcheck.checks.case import Case, open_case
from nmcheck.checks.iterated import OVERSHOOT, iterated_perturbation
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.errors import UsageError
from nmcheck.execute.session import ReferenceSession

NAMES = ["lenet", "lenet_bn", "lenet_lrn1", "lenet_lrn2", "lenet_lrn3", "lenet_relu3", "mlp"]
BOX = (0.0, 1.0)


def session_of(case: Case) -> ReferenceSession:
    return ReferenceSession(case.file_graph, threads=1)


def sample_case(path: Path, images: int) -> Case:
    return open_case(AnalyzeOptions(model=path, data="mnist", samples=images, device="cpu"))


def tiny_case(folder: Path, made, rows: np.ndarray, labels: np.ndarray | None = None, scale: str | None = None) -> Case:
    """A case of feature vectors, or of images where they are three-dimensional."""
    path = write(made, folder)
    data = folder / "data.npz"
    np.savez(data, x=rows) if labels is None else np.savez(data, x=rows, y=labels)
    options = AnalyzeOptions(model=path, data=str(data), samples=len(rows), scale=scale, device="cpu")
    return open_case(options)


def decided(case: Case, pixels: np.ndarray) -> np.ndarray:
    """onnxruntime's classes, without any of nmcheck's code."""
    run = onnxruntime.InferenceSession(case.file_graph.model.path, providers=["CPUExecutionProvider"])
    fed = (pixels * case.scale.gain + case.scale.offset).astype(np.float32)
    name = run.get_inputs()[0].name
    shape = case.file_graph.shapes[case.file_graph.input]
    outputs = [np.asarray(run.run(None, {name: image.reshape(shape)})[0]).ravel() for image in fed]
    return np.array([output.argmax() for output in outputs])


@pytest.mark.parametrize("name", NAMES)
def test_no_adversarial_example_is_below_the_certified_radius(sample_models, name):
    case = sample_case(sample_models / f"{name}.onnx", 6)
    certified = network_bounds(case.graph, case.double, case.images).radius_certified
    assert certified is not None
    attacked = attack_uppers(case, session_of(case), "l2", attacks=("fgs", "fgv", "deepfool", "ddn"))
    assert (attacked.nearest.norms >= certified.numpy()).all()
    assert all(upper is not None for upper in attacked.uppers)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("box", [None, BOX], ids=["free", "boxed"])
def test_every_example_flips_the_original_file(sample_models, norm, box):
    case = sample_case(sample_models / "mlp.onnx", 5)
    names = ("fgs", "pgd", "ddn") if norm == "l2" else ("fgs", "deepfool", "pgd")
    attacked = attack_uppers(case, session_of(case), norm, box, attacks=names)
    found = attacked.nearest
    classes = decided(case, found.pixels)
    assert (classes == found.classes).all()
    assert (classes != case.predicted.numpy()).all()
    change = (found.pixels - case.pixels).reshape(len(found.pixels), -1)
    norms = np.abs(change).max(1) if norm == "linf" else np.sqrt((change**2).sum(1))
    np.testing.assert_allclose(found.norms, norms, rtol=1e-12)
    if box is not None:
        assert found.pixels.min() >= 0
        assert found.pixels.max() <= 1
    assert list(attacked.entries) == list(names)
    for entry in attacked.entries.values():
        assert entry.success_rate
        assert entry.mean is not None
        assert entry.mean >= found.norms[case.correct.numpy()].mean() * (1 - 1e-12)


def test_the_same_twice_with_any_neighbours(sample_models):
    case = sample_case(sample_models / "mlp.onnx", 3)
    session = session_of(case)
    first = attack_uppers(case, session, "linf", attacks=("fgs", "pgd"), seed=3)
    again = attack_uppers(case, session, "linf", attacks=("fgs", "pgd"), seed=3)
    assert first.uppers == again.uppers
    assert np.array_equal(first.nearest.pixels, again.nearest.pixels)
    alone = replace(case, pixels=case.pixels[2:3], positions=case.positions[2:3], labels=None)
    # float32: other batches are summed in another order.
    assert attack_uppers(alone, session, "linf", attacks=("fgs", "pgd"), seed=3).uppers[0] == pytest.approx(
        first.uppers[2], rel=1e-3
    )


def test_an_example_that_rounding_undoes_is_lengthened_and_one_too_short_is_refused(tmp_path):
    weight = np.array([[1.0, -1.0], [-1.0, 1.0]], dtype=np.float32)
    made = model([node("Gemm", ["x", "W"], transB=1)], ("N", 2), {"W": weight})
    rows = np.array([[3.0, 1.0], [3.0, 1.0], [3.0, 1.0], [1.0, 3.0]])
    case = tiny_case(tmp_path, made, rows)
    change = np.array([[-1.0, 1.0]])
    factors = np.array([[1.5], [1 - 2e-6], [0.9], [1.5]])
    labels = np.zeros(4, dtype=np.int64)
    proposed = np.array([True, True, True, False])
    points = case.pixels + (factors * change).reshape(case.pixels.shape)
    found = verify(case, session_of(case), case.pixels, points, labels, proposed=proposed, norm="l2", box=None)
    np.testing.assert_allclose(found.norms, [1.5 * 2**0.5, 2**0.5, np.inf, np.inf], rtol=2e-5)
    assert found.classes.tolist() == [1, 1, -1, -1]
    assert found.rejected.tolist() == [False, False, True, False]
    assert np.array_equal(found.pixels[2:], case.pixels[2:])


def test_the_norm_is_of_what_the_file_sees(tmp_path):
    """Scaled pixels are rounded to float32 before the file sees them, and that is part of the change."""
    case = tiny_case(tmp_path, mlp((4, 3, 2)), np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 2, 2), scale="byte")
    attacked = attack_uppers(case, session_of(case), "l2")
    found = np.isfinite(attacked.nearest.norms)
    assert found.any()
    fed = (attacked.nearest.pixels * 255).astype(np.float32).astype(np.float64)
    np.testing.assert_array_equal(fed / 255, attacked.nearest.pixels)


def test_a_network_that_cannot_be_flipped_has_reasons_instead_of_numbers(tmp_path):
    made = model(
        [node("MatMul", ["x", "W"], ["z"]), node("Add", ["z", "b"])],
        ("N", 4),
        {"W": np.zeros((4, 3), dtype=np.float32), "b": np.array([0, 1, 0.5], dtype=np.float32)},
    )
    case = tiny_case(tmp_path, made, weights(5, 4).astype(np.float64), np.ones(5, dtype=np.int64))
    for norm in ("l2", "linf"):
        attacked = attack_uppers(case, session_of(case), norm, attacks=tuple(ATTACKS[norm]))
        assert attacked.uppers == (None,) * 5
        assert attacked.methods == (None,) * 5
        assert attacked.reasons == (NOTHING_FOUND,) * 5
        for entry in attacked.entries.values():
            assert entry.success_rate == 0
            assert entry.mean_reason == entry.median_reason == NO_SUCCESS
            assert all(row.to == {} for row in entry.class_changes)


def test_no_rate_is_stated_where_every_image_is_misclassified(sample_models):
    case = sample_case(sample_models / "mlp.onnx", 2)
    wrong = replace(case, labels=(case.predicted.numpy() + 1) % 10)
    (entry,) = attack_uppers(wrong, session_of(wrong), "l2", attacks=("fgs",)).entries.values()
    assert (entry.success_rate, entry.success_rate_reason) == (None, NO_CORRECT)
    assert entry.mean_reason == NO_CORRECT
    assert sum(sum(row.to.values()) for row in entry.class_changes) == 2


def test_numbers_that_are_nan_do_not_count(tmp_path):
    """Left of zero the logarithm is NaN, in torch and in onnxruntime; the boundary at 1 stays."""
    nodes = [
        node("Gather", ["x", "zero"], ["first"], axis=1),
        node("Log", ["first"], ["log"]),
        node("Neg", ["log"], ["minus"]),
        node("Concat", ["log", "minus"], axis=1),
    ]
    made = model(nodes, ("N", 2), {"zero": np.zeros(1, dtype=np.int64)})
    case = tiny_case(tmp_path, made, np.array([[0.25, 0.0], [3.0, 0.0]]))
    attacked = attack_uppers(case, session_of(case), "l2")
    first = attacked.nearest.pixels.reshape(2, 2)[:, 0]
    assert first[0] == pytest.approx(1, rel=1e-4)
    # From 3, one step along the logarithm's slope ends left of zero.
    assert 0 < first[1] <= 1


def test_a_file_that_ends_in_an_arg_max_gives_its_class(tmp_path):
    nodes = [node("Gemm", ["x", "W"], ["z"], transB=1), node("ArgMax", ["z"], axis=1, keepdims=0)]
    rows = weights(6, 4).astype(np.float64)
    made = model(nodes, ("N", 4), {"W": weights(3, 4)}, output_type=TensorProto.INT64)
    case = tiny_case(tmp_path, made, rows)
    session = session_of(case)
    assert session.run(case.pixels).dtype == np.int64
    with_head = attack_uppers(case, session, "l2", attacks=("deepfool",))
    plain = tiny_case(tmp_path, model(nodes[:1], ("N", 4), {"W": weights(3, 4)}, outputs=("z",)), rows)
    without = attack_uppers(plain, session_of(plain), "l2", attacks=("deepfool",))
    np.testing.assert_allclose(with_head.nearest.norms, without.nearest.norms, rtol=1e-4)
    assert np.array_equal(with_head.nearest.classes, without.nearest.classes)


def test_misclassified_images_are_attacked_too_but_not_summarised(tmp_path):
    rows = weights(8, 6).astype(np.float64)
    made = mlp((6, 20, 3))
    case = tiny_case(tmp_path, made, rows)
    predicted = case.predicted.numpy()
    wrong = predicted.copy()
    wrong[:3] = (wrong[:3] + 1) % 3
    labelled = tiny_case(tmp_path, made, rows, wrong)
    free, given = (attack_uppers(one, session_of(one), "l2", attacks=("ddn",)) for one in (case, labelled))
    assert free.uppers == given.uppers
    correct = given.nearest.norms[3:]
    assert given.entries["ddn"].mean == pytest.approx(correct[np.isfinite(correct)].mean())


def test_unknown_attacks_and_a_box_that_does_not_hold_the_images_are_refused(tmp_path):
    case = tiny_case(tmp_path, mlp(), weights(3, 6).astype(np.float64))
    with pytest.raises(UsageError, match="'ddn' is not known for the norm linf; choose from fgs, deepfool, pgd"):
        attack_uppers(case, session_of(case), "linf", attacks=("ddn",))
    with pytest.raises(UsageError, match="give a wider box or none"):
        attack_uppers(case, session_of(case), "l2", BOX)


def test_the_heat_map_counts_every_image_once():
    rows = class_changes(np.array([0, 0, 2, 2, 2]), np.array([1, 1, 0, -1, 1]))
    assert [(row.class_, row.images, dict(row.to)) for row in rows] == [(0, 2, {"1": 2}), (2, 3, {"0": 1, "1": 1})]


def test_iterated_perturbation_crosses_the_boundary_back_and_forth(tmp_path):
    """Thesis, section 2.7: the norm falls after the first step and the class alternates."""
    weight = np.array([[1.0, -1.0], [-1.0, 1.0]], dtype=np.float32)
    made = model([node("Gemm", ["x", "W"], transB=1)], ("N", 2), {"W": weight})
    case = tiny_case(tmp_path, made, np.array([[2.0, 1.0], [3.0, 1.0]]))
    steps = iterated_perturbation(case, session_of(case), "linf", steps=4)
    # Signs change both coordinates by 1/2 and 1; every step goes 1 % of that beyond, and the next comes back.
    expected = 0.75 * np.array([1 + OVERSHOOT, 2 * OVERSHOOT, 2 * OVERSHOOT, 2 * OVERSHOOT])
    np.testing.assert_allclose([step.mean_norm or 0 for step in steps], expected, rtol=1e-3)
    assert [step.back for step in steps] == [0, 1, 0, 1]
    assert [step.images for step in steps] == [2] * 4


def test_iterated_perturbation_of_a_constant_network_is_none(tmp_path):
    made = model([node("MatMul", ["x", "W"], ["z"]), node("Add", ["z", "b"])], ("N", 4),
                 {"W": np.zeros((4, 2), dtype=np.float32), "b": np.array([0, 1], dtype=np.float32)})  # fmt: skip
    case = tiny_case(tmp_path, made, weights(3, 4).astype(np.float64))
    for step in iterated_perturbation(case, session_of(case), "l2", steps=2):
        assert step.images == 0
        assert step.mean_norm is None
        assert step.back_reason == NOTHING_FOUND


def test_what_only_torch_believes_is_said_so(tmp_path):
    """A quantized file: torch, in float32 without the rounding, sees a boundary where the file's is elsewhere."""
    case = tiny_case(tmp_path, mlp(), weights(4, 6).astype(np.float64))
    other = write(mlp((6, 5, 3)), tmp_path, "other.onnx")
    foreign = replace(case, file_graph=replace(case.file_graph, model=replace(case.file_graph.model, path=str(other))))
    attacked = attack_uppers(foreign, session_of(foreign), "l2", attacks=("ddn",))
    for norm, reason, method in zip(attacked.nearest.norms, attacked.reasons, attacked.methods, strict=True):
        assert (method is None) == np.isinf(norm) == (reason in (NOT_CONFIRMED, NOTHING_FOUND))
    changed = np.isfinite(attacked.nearest.norms)
    seen = decided(foreign, attacked.nearest.pixels)
    assert (seen[changed] != case.predicted.numpy()[changed]).all()
    assert torch.is_tensor(case.predicted)
