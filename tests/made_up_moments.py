"""Made-up moments: two noise levels, several engines, and the cuts that were compared."""

import random
from typing import Any

from made_up_flips import estimated_flips

from nmcheck.results import (
    ClassMoments,
    CutError,
    FlipEntry,
    FloorEntry,
    LayerGain,
    LevelError,
    LinearizedNode,
    MomentEntry,
    OverallMoments,
    PropagationEntry,
    ReferenceEntry,
)

NO_COVARIANCE = "the published formulas give no covariance between logits"
NOT_AN_ESTIMATE = "a formula shown for comparison"


def propagation_entry() -> PropagationEntry:
    """Random directions through a network with one layer that has no rule."""
    return PropagationEntry(
        directions=512,
        random=True,
        samples=128,
        mean_correction_sd=0.012,
        mean_correction_error_sd=0.0045,
        variance_error=0.0123,
        direction_error_sd=0.0123,
        quadrature_error_sd=1.2e-06,
        linearized=(LinearizedNode(node="node_LRN_7", what="a local response normalization"),),
        gains=(LayerGain(node="node_relu_15", gain=3.21),),
    )


def moment_entry(sigma: float, engine: str, classes: int = 10) -> MomentEntry:
    """One engine at one noise level; numbers of the size measured on LeNet."""
    draw = random.Random(f"{sigma}{engine}")
    published = engine.startswith("published")
    baseline = published or engine == "diagonal"

    def measures() -> dict[str, Any]:
        return {
            "mean_er": 1.28 * sigma * draw.uniform(0.5, 2),
            "mean_er_se": 0.05 * sigma * draw.uniform(0.5, 2),
            "var_er": (0.81 if published else 0.0635) * draw.uniform(0.8, 1.2),
            "var_er_se": 0.0031 * draw.uniform(0.5, 2),
            "mean_bias_sd": 0.628 * draw.uniform(0.5, 1.5),
            "var_ratio": 0.42 if published else draw.uniform(0.92, 1.01),
        }

    return MomentEntry(
        sigma_pixel=sigma,
        sigma_model=(sigma,),
        engine=engine,
        baseline=NOT_AN_ESTIMATE if baseline else None,
        cut=None if engine in ("propagate", "diagonal") else "node_relu",
        cut_kind=None if engine in ("propagate", "diagonal") else "cut",
        linearizer=None if engine in ("propagate", "diagonal") else "taylor",
        propagation=propagation_entry() if engine == "propagate" else None,
        reference=ReferenceEntry(
            method="control-variate",
            n=1000,
            pilot=500,
            execution="onnxruntime 1.31.1",
            floor=FloorEntry(mean_er=0.00212, var_er=0.0211),
            logits=100 * classes,
            unmoved=0,
            plain=3,
            heavy_tailed=0,
            samples_for_tails=None,
            samples_for_tails_reason="no variance is carried by too few samples",
        ),
        per_class=tuple(
            ClassMoments(
                class_=number,
                images=100,
                unmoved=0,
                **measures(),
                mean_z=draw.gauss(0, 12),
                var_z=-143.2 if published else draw.gauss(0, 2),
            )
            for number in range(classes)
        ),
        overall=OverallMoments(
            unmoved=0,
            **measures(),
            flip=FlipEntry(
                analytic=None if baseline else 0.00031,
                analytic_reason=NO_COVARIANCE if baseline else None,
                sampled=0.00042,
                low=0.00026,
                high=0.00064,
                confidence=0.95,
                trials=50_000,
            ),
        ),
        flips=None if baseline else estimated_flips(sigma, classes),
        flips_reason=NO_COVARIANCE if baseline else None,
        seconds_per_input=0.0371,
        forward_passes_per_input=612.3,
    )


def cut_errors(sigmas: tuple[float, ...] = (0.05, 0.1)) -> tuple[CutError, ...]:
    """Three ReLUs that ``--cut best`` compared, one of them too large."""
    large = "node_relu has 802,816 units, so the matrix A takes 900 GiB in float64, more than the 2 GiB allowed"
    measured: tuple[tuple[str, int, float | None], ...] = (
        ("node_relu", 802_816, None),
        ("node_relu_1", 1568, 0.794),
        ("node_relu_2", 256, 0.79),
    )
    return tuple(
        CutError(
            node=node,
            kind="cut",
            units=units,
            within_budget=error is not None,
            chosen=node == "node_relu_2",
            error=error,
            error_reason=large if error is None else None,
            levels=tuple(
                LevelError(
                    sigma_pixel=sigma,
                    error=None if error is None else error + sigma / 10,
                    error_reason=large if error is None else None,
                )
                for sigma in sigmas
            ),
            images=8,
            draws=32,
        )
        for node, units, error in measured
    )
