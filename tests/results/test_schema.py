import copy
import json
from dataclasses import replace

import made_up_bounds
import made_up_report
import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from nmcheck.reports.json import to_json
from nmcheck.results.schema import report_schema


@pytest.fixture
def document():
    return json.loads(to_json(made_up_report.report()))


def check(document):
    Draft202012Validator(report_schema()).validate(document)


def test_report_obeys_it(document):
    check(document)


def test_report_without_moments_bounds_and_accuracy_obeys_it():
    report = made_up_report.report()
    data = replace(report.data, accuracy=None, accuracy_reason="no labels", labels="predicted")
    bare = replace(
        report,
        data=data,
        moments=None,
        moments_reason="no ReLU",
        bounds=None,
        bounds_reason="no rule",
        normalization=(),
    )
    check(json.loads(to_json(bare)))


def test_attacks_obey_it(document):
    report = made_up_report.report()
    check(json.loads(to_json(replace(report, bounds=(made_up_bounds.attacked_entry(),)))))


def edits():
    """Ways to break a report."""
    yield ("unknown key", lambda d: d.update(extra=1))
    yield ("missing fingerprint", lambda d: d["model"].pop("fingerprint"))
    yield ("null without reason", lambda d: d["moments"][0]["overall"].update(mean_er=None))
    yield ("reason without null", lambda d: d["moments"][0]["overall"].update(mean_er_reason="why"))
    yield ("null where not allowed", lambda d: d.update(seed=None))
    yield ("moments null without reason", lambda d: d.update(moments=None))
    yield ("text for a number", lambda d: d["bounds"][0]["layers"][0].update(lipschitz="1"))
    yield ("unknown norm", lambda d: d["bounds"][0].update(norm="l7"))
    yield ("wrong version", lambda d: d.update(schema_version=2))
    yield ("sound not a boolean", lambda d: d["bounds"][0]["layers"][0].update(published_sound=None))
    yield ("half a box", lambda d: d["bounds"][0].update(box=[0.0]))
    yield ("probability above one", lambda d: d["moments"][0]["overall"]["flip"].update(high=1.5))
    yield ("bad digest", lambda d: d["data"].update(sha256="abc"))


@pytest.mark.parametrize(("what", "edit"), list(edits()), ids=lambda value: value if isinstance(value, str) else "")
def test_broken_reports_do_not(document, what, edit):
    broken = copy.deepcopy(document)
    edit(broken)
    with pytest.raises(ValidationError):
        check(broken)
