"""A made-up comparison of three models: one with normalization layers, one of no reachable label, one never right."""

from dataclasses import replace

from made_up_bounds import ACCURACY, attacked_entry, bounds_entry
from made_up_report import normalization_entries, report

from nmcheck.results import UNREACHABLE, ToolEntry
from nmcheck.results.comparison import ComparedFlips, ComparedModel, Comparison

NO_EXAMPLE = "no adversarial example of a correctly classified image is known"
NO_COMMON = "no image is classified correctly, with a finite certified radius, by every model"


def column() -> ComparedModel:
    """A model with everything there is."""
    whole = report()
    return ComparedModel(
        model=whole.model,
        data=whole.data,
        method="lipschitz",
        radius=0.034712,
        example=1.23,
        common_radius=0.0352,
        common_radius_se=0.0011,
        difference=0.0,
        difference_se=0.0,
        flips=(ComparedFlips(sigma_pixel=0.1, draws=200, sampled=0.0123, low=0.0114, high=0.0132, confidence=0.95),),
        bounds=attacked_entry(),
        normalization=normalization_entries(),
        notes=whole.notes,
        warnings=whole.warnings,
        seconds=12.5,
    )


def comparison() -> Comparison:
    """The whole document."""
    first = column()
    constant = replace(
        first,
        radius=None,
        radius_reason=UNREACHABLE,
        example=None,
        example_reason=NO_EXAMPLE,
        difference=-0.0021,
        bounds=replace(bounds_entry(), box=(0.0, 1.0), accuracy=ACCURACY),
        normalization=(),
    )
    wrong = replace(
        first,
        common_radius=None,
        common_radius_reason=NO_COMMON,
        common_radius_se=None,
        common_radius_se_reason="a standard error needs two images",
        difference=None,
        difference_reason=NO_COMMON,
        difference_se=None,
        difference_se_reason="a standard error needs two images",
    )
    return Comparison(
        tool=ToolEntry(version="0.1.0"),
        seed=0,
        norm="l2",
        box=(0.0, 1.0),
        noise=report().noise,
        common=97,
        models=(first, constant, wrong),
    )
