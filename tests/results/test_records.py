import ast
import inspect
import sys
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import made_up_moments
import made_up_report
import pytest

import nmcheck.results
from nmcheck.results import FloorEntry, NoiseGain
from nmcheck.results.record import REASON, Record

RECORDS = [entry for name in nmcheck.results.__all__ if inspect.isclass(entry := getattr(nmcheck.results, name))]


def test_missing_number_needs_a_reason():
    with pytest.raises(ValueError, match="gain is None without a gain_reason"):
        NoiseGain(sigma_pixel=0.1, gain=None, gain_se=0.1, draws=32)
    assert NoiseGain(sigma_pixel=0.1, gain=None, gain_reason="no noise", gain_se=0.1, draws=32).gain is None


def test_given_number_has_no_reason():
    with pytest.raises(ValueError, match="has a gain_reason"):
        NoiseGain(sigma_pixel=0.1, gain=1.0, gain_reason="no noise", gain_se=0.1, draws=32)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_are_finite(value):
    with pytest.raises(ValueError, match="finite"):
        FloorEntry(mean_er=value, var_er=0.1)
    with pytest.raises(ValueError, match="finite"):
        replace(made_up_moments.moment_entry(0.1, "two-stage"), sigma_model=(0.1, value))


def test_records_are_frozen():
    with pytest.raises(FrozenInstanceError):
        made_up_report.report().seed = 1  # type: ignore[misc]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_field_has_its_sentence(record):
    assert issubclass(record, Record)
    section = inspect.cleandoc(record.__doc__ or "").split("Attributes:\n")[1]
    described = [line.split(":")[0].strip() for line in section.splitlines() if line.startswith("    ") and ":" in line]
    names = [item.name for item in fields(record)]
    assert [name for name in described if name in names] == names


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_reasons_belong_to_fields(record):
    names = {item.name for item in fields(record)}
    assert {name.removesuffix(REASON) for name in names if name.endswith(REASON)} <= names


def test_imports_nothing_but_the_standard_library_and_msgspec():
    for path in Path(nmcheck.results.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            for module in modules:
                root = module.split(".")[0]
                ours = module.startswith("nmcheck.results") or module == "nmcheck.noise_laws"
                assert ours or root in {*sys.stdlib_module_names, "msgspec"}, path
