"""The JSON of ``nmcheck compare``, its schema and its page."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from made_up_comparison import comparison
from record_fields import described

from nmcheck.reports.json import to_json
from nmcheck.results.comparison import ComparedFlips, ComparedModel, Comparison
from nmcheck.results.schema import comparison_schema

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "compare-schema.md").read_text()


@pytest.fixture
def document() -> dict[str, Any]:
    return json.loads(to_json(comparison()))


def check(document: dict[str, Any]) -> None:
    Draft202012Validator(comparison_schema()).validate(document)


def test_a_comparison_obeys_its_schema(document: dict[str, Any]) -> None:
    check(document)


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d.update(extra=1),
        lambda d: d.pop("common"),
        lambda d: d.update(norm="l7"),
        lambda d: d.update(models=d["models"][:1]),
        lambda d: d["models"][0].update(difference=None),
        lambda d: d["models"][0].update(difference_reason="why"),
        lambda d: d["models"][0].update(common_radius_se=-0.1),
        lambda d: d["models"][0]["flips"][0].update(high=1.5),
        lambda d: d["models"][0]["flips"][0].update(draws=2.5),
        lambda d: d["models"][0]["bounds"].update(norm=None),
        lambda d: d["models"][0]["model"].pop("fingerprint"),
    ],
)
def test_a_broken_one_does_not(document: dict[str, Any], edit: Callable[[dict[str, Any]], object]) -> None:
    broken = copy.deepcopy(document)
    edit(broken)
    with pytest.raises(ValidationError):
        check(broken)


@pytest.mark.parametrize("record", [Comparison, ComparedModel, ComparedFlips], ids=lambda record: record.__name__)
def test_every_key_is_in_the_page(record: type) -> None:
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    section = next(part for part in sections if part.startswith(record.__name__ + "\n"))
    for key, sentence in described(record).items():
        assert f"`{key}`" in section
        assert sentence.replace("``", "`").lower() in section.lower()


def test_what_the_page_leads_to_is_there() -> None:
    headings = re.findall(r"^## (\w+)$", (DOCS / "report-schema.md").read_text(), flags=re.MULTILINE)
    linked = set(re.findall(r"\(report-schema\.md#(\w+)\)", PAGE))
    assert linked
    assert linked <= {name.lower() for name in headings}
