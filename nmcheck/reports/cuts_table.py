"""How well the network is linearized around each of its ReLUs, where ``--cut best`` compared them."""

from __future__ import annotations

from rich.console import RenderableType

from nmcheck.counting import counted
from nmcheck.reports.layout import new_table, paragraph, reasons, settle
from nmcheck.reports.numbers import level, significant
from nmcheck.results.cuts import CutError


def cuts_table(errors: tuple[CutError, ...]) -> list[RenderableType]:
    """One row a ReLU, in order; nothing if none were compared."""
    if not errors:
        return []
    sigmas = [f"sigma\n{level(one.sigma_pixel)}" for one in errors[0].levels]
    table = new_table(
        "Linearization error by cut", "node", "kind", "units", *sigmas, "mean", "fits in\nmemory", "chosen", names=2
    )
    for one in errors:
        table.add_row(
            one.node,
            one.kind,
            f"{one.units:,}",
            *(significant(at.error) for at in one.levels),
            significant(one.error),
            "yes" if one.within_budget else "no",
            "yes" if one.chosen else "",
            style="bold" if one.chosen else None,
        )
    return [
        settle(table, 0, 1),
        "",
        paragraph(
            "The part of the logits' movement under noise that the network linearized around that ReLU misses: root "
            f"mean squares over {counted(errors[0].draws, 'noise draw')}, averaged over {errors[0].images} of "
            "the images. Chosen "
            "is the last ReLU whose mean is within 5 % of the smallest."
        ),
        *reasons(errors),
        "",
    ]
