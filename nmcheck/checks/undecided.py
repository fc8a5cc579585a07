"""Images whose class is a matter of rounding: the file's own precision decides otherwise than float64."""

from __future__ import annotations

from nmcheck.checks.adversarial import decisions
from nmcheck.checks.case import Case
from nmcheck.counting import counted
from nmcheck.execute.session import ReferenceSession

UNDECIDED = (
    "For {count} of {images} onnxruntime, in the file's own precision, gives another class than float64, because their "
    "largest logits are equal to that precision. Predicted classes, accuracy, flips and radii are those of float64; an "
    "attack needs no change there ('unchanged'), and the least one is all it states."
)


def undecided_warnings(case: Case, session: ReferenceSession) -> tuple[str, ...]:
    """A warning if there are such images."""
    count = int((decisions(case, session, case.pixels) != case.predicted.cpu().numpy()).sum())
    if not count:
        return ()
    return (UNDECIDED.format(count=f"{count:,}", images=counted(len(case.pixels), "image")),)
