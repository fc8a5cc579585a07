"""The reference judges engines, so nothing that is wrong in an engine may be wrong in it: faults on purpose.

Each fault is put into a rule of an engine and must be seen by the default reference, |z| > 5, on one of three networks
whose moments the engines have exactly: kinks, pools, curves and products. Without it every |z| is below 5, and the
reference's own numbers are the same but for its errors.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import torch
from models import model, node, weights, write
from onnx import ModelProto

from nmcheck.checks import image_model
from nmcheck.checks.case import open_case
from nmcheck.checks.moment_entries import moment_entries
from nmcheck.checks.moments import run_moments
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.checks.plan import plan_moments
from nmcheck.checks.progress import SilentProgress
from nmcheck.checks.reference_run import sampled_moments
from nmcheck.checks.sampling import fine_enough, sampled_network
from nmcheck.execute.session import ReferenceSession
from nmcheck.moments import affine_relu_affine, summary
from nmcheck.moments.propagation import activation, maximum, passes, tangents, value
from nmcheck.moments.propagation.elementwise import Moments
from nmcheck.moments.propagation.value import Passed, Value
from nmcheck.moments.tightness import SampledMoments
from nmcheck.results import MomentEntry
from nmcheck.steps import AffineStep, ProductStep, SmoothStep, Step

SIGMA, IMAGES = 0.5, 8
Patch = pytest.MonkeyPatch


def kinks() -> ModelProto:
    nodes = [
        node("Gemm", ["x", "A", "a"], ["z"]),
        node("Relu", ["z"], ["h"]),
        node("Gemm", ["h", "B", "b"]),
    ]
    arrays = {"A": weights(12, 20) / 3, "a": weights(20), "B": weights(20, 3) / 4, "b": weights(3)}
    return model(nodes, ("N", 12), arrays)


def pools() -> ModelProto:
    """Pools of two elements, whose larger one has exact moments."""
    nodes = [
        node("Conv", ["x", "K"], ["z"], pads=[1, 1, 1, 1]),
        node("MaxPool", ["z"], ["h"], kernel_shape=[1, 2], strides=[1, 2]),
        node("Flatten", ["h"], ["f"]),
        node("Gemm", ["f", "B", "b"]),
    ]
    return model(nodes, ("N", 1, 4, 4), {"K": weights(3, 1, 3, 3), "B": weights(24, 3) / 4, "b": weights(3)})


def curves() -> ModelProto:
    """A tanh whose input is five times as wide as itself, and a product of two affine maps."""
    nodes = [
        node("Gemm", ["x", "A", "a"], ["z"]),
        node("Tanh", ["z"], ["h"]),
        node("Gemm", ["x", "C", "c"], ["u"]),
        node("Gemm", ["x", "D", "c"], ["v"]),
        node("Mul", ["u", "v"], ["p"]),
        node("Add", ["h", "p"], ["s"]),
        node("Gemm", ["s", "B", "b"]),
    ]
    arrays = {
        "A": weights(12, 10) * 3, "a": 7 * weights(10), "C": weights(12, 10, seed=1) / 4,
        "D": weights(12, 10, seed=2) / 4, "c": weights(10), "B": weights(10, 3), "b": weights(3),
    }  # fmt: skip
    return model(nodes, ("N", 12), arrays)


NETWORKS = {"kinks": kinks, "pools": pools, "curves": curves}
ENGINES = {"kinks": ("propagate", "two-stage"), "pools": ("propagate",), "curves": ("propagate",)}


def measured(name: str, folder: Path) -> tuple[tuple[MomentEntry, ...], SampledMoments]:
    """Engines and reference as ``nmcheck analyze`` runs them with its defaults."""
    made = NETWORKS[name]()
    shape = (4, 4) if name == "pools" else (12,)
    np.savez(folder / "data.npz", x=np.random.default_rng(5).random((IMAGES, *shape)))
    options = AnalyzeOptions(
        write(made, folder), str(folder / "data.npz"), (SIGMA,), engines=ENGINES[name], residual_samples=2000
    )
    case = open_case(options)
    networks = {SIGMA: fine_enough(case, sampled_network(case, ReferenceSession(case.file_graph)), SIGMA)}
    plan = plan_moments(case, options, SilentProgress())
    counts = {SIGMA: options.reference_samples}
    runs = run_moments(case, options, plan, networks, counts=counts, advance=lambda _: None)
    return moment_entries(case, options, runs, networks), sampled_moments(runs.references[SIGMA])


@cache
def without_fault(name: str, folder: Path) -> tuple[tuple[MomentEntry, ...], SampledMoments]:
    return measured(name, folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: tmp_path_factory.mktemp(name) for name in NETWORKS}


def scores(entries: Sequence[MomentEntry], engine: str) -> list[float]:
    """|z| of every logit, of means and variances."""
    (entry,) = (one for one in entries if one.engine == engine)
    return [abs(z) for row in entry.per_class for z in (row.mean_z, row.var_z) if z is not None]


def wrapped(patch: Patch, module: object, name: str, change: Callable[..., object]) -> None:
    """Replace a rule by what ``change`` makes of its result."""
    rule = getattr(module, name)
    patch.setattr(module, name, lambda *given, **named: change(rule(*given, **named)))


def mean_of_a_relu(patch: Patch) -> None:
    wrapped(patch, activation, "piecewise_linear", lambda found: replace(found, mean=1.3 * found.mean))


def slope_of_a_relu(patch: Patch) -> None:
    wrapped(patch, activation, "piecewise_linear", lambda found: replace(found, gate=1.3 * found.gate))


def variance_of_tangents(patch: Patch) -> None:
    wrapped(patch, tangents.Tangents, "variance", lambda found: 1.3 * found)


def residual_left_out(patch: Patch) -> None:
    wrapped(patch, value.Value, "residual", lambda found: 0.0 * found)


def five_nodes(patch: Patch) -> None:
    """Gauss-Hermite with 5 nodes."""
    nodes, mass = scipy.special.roots_hermitenorm(5)
    rule = activation.smooth

    def coarse(step: SmoothStep, mean: torch.Tensor, sd: torch.Tensor) -> Moments:
        found = sum(w * step.function(mean + sd * z) for z, w in zip(nodes, mass / mass.sum(), strict=True))
        return replace(rule(step, mean, sd), mean=found)

    patch.setattr(activation, "smooth", coarse)


def slope_of_a_curve(patch: Patch) -> None:
    wrapped(patch, activation, "smooth", lambda found: replace(found, gate=0.7 * found.gate))


def mean_of_a_maximum(patch: Patch) -> None:
    wrapped(patch, maximum, "relu_of_shifted_normal", lambda found: 1.3 * found)


def slope_of_a_maximum(patch: Patch) -> None:
    wrapped(patch, maximum, "normal_cdf", lambda found: 0.8 * found)


def _of_step(patch: Patch, kind: type[Step], change: Callable[[Passed], Passed]) -> None:
    rule = passes.pass_step
    patch.setattr(
        passes,
        "pass_step",
        lambda step, given: change(rule(step, given)) if isinstance(step, kind) else rule(step, given),
    )


def mean_of_a_product(patch: Patch) -> None:
    """Without the covariance of the factors."""
    rule = passes.product

    def wrong(step: ProductStep, given: Sequence[Value]) -> Passed:
        found = rule(step, given)
        output = replace(found.outputs[0], mean=given[0].mean * given[-1].mean)
        return replace(found, outputs=(output,))

    patch.setattr(passes, "product", wrong)


def mean_of_an_affine_layer(patch: Patch) -> None:
    def wrong(found: Passed) -> Passed:
        return replace(found, outputs=tuple(replace(one, mean=1.05 * one.mean) for one in found.outputs))

    _of_step(patch, AffineStep, wrong)


def mean_in_two_stages(patch: Patch) -> None:
    for module in (affine_relu_affine, summary):
        wrapped(patch, module, "relu_mean", lambda found: 1.3 * found)


def covariance_in_two_stages(patch: Patch) -> None:
    wrapped(patch, affine_relu_affine, "relu_covariance_seen_by", lambda found: 1.3 * found)
    wrapped(patch, summary, "relu_covariance", lambda found: 1.3 * found)


def gram_matrix_in_two_stages(patch: Patch) -> None:
    wrapped(patch, image_model, "gram_matrix", lambda found: 1.3 * found)


FAULTS: dict[str, tuple[Callable[[Patch], None], str, str]] = {
    "the mean of a ReLU times 1.3": (mean_of_a_relu, "kinks", "propagate"),
    "the slope of a ReLU times 1.3": (slope_of_a_relu, "kinks", "propagate"),
    "the variance in front of a ReLU times 1.3": (variance_of_tangents, "kinks", "propagate"),
    "residuals left out": (residual_left_out, "kinks", "propagate"),
    "quadrature with 5 nodes": (five_nodes, "curves", "propagate"),
    "the slope of a tanh times 0.7": (slope_of_a_curve, "curves", "propagate"),
    "the mean of a maximum": (mean_of_a_maximum, "pools", "propagate"),
    "the slope of a maximum": (slope_of_a_maximum, "pools", "propagate"),
    "the mean of a product without its covariance": (mean_of_a_product, "curves", "propagate"),
    "the mean of an affine layer times 1.05": (mean_of_an_affine_layer, "curves", "propagate"),
    "the mean of a ReLU in two-stage times 1.3": (mean_in_two_stages, "kinks", "two-stage"),
    "the covariance in two-stage times 1.3": (covariance_in_two_stages, "kinks", "two-stage"),
    "the Gram matrix in two-stage times 1.3": (gram_matrix_in_two_stages, "kinks", "two-stage"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_without_a_fault_the_reference_sees_none(name: str, folders: dict[str, Path]) -> None:
    entries, _ = without_fault(name, folders[name])
    for engine in ENGINES[name]:
        assert max(scores(entries, engine)) < 5


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_an_engine_is_seen_and_leaves_the_reference_alone(
    fault: str, folders: dict[str, Path], monkeypatch: Patch
) -> None:
    inject, name, engine = FAULTS[fault]
    _, right = without_fault(name, folders[name])
    with monkeypatch.context() as patch:
        inject(patch)
        entries, found = measured(name, folders[name])
    assert max(scores(entries, engine)) > 5
    for key in ("mean", "variance"):
        apart = np.abs(getattr(found, key) - getattr(right, key))
        stated = np.hypot(getattr(found, f"{key}_se"), getattr(right, f"{key}_se"))
        assert (apart <= 4 * stated).all()
