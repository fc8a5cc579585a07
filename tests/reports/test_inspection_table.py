from dataclasses import replace

import pytest

from nmcheck.reports.inspection_table import CHEAPEST, LONGEST, inspection_parts, memory
from nmcheck.reports.layout import text_of
from nmcheck.results.inspection import (
    Analyzable,
    CutEntry,
    FoundNormalization,
    InspectedModel,
    Inspection,
    OperatorEntry,
)
from nmcheck.results.model import ToolEntry

REASON = "bounds: blocks.0.attn (MatMul): more than one of its inputs depends on the sample."


def cut(number: int, kind: str = "cut", p: int = 802_816, *, within_budget: bool = True) -> CutEntry:
    size = 8 * (p * 150_528 + 1000 * p)
    return CutEntry(
        node=f"/layer1/{number}/relu/Relu", op="Relu", index=number, outputs=(f"v{number}",),
        kind="cut" if kind == "cut" else "skip", p=p, n=150_528, d=1000, dense_bytes=size,
        analysis_bytes=size, within_budget=within_budget,
    )  # fmt: skip


def inspection(cuts: tuple[CutEntry, ...]) -> Inspection:
    return Inspection(
        tool=ToolEntry(version="0.1.0"),
        model=InspectedModel(
            path="models/net[1].onnx", fingerprint="ab" * 32, opset=17, producer="pytorch 2.13.0", input="image",
            input_shape=(1, 3, 224, 224), batch="any", logits="logits", classes=1000, nodes=176, weights=25_610_152,
            weight_bytes=102_440_608, analysis_bytes=2_500_000_000,
        ),
        operators=(
            OperatorEntry(op="Conv", domain="", count=53, execute=True, moments=True, bounds=True, reason=""),
            OperatorEntry(op="MatMul", domain="", count=4, execute=True, moments=True, bounds=False, reason=REASON),
        ),
        relus=len(cuts),
        cuts=cuts,
        normalization=tuple(
            FoundNormalization(
                node=f"bn[{n}]", index=n, outputs=("v",), kind="BatchNormalization", recognized_from="op"
            )
            for n in range(53)
        ),
        analyzable=Analyzable(execute=True, moments=True, bounds=False),
        reasons=(REASON,),
        notes=("A trailing Softmax was left out.",),
    )  # fmt: skip


@pytest.mark.parametrize("width", [20, 60, 80, 100, 160, 300])
def test_no_number_is_lost_at_any_width(width):
    text = text_of(inspection_parts, inspection((cut(1), cut(2, "skip", 50_176))), width)
    assert "…" not in text
    for part in ("802,816", "150,528", "50,176", "973 GB", "60.8 GB"):
        assert part in text
    assert all(line == line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize("width", [80, 100, 160])
def test_lines_keep_to_the_width(width):
    assert max(map(len, text_of(inspection_parts, inspection((cut(1),)), width).splitlines())) <= width


def test_the_verdict_and_its_reasons_stand_on_top():
    text = text_of(inspection_parts, inspection((cut(1), cut(2, "skip", 50_176))))
    lines = text.splitlines()
    assert [line.split()[1:3] for line in lines if line.startswith(("│ execute", "│ moments", "│ bounds"))] == [
        ["execute", "yes"],
        ["moments", "yes"],
        ["bounds", "no"],
    ]
    assert text.index("bounds: blocks.0.attn (MatMul)") < text.index("Operators")
    assert "2: 1 cut, 1 skip; the least memory takes /layer1/2/relu/Relu (skip, 60.8 GB)" in text
    assert "25,610,152 weights (102 MB)" in text
    assert "53 BatchNormalization (bn[0], bn[1], bn[2], ... bn[52])" in text
    assert "Note: A trailing Softmax was left out." in text


def test_cuts_that_are_too_large_are_marked_and_the_mark_is_explained():
    small, large = cut(1), cut(2, "skip", 50_176, within_budget=False)
    text = text_of(inspection_parts, inspection((small, large)), 160)
    rows = [line for line in text.splitlines() if line.startswith("/layer1")]
    assert ["*" in row for row in rows] == [False, True]
    assert rows[1].endswith("* 60.8 GB")
    assert "\n* more than nmcheck makes a matrix of" in text
    assert "*" not in text_of(inspection_parts, inspection((small,)))


def test_long_lists_keep_every_cut_and_the_cheapest_skips():
    cuts = tuple(cut(n) if n % 10 == 0 else cut(n, "skip", 1000 + n) for n in range(120))
    text = text_of(inspection_parts, inspection(cuts), 300)
    shown = [entry for entry in cuts if f" {entry.node} ".strip() in text.split()]
    assert [entry for entry in cuts if entry.kind == "cut"] == [entry for entry in shown if entry.kind == "cut"]
    assert [entry.index for entry in shown if entry.kind == "skip"] == [n for n in range(12) if n % 10][:CHEAPEST]
    assert f"and {120 - 12 - CHEAPEST} skips" in text
    assert "and" not in text_of(inspection_parts, inspection(cuts[:LONGEST])).split("Cuts")[1].split("cut:")[0]


def test_nothing_found_is_said():
    empty = replace(inspection(()), operators=(), normalization=())
    text = text_of(inspection_parts, empty)
    for words in ("Operators: none", "Normalization: none found.", "Cuts: none"):
        assert words in text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (3_179_520, "3.18 MB"), (999_499, "999 kB"), (999_500, "1.00 MB"),
     (9_995_000, "10.0 MB"), (99_950_000, "100 MB"), (974_000_000_000, "974 GB")],
)  # fmt: skip
def test_memory_has_three_digits(size, text):
    assert memory(size) == text


def test_colour_only_when_asked_for():
    assert "\x1b" not in text_of(inspection_parts, inspection((cut(1),)))
    assert "\x1b" in text_of(inspection_parts, inspection((cut(1),)), color=True)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_text_fits_the_encoding(encoding):
    text_of(inspection_parts, inspection((cut(1),)), encoding=encoding).encode(encoding)
