"""The gate's checks as JUnit XML: a test suite of one test case a check, which GitLab and Jenkins read."""

from __future__ import annotations

from io import BytesIO

from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

from nmcheck.outside_text import xml
from nmcheck.reports.gate_table import gate_of
from nmcheck.reports.gate_words import measured, state, threshold, waiver_sentence, what_happened
from nmcheck.results.gate import GateCheck, GateEntry
from nmcheck.results.record import with_texts
from nmcheck.results.report import Report


def gate_junit(report: Report) -> bytes:
    """UTF-8 XML without times or host names: the same report gives the same bytes."""
    report = with_texts(report, xml)
    gate = gate_of(report)
    suite = TestSuite("nmcheck gate")
    for key, value in (
        ("model", report.model.path),
        ("fingerprint", report.model.fingerprint),
        ("data", f"{report.data.name}: {report.data.selection}"),
        ("data sha256", report.data.sha256),
        ("seed", str(report.seed)),
        ("verdict", f"{gate.verdict}: {gate.reason}"),
    ):
        suite.add_property(key, value)
    for check in gate.checks:
        suite.add_testcase(_case(report, gate, check))
    # Not of the whole: the common schema knows no count of skipped cases there.
    suite.update_statistics()
    whole = JUnitXml("nmcheck gate")
    whole.add_testsuite(suite)
    file = BytesIO()
    whole.write(file, pretty=True)
    return file.getvalue()


def _case(report: Report, gate: GateEntry, check: GateCheck) -> TestCase:
    case = TestCase(check.id, classname=f"nmcheck.{check.kind}", time=0.0)
    case.system_out = f"{report.model.path}: {what_happened(check)}"
    kind = state(check)
    message = f"measured {measured(check)}, wanted {threshold(check)}: {check.reason}"
    if kind == "waived":
        case.result = [Skipped(f"{waiver_sentence(check)} ({check.verdict}: {check.reason})")]
    elif kind == "fail" or (kind == "inconclusive" and gate.on_inconclusive == "fail"):
        failure = Failure(message, check.verdict)
        failure.text = what_happened(check)
        case.result = [failure]
    elif kind == "inconclusive":
        case.result = [Skipped(f"inconclusive: {message}")]
    return case
