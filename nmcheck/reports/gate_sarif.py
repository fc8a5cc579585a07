"""The gate's checks as SARIF 2.1.0 (OASIS Standard, 2020), for code scanning: what does not pass is a result."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import PurePath, PurePosixPath
from typing import Any
from urllib.parse import quote

from nmcheck.outside_text import json_text, sarif, visible
from nmcheck.reports.gate_table import gate_of, verdict_line
from nmcheck.reports.gate_words import what_happened
from nmcheck.results.gate import GateCheck
from nmcheck.results.record import with_texts
from nmcheck.results.report import Report

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_RULES = {
    "accuracy": ("Accuracy", "Too few images are classified as labelled."),
    "certified-accuracy": ("CertifiedAccuracy", "Too few images are provably robust."),
    "attacked-accuracy": ("AttackedAccuracy", "Too few images withstand attacks."),
    "flip": ("FlipProbability", "Noise changes the predicted class too often."),
    "radius": ("CertifiedRadius", "The certified radius is too small."),
    "moment-tightness": ("MomentTightness", "Analytic moments are too far from sampled ones."),
    "baseline": ("Baseline", "The model is worse than the baseline."),
}


def gate_sarif(report: Report) -> str:
    """Indented JSON ending in a newline."""
    raw, report = report, with_texts(report, sarif)
    gate = gate_of(report)
    location = _location(raw.model.path)
    names = list(_RULES)
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": report.tool.name,
                "version": report.tool.version,
                "semanticVersion": report.tool.version,
                "rules": [
                    {
                        "id": f"nmcheck/{kind}",
                        "name": name,
                        "shortDescription": {"text": text},
                        "defaultConfiguration": {"level": "error"},
                    }
                    for kind, (name, text) in _RULES.items()
                ],
            }
        },
        "invocations": [
            {
                "executionSuccessful": True,
                "exitCode": gate.exit_code,
                "exitCodeDescription": verdict_line(gate),
            }
        ],
        "artifacts": [{"location": location, "roles": ["analysisTarget"]}],
        "columnKind": "utf16CodeUnits",
        "results": [
            _result(check, before.id, names, location)
            for check, before in zip(gate.checks, gate_of(raw).checks, strict=True)
            if check.verdict != "pass"
        ],
        "properties": {
            "modelFingerprint": report.model.fingerprint,
            "dataSha256": report.data.sha256,
            "seed": report.seed,
            "verdict": gate.verdict,
        },
    }
    return json_text({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}) + "\n"


def _result(check: GateCheck, name: str, names: list[str], location: Mapping[str, Any]) -> dict[str, Any]:
    rule = "baseline" if check.against == "baseline" else check.kind
    place: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {**location, "index": 0},
            # A binary file has no lines; viewers want one all the same.
            "region": {"startLine": 1},
        }
    }
    if check.class_ is not None:
        place["logicalLocations"] = [{"fullyQualifiedName": f"class {check.class_}", "kind": "member"}]
    result: dict[str, Any] = {
        "ruleId": f"nmcheck/{rule}",
        "ruleIndex": names.index(rule),
        "level": "error" if check.verdict == "fail" else "warning",
        "message": {"text": f"{check.id}: {what_happened(check)}"},
        "locations": [place],
        # From names, never from measured values, so that a run on a changed model updates the alert it belongs to.
        "partialFingerprints": {"nmcheckCheck/v1": _digest(f"{rule}\n{name}")},
        "properties": {
            "verdict": check.verdict,
            "measured": check.measured,
            "low": check.low,
            "high": check.high,
            "threshold": check.threshold,
            "sense": check.sense,
        },
    }
    if check.waived and check.waiver is not None:
        why = f"{check.waiver.reason} (until {check.waiver.expires})"
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": why}]
    return result


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _location(path: str) -> dict[str, Any]:
    """The model as the user named it: relative to the folder nmcheck ran in, which in CI is the repository."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        # The name of no file here: the report is of another machine.
        path = visible(path)
    named = PurePath(path)
    if named.is_absolute():
        return {"uri": named.as_uri()}
    uri = quote(os.fsencode(PurePosixPath(*named.parts)))
    return {"uri": uri, "uriBaseId": "%SRCROOT%"}
