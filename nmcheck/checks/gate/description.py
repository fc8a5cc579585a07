"""Demands in words, and how numbers stand in them."""

from __future__ import annotations

from nmcheck.checks.gate.policy import Demand

NORMS = {"l2": "L2", "linf": "Linf"}


def describe(demand: Demand, of_class: int | None) -> str:
    """What a demand asks for, in words that begin in lower case."""
    number = f"at {'least' if demand.sense == 'min' else 'most'} {threshold(demand)}"
    norm = NORMS.get(demand.norm or "", "")
    box = "" if demand.box is None else f", pixels staying in {demand.box[0]:g} to {demand.box[1]:g}"
    quantity = {
        "accuracy": "accuracy",
        "certified-accuracy": f"accuracy certified against changes of {norm} norm up to {demand.epsilon or 0:g}{box}",
        "attacked-accuracy": f"accuracy under attacks of {norm} norm up to {demand.epsilon or 0:g}{box}",
        "flip": f"probability that noise of sigma {demand.sigma or 0:g} changes the predicted class",
        "radius": f"percentile {demand.percentile or 0.0:g} of the {norm} radius{box}",
        "moment-tightness": (
            f"relative error E_r of {demand.engine}'s {demand.statistic} at sigma {demand.sigma or 0:g}"
        ),
    }[demand.kind]
    where = "" if of_class is None else f" in class {of_class}"
    about = " in the population of the images" if demand.about == "population" else ""
    return f"{quantity}{where}{about} {number}"


def threshold(demand: Demand) -> str:
    """The threshold, as it is read."""
    return number(demand.kind, demand.threshold)


def number(kind: str, value: float) -> str:
    """A value of a kind of check: shares of images in percent, the others to four digits."""
    return f"{100 * value:.4g} %" if kind.endswith("accuracy") else f"{value:.4g}"


def level(confidence: float) -> str:
    """A confidence in percent, never rounded to certainty: 1 less 1e-9 is 99.9999999 %."""
    return f"{100 * confidence:.12g} %"
