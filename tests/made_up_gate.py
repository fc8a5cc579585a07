"""A made-up gate's report: each kind of check and each verdict once, on top of the made-up analysis."""

import base64
from dataclasses import replace
from typing import Any

import made_up_report

from nmcheck.checks.gate.without_timings import without_times
from nmcheck.results import GateBaseline, GateCheck, GateEntry, GateExample, GateWaiver, Report
from nmcheck.results.picture import Picture, PicturedImage

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")


def check(name: str, kind: Any, **changes: Any) -> GateCheck:
    """A check that passes, unless it is told otherwise."""
    values: dict[str, Any] = {
        "against": "threshold",
        "claim": f"{kind} at least 0.5 | <of> 'all'",
        "class_": None,
        "norm": None,
        "box": None,
        "epsilon": None,
        "sigma": None,
        "percentile": None,
        "statistic": None,
        "method": "counting",
        "sense": "min",
        "threshold": 0.5,
        "measured": 0.75,
        "low": 0.75,
        "high": 0.75,
        "confidence": None,
        "images": 100,
        "trials": None,
        "verdict": "pass",
        "reason": f"something about {name} was measured.",
    }
    return GateCheck(id=name, kind=kind, **{**values, **changes})


def report(on_inconclusive: Any = "fail", measured: float = 0.4, path: str = "sample_models/lenet_lrn1.onnx") -> Report:
    """The whole report."""
    example = GateExample(index=17, label=3, predicted=5, distance=0.123, file="adversarial-l2-17.npy")
    waiver = GateWaiver(reason="known, fixed in 2.1", expires="2030-06-15", state="valid")
    checks = (
        check("right", "accuracy", verdict="fail", measured=measured, low=measured, high=measured),
        check(
            "proof", "certified-accuracy", norm="l2", epsilon=0.1, verdict="fail", waiver=waiver, examples=(example,)
        ),
        check(
            "attack", "attacked-accuracy", norm="linf", epsilon=0.1, measured=None, measured_reason="no attack was run"
        ),
        check("p5", "radius", norm="l2", percentile=5.0, measured=0.02, low=0.02, high=None, high_reason="no attack"),
        check(
            "flip/class-3",
            "flip",
            class_=3,
            sigma=0.1,
            sense="max",
            low=0.4,
            high=0.8,
            confidence=0.999,
            trials=400,
            verdict="inconclusive",
        ),
        check(
            "tight", "moment-tightness", sigma=0.1, statistic="mean", sense="max", low=0.1, high=0.2, confidence=0.99
        ),
        check(
            "baseline/right",
            "accuracy",
            against="baseline",
            verdict="fail",
            measured=measured,
            low=measured,
            high=measured,
        ),
    )
    gate = GateEntry(
        verdict="fail",
        exit_code=1,
        on_inconclusive=on_inconclusive,
        reason="2 checks of 7 failed: right, baseline/right; 1 check inconclusive: flip/class-3; 1 waived",
        policy_sha256="0" * 64,
        alpha=0.01,
        baseline=GateBaseline(fingerprint="1" * 64, max_drop=0.05),
        checks=checks,
    )
    found = made_up_report.report()
    return without_times(replace(found, model=replace(found.model, path=path), gate=gate))


def pictures() -> tuple[PicturedImage, ...]:
    """One image in three versions."""
    png = base64.b64encode(PIXEL).decode()
    shown = [("as it is", None), ("noise 0.1", None), ("changed", 0.123)]
    return (
        PicturedImage(
            index=17,
            label=3,
            pictures=tuple(
                Picture(kind=kind, predicted=5, distance=distance, norm=None if distance is None else "l2", png=png)
                for kind, distance in shown
            ),
        ),
    )
