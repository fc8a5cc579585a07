"""Every report in every format, made of texts of which each one is an attack: none of them is obeyed."""

import json
import re
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree as ET

import made_up_bounds
import made_up_comparison
import made_up_gate
import made_up_report
import pytest
import xmlschema
from hostile_text import ALL, ATTACKS, Tags, check_json, check_lines, check_visible, poisoned
from jsonschema import Draft7Validator
from markdown_it import MarkdownIt

from nmcheck.reports.attachments import model_explorer_data, netron_attachment
from nmcheck.reports.bank_table import bank_built, bank_info_parts, bank_preview, bank_verification_parts
from nmcheck.reports.bounds_report import bounds_parts
from nmcheck.reports.comparison_table import comparison_parts
from nmcheck.reports.gate_junit import gate_junit
from nmcheck.reports.gate_markdown import gate_markdown
from nmcheck.reports.gate_sarif import gate_sarif
from nmcheck.reports.gate_table import gate_parts
from nmcheck.reports.html.page import to_html
from nmcheck.reports.html.template import tables_page
from nmcheck.reports.inspection_table import inspection_parts
from nmcheck.reports.json import to_json
from nmcheck.reports.layer_graph import layer_graph
from nmcheck.reports.layout import draw, text_of
from nmcheck.reports.markdown import to_markdown
from nmcheck.reports.overlay import overlay_of
from nmcheck.reports.table import analysis_parts
from nmcheck.results import ToolEntry
from nmcheck.results.bank import BankInfo, BankPreview, BankVerification
from nmcheck.results.inspection import (
    Analyzable,
    CutEntry,
    FoundNormalization,
    InspectedModel,
    Inspection,
    OperatorEntry,
)

SCHEMAS = Path(__file__).parents[1] / "gate" / "schemas"
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
INLINE = ("text", "code_inline", "strong_open", "strong_close", "softbreak", "text_special")
FORBIDDEN = {"script", "link", "iframe", "object", "embed", "a", "base", "form"}
TOOL = ToolEntry(version="1")
# What names a class, a norm or an attack leads to a place in the report's own tables, and is never a name from outside.
FIXED = ("kind", "scale_source", "png", "norm", "lower_method", "upper_method", "version")

INSPECTION = Inspection(
    tool=TOOL,
    model=InspectedModel(
        path="m.onnx", fingerprint="f", opset=17, producer="p 1", input="x", input_shape=(1, 4), batch="any",
        logits="y", classes=3, nodes=4, weights=12, weight_bytes=48, analysis_bytes=1,
    ),
    operators=(OperatorEntry(op="Own", domain="own", count=1, execute=False, moments=False, bounds=True, reason="r"),),
    relus=1,
    cuts=(
        CutEntry(node="relu", op="Relu", index=1, outputs=("y",), kind="cut", p=1, n=1, d=1, dense_bytes=1,
                 analysis_bytes=1, within_budget=False),
    ),
    normalization=(FoundNormalization(node="n", index=2, outputs=("z",), kind="LRN", recognized_from="pattern"),),
    analyzable=Analyzable(execute=True, moments=False, bounds=True),
    reasons=("a reason",),
    notes=("a note",),
)  # fmt: skip
INFO = BankInfo(
    tool=TOOL, path="b.h5", format_version=1, model_fingerprint="0", data="mnist", data_sha256="1", images=9,
    scale="unit", k=2, complete=False, points_done=1, cut="node_relu", cut_kind="cut", linearizer="averaged", sigma=0.1,
    n=7, p=5, d=1, storage="gram", dtype="float16", constant=("B",), bytes=6, bytes_per_point=3.0, members_mean=4.0,
    members_largest=9, reach_largest=9.5, choice="centers", seed=0, kernels="onednn", sparse_head=True, chunk=5,
    torch="2", energy=0.9,
)  # fmt: skip
PREVIEW = BankPreview(
    n=7, p=5, d=1, cut="node_relu", cut_kind="cut", points=2, images=9, storage="gram", dtype="float16",
    bytes_per_point=2, bytes=6, memory=5, seconds_per_point=0.03, seconds=8.7, kernels="onednn", sparse_head=True,
    chunk=5,
)  # fmt: skip
VERIFIED = BankVerification(
    tool=TOOL, path="b.h5", model="m.onnx", k=2, points_done=1, complete=False, recomputed=(0,), identical=True,
    difference=0.0,
)  # fmt: skip
ATTACKED = (made_up_bounds.attacked_entry(),)
RECORDS = {
    "analysis": (made_up_report.report(), analysis_parts),
    "bounds": (made_up_report.report(), bounds_parts),
    "gate": (made_up_gate.report(), gate_parts),
    "comparison": (made_up_comparison.comparison(), comparison_parts),
    "inspection": (INSPECTION, inspection_parts),
    "bank": (INFO, bank_info_parts),
    "bank verification": (VERIFIED, bank_verification_parts),
}


@pytest.fixture(params=RECORDS)
def pair(request):
    """A record as it may be, the same with attacks in all its texts, and what its tables show."""
    record, parts = RECORDS[request.param]
    return record, poisoned(record, skip=FIXED), parts


@pytest.mark.parametrize("width", [40, 160])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_tables(pair, width, encoding):
    _, hostile, parts = pair
    text = text_of(parts, hostile, width, encoding=encoding)
    check_visible(text)
    assert "INJECTED" in text
    assert "\\x1b]0;INJECTED\\x07" in text or width == 40


def test_tables_in_color_hold_rich_own_sequences_only(pair):
    _, hostile, parts = pair
    text = draw(parts(hostile, 160), 160, color=True, encoding="utf-8")
    check_visible(re.sub(r"\x1b\[[\d;]*m", "", text))


def test_markdown(pair):
    benign, hostile, parts = pair
    good, bad = to_markdown(parts(benign, 0)), to_markdown(parts(hostile, 0))
    check_visible(bad)
    check_lines(bad, good.count("\n"))
    assert blocks_of(bad) == blocks_of(good)
    check_inline(bad)


def blocks_of(text):
    return [token.type for token in MARKDOWN.parse(text)]


def check_inline(text, *ours):
    for token in MARKDOWN.parse(text):
        for inner in token.children or ():
            assert inner.type in (
                "text",
                "code_inline",
                "strong_open",
                "strong_close",
                "softbreak",
                "text_special",
            ) or (inner.type == "html_inline" and inner.content in ours), (inner.type, inner.content)


def test_pages(pair):
    benign, hostile, parts = pair
    made = to_html if parts in (analysis_parts, bounds_parts, gate_parts) else None
    good, bad = (
        made(one, made_up_gate.pictures(), parts=parts(one, 0)) if made else tables_page(parts(one, 0))
        for one in (benign, hostile)
    )
    check_visible(bad)
    tags = Tags(bad)
    assert sorted(tags.found) == sorted(Tags(good).found)
    assert "INJECTED" in "".join(tags.words)
    assert not {tag.split()[0] for tag in tags.found} & FORBIDDEN
    attributes = {name for tag in tags.found for name in tag.split()[1:]}
    assert not [name for name in attributes if name.startswith("on") or name in ("href", "action", "srcset")]
    assert all(start == "data:image/png;base64," for start in re.findall(r'src="([^"]{0,22})', bad))
    policies = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', bad)
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_json(pair):
    _, hostile, _ = pair
    document = check_json(to_json(hostile))
    name = ALL.replace("\udce9", "\\udce9").replace("\ud83d", "\\ud83d")
    assert name in str(document) or name in json.dumps(document, ensure_ascii=False) or name in texts(document)


def texts(document):
    if isinstance(document, dict):
        return "\n".join([*document, *map(texts, document.values())])
    if isinstance(document, list):
        return "\n".join(map(texts, document))
    return document if isinstance(document, str) else ""


GATE = replace(
    made_up_gate.report(on_inconclusive="fail"), moments=None, moments_reason="m", bounds=None, bounds_reason="b",
    flips=(), cut_errors=(), normalization=(),
)  # fmt: skip
HOSTILE_GATE = poisoned(GATE, skip=FIXED)


def test_junit():
    good, bad = gate_junit(GATE), gate_junit(HOSTILE_GATE)
    assert [one.tag for one in ET.fromstring(bad).iter()] == [one.tag for one in ET.fromstring(good).iter()]
    assert not re.search(rb"&#x?[0-9a-fA-F]+;", bad.replace(b"&#10;", b""))
    for one in ET.fromstring(bad).iter():
        for text in (one.text or "", *one.attrib.values()):
            assert not any(letter not in "\n\t" and not letter.isprintable() for letter in text)
    xmlschema.XMLSchema(SCHEMAS / "junit-10.xsd").validate(BytesIO(bad))


def test_sarif():
    document = check_json(gate_sarif(HOSTILE_GATE))
    Draft7Validator(json.loads((SCHEMAS / "sarif-schema-2.1.0.json").read_text())).validate(document)
    for result in document["runs"][0]["results"]:
        text = result["message"]["text"]
        assert text.isprintable()
        assert "](" not in text
        assert not re.search(r"(?<!\{)\{\d", text)
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert re.fullmatch(r"[\w.~%/-]+", uri)
    good = json.loads(gate_sarif(GATE))["runs"][0]["results"]
    assert len(document["runs"][0]["results"]) == len(good)


def test_the_gates_markdown():
    good, bad = gate_markdown(GATE), gate_markdown(HOSTILE_GATE)
    check_visible(bad)
    check_lines(bad, good.count("\n"))
    assert blocks_of(bad) == blocks_of(good)
    check_inline(bad, "<sub>", "</sub>")


def test_the_picture_of_the_network():
    benign, hostile = (
        overlay_of(one) for one in (made_up_report.report(), poisoned(made_up_report.report(), skip=FIXED))
    )
    good, bad = layer_graph(benign), layer_graph(hostile)
    check_visible(bad)
    ET.fromstring(bad)
    assert Tags(bad).found == Tags(good).found


def test_attachments_keep_the_true_names():
    overlay = overlay_of(poisoned(made_up_report.report(), ATTACKS["script"] + ATTACKS["right to left"], skip=FIXED))
    names = {layer.node: layer.node for layer in overlay.layers}
    document = check_json(netron_attachment(overlay, names))
    assert {one["target"] for one in document["metrics"]} <= set(names)
    explorer = check_json(model_explorer_data(overlay.metrics[0], names))
    assert set(explorer["results"]) <= set(names)


def test_sentences_about_banks():
    from nmcheck.outside_text import message

    for sentence in (*bank_preview(poisoned(PREVIEW, skip=FIXED)), bank_built(poisoned(INFO, skip=FIXED))):
        said = message(sentence)
        check_visible(said)
        assert "\n" not in said


@pytest.mark.parametrize("attack", [name for name in ATTACKS if name.startswith("very long")])
@pytest.mark.parametrize("way", ["table", "markdown", "page"])
def test_very_long_names_are_shortened(attack, way):
    benign, parts = RECORDS["inspection"]
    hostile = poisoned(benign, ATTACKS[attack], skip=FIXED)
    ways = {
        "table": partial(text_of, parts),
        "markdown": lambda one: to_markdown(parts(one, 0)),
        "page": lambda one: tables_page(parts(one, 0)),
    }
    good, bad = ways[way](benign), ways[way](hostile)
    # Of a quarter of a million letters a text, or a hundred thousand a word.
    assert len(bad) < len(good) + 30_000 * str(benign).count("'")
    assert "x" * 1000 not in bad
