"""Every format of one decision: valid where there is a schema, whole in itself, and the reason readable in each."""

import json
import os
import re
import subprocess
import sys
from functools import partial
from io import BytesIO
from pathlib import Path

import gate_case
import made_up_gate
import pytest
import xmlschema
from jsonschema import Draft7Validator, Draft202012Validator
from page_reader import Page
from plain_words import plain

from nmcheck.checks.gate.run import GateResult
from nmcheck.cli.app import run
from nmcheck.cli.gate_outputs import render
from nmcheck.reports.gate_junit import gate_junit
from nmcheck.reports.gate_markdown import gate_markdown
from nmcheck.reports.gate_sarif import gate_sarif
from nmcheck.reports.gate_table import gate_parts
from nmcheck.reports.html.page import to_html
from nmcheck.reports.json import to_json
from nmcheck.reports.layout import text_of
from nmcheck.results.schema import report_schema

SCHEMAS = Path(__file__).parent / "schemas"
FORMATS = {
    "json": to_json,
    "junit": lambda report: gate_junit(report).decode(),
    "sarif": gate_sarif,
    "markdown": gate_markdown,
    "table": partial(text_of, gate_parts),
    "html": to_html,
}


@pytest.fixture(params=["fail", "pass"])
def report(request):
    return made_up_gate.report(on_inconclusive=request.param)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_tells_what_failed_and_why(report, name):
    said = plain(FORMATS[name](report))
    for check in report.gate.checks:
        assert check.id in said or check.verdict == "pass"
        if check.verdict != "pass":
            assert plain(check.reason).rstrip(".") in said
    assert "known, fixed in 2.1" in said


@pytest.mark.parametrize("name", FORMATS)
def test_no_format_has_a_time_in_it(report, name):
    assert not re.search(r"\d\d:\d\d:\d\d|timestamp|hostname", FORMATS[name](report))
    assert FORMATS[name](report) == FORMATS[name](report)


def test_json_obeys_the_schema(report):
    Draft202012Validator(report_schema()).validate(json.loads(to_json(report)))


def test_sarif_obeys_the_schema(report):
    document = json.loads(gate_sarif(report))
    Draft7Validator(json.loads((SCHEMAS / "sarif-schema-2.1.0.json").read_text())).validate(document)
    results = document["runs"][0]["results"]
    assert {one["ruleId"].split("/")[1] for one in results} >= {"accuracy", "flip", "baseline"}
    assert all(one["partialFingerprints"] for one in results)
    assert [one for one in results if "suppressions" in one]


def test_sarif_fingerprints_do_not_follow_the_numbers():
    first, second = (json.loads(gate_sarif(made_up_gate.report(measured=value))) for value in (0.9, 0.8))
    marks = [[one["partialFingerprints"] for one in found["runs"][0]["results"]] for found in (first, second)]
    assert marks[0] == marks[1]
    assert len({json.dumps(mark) for mark in marks[0]}) == len(marks[0])


def test_junit_obeys_the_schema(report):
    schema = xmlschema.XMLSchema(SCHEMAS / "junit-10.xsd")
    content = gate_junit(report)
    schema.validate(BytesIO(content))
    failures = content.count(b"<failure")
    unclear = sum(one.verdict == "inconclusive" for one in report.gate.checks)
    assert failures == 2 + (unclear if report.gate.on_inconclusive == "fail" else 0)


def test_junit_survives_what_xml_cannot_hold():
    gate_junit(made_up_gate.report(path="mo\x00del\x1b.onnx"))


def test_page_is_whole_in_itself_and_asks_for_nothing(report):
    page = Page()
    text = to_html(report, made_up_gate.pictures())
    page.feed(text)
    assert page.open == []
    assert all(reference.startswith("data:image/png;base64,") for reference in page.references)
    assert all(image["alt"] for image in page.images)
    assert len(page.images) == 3
    assert "url(" not in text
    assert "@import" not in text
    assert text.count("<svg") == text.count('role="img"') == text.count(" viewBox=") > 5


def test_page_shows_names_and_does_not_obey_them():
    text = to_html(made_up_gate.report(path="<script>alert(1)</script>.onnx"))
    assert "<script" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize("kind", ["json", "junit", "sarif", "markdown", "html"])
def test_every_file_survives_a_name_that_is_no_text(kind):
    odd = made_up_gate.report(path="mod\udce9le.onnx")
    render(kind, GateResult(odd, {}, ())).decode()


def test_page_of_an_analysis(report):
    from dataclasses import replace

    import made_up_report

    assert "Gate:" not in to_html(made_up_report.report())
    assert "Tightness of the mean per class" in to_html(made_up_report.report())
    assert "Gate:" in to_html(
        replace(report, moments=None, moments_reason="none", bounds=None, bounds_reason="none", flips=())
    )


POLICY = """samples = 20
[[check]]
kind = "accuracy"
min = 0.9
[[check]]
kind = "flip"
sigma = 0.2
max = 0.3
[[check]]
kind = "certified-accuracy"
norm = "l2"
epsilon = 0.2
min = 0.9
[[check]]
kind = "moment-tightness"
statistic = "mean"
sigma = 0.1
max = 3
"""
KINDS = ("json", "junit", "sarif", "markdown", "html")


def outputs(folder: Path) -> list[str]:
    return [word for kind in KINDS for word in (f"--{kind}", str(folder / f"r.{kind}"))]


@pytest.mark.parametrize("threads", ["1", "2"])
def test_same_inputs_give_the_same_bytes_on_any_number_of_threads(tmp_path, threads, capsys):
    (tmp_path / "nmcheck.toml").write_text(POLICY)
    model, data = gate_case.network(tmp_path), gate_case.data(tmp_path)
    arguments = ["gate", str(model), "--data", str(data), "--policy", str(tmp_path / "nmcheck.toml"), "-q"]
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    assert run([*arguments, *outputs(here)]) == 0
    capsys.readouterr()
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONPATH": str(Path(__file__).parents[2])}
    environment.pop("GITHUB_STEP_SUMMARY", None)
    found = subprocess.run(
        [sys.executable, "-m", "nmcheck", *arguments, *outputs(there)],
        env=environment,
        check=False,
        capture_output=True,
    )
    assert found.returncode == 0, found.stderr
    for kind in KINDS:
        assert (here / f"r.{kind}").read_bytes() == (there / f"r.{kind}").read_bytes()


def test_github_gets_a_summary_and_annotations(tmp_path, monkeypatch, capsys):
    (tmp_path / "nmcheck.toml").write_text(POLICY)
    summary = tmp_path / "summary"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    model, data = gate_case.network(tmp_path), gate_case.data(tmp_path, wrong=4)
    arguments = ["gate", str(model), "--data", str(data), "--policy", str(tmp_path / "nmcheck.toml"), "-q"]
    assert run([*arguments, "--json", "-"]) == 1
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["gate"]["verdict"] == "fail"
    assert [node["node"] for node in document["graph"]] == ["flatten", "inner", "middle", "outer"]
    assert summary.read_text().startswith("before\n## nmcheck gate: ❌ fail")
    assert f"::error file={model},title=nmcheck accuracy::" in captured.err
    assert "Gate: fail" in captured.err


def test_init_writes_a_policy_that_its_model_passes(tmp_path, capsys):
    policy = tmp_path / "nmcheck.toml"
    model, data = gate_case.network(tmp_path), gate_case.data(tmp_path)
    assert run(["gate", "--init", str(model), "--data", str(data), "-o", str(policy)]) == 0
    assert "checks, from 20 images" in capsys.readouterr().err
    assert run(["gate", str(model), "--data", str(data), "--policy", str(policy), "-q"]) == 0
    capsys.readouterr()
    # A model that does worse does not pass it.
    worse = gate_case.data(tmp_path, distance=0.05, wrong=3)
    assert run(["gate", str(model), "--data", str(worse), "--policy", str(policy), "-q"]) == 1
    out = capsys.readouterr().out
    assert "accuracy, flip-0.1" in out
