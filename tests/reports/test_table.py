import ast
import re
from dataclasses import replace
from pathlib import Path

import made_up_moments
import made_up_report
import pytest

import nmcheck.reports
from nmcheck.reports.layout import text_of
from nmcheck.reports.numbers import MISSING, significant, with_error
from nmcheck.reports.table import analysis_parts

WORDS = ("nmcheck.results", "nmcheck.reports", "nmcheck.counting", "nmcheck.outside_text")
WIDTHS = [20, 60, 80, 100, 120, 160, 300]


@pytest.mark.parametrize("width", WIDTHS)
def test_no_number_is_lost_at_any_width(width):
    report = made_up_report.report()
    text = text_of(analysis_parts, report, width)
    assert "…" not in text
    assert report.moments
    assert report.bounds
    for entry in report.moments:
        for row in entry.per_class:
            assert with_error(row.mean_er, row.mean_er_se) in text
            assert with_error(row.var_er, row.var_er_se) in text
        assert with_error(entry.overall.var_er, entry.overall.var_er_se) in text
    for layer in report.bounds[0].layers:
        for value in (layer.lipschitz, layer.lipschitz_to_logits):
            assert significant(value, 4) in text
        assert significant(layer.kappa_certified) in text
    for radius in report.bounds[0].radius.values():
        assert significant(radius.mean) in text


@pytest.mark.parametrize("width", [120, 160, 300])
def test_lines_keep_to_the_width(width):
    assert max(map(len, text_of(analysis_parts, made_up_report.report(), width).splitlines())) <= width


def test_engines_stand_side_by_side_if_they_fit():
    wide, narrow = (text_of(analysis_parts, made_up_report.report(), width) for width in (160, 100))
    side_by_side = r"two-stage, cut at node_relu +published-theorem2, cut at node_relu"
    assert len(re.findall(side_by_side, wide)) == 2
    assert not re.search(side_by_side, narrow)
    # Three do not fit the width of a pipe.
    three = made_up_report.report(engines=("two-stage", "published-theorem2", "published-lemma4"))
    assert not re.search(side_by_side, text_of(analysis_parts, three))


def test_rows_of_a_class_line_up():
    report = made_up_report.report(sigmas=(0.1,))
    assert report.moments
    lines = text_of(analysis_parts, report, 160).splitlines()
    for first, second in zip(*(entry.per_class for entry in report.moments), strict=True):
        cells = [with_error(row.mean_er, row.mean_er_se) for row in (first, second)]
        assert any(line.startswith(f"{first.class_} ") and all(cell in line for cell in cells) for line in lines)


def test_the_cuts_compared_are_shown_and_the_averaged_linearizer_is_named():
    report = made_up_report.report()
    text = text_of(analysis_parts, report, 200)
    table = text[text.index("Linearization error by cut") :].split("\n")
    sigmas, header = table[1].split(), table[2].split()
    assert sigmas == ["sigma", "sigma", "fits", "in"]
    assert header == ["node", "kind", "units", "0.05", "0.1", "mean", "memory", "chosen"]
    assert [line.split() for line in table[4:7]] == [
        ["node_relu", "cut", "802,816", MISSING, MISSING, MISSING, "no"],
        ["node_relu_1", "cut", "1,568", "0.799", "0.804", "0.794", "yes"],
        ["node_relu_2", "cut", "256", "0.795", "0.800", "0.790", "yes", "yes"],
    ]
    assert text.count("so the matrix A takes 900 GiB") == 1
    assert "Linearization error by cut" not in text_of(analysis_parts, replace(report, cut_errors=()), 200)
    assert report.moments
    assert "averaged" not in text.split("Tightness")[1]
    averaged = replace(report, moments=tuple(replace(entry, linearizer="averaged") for entry in report.moments))
    assert "two-stage, averaged, cut at node_relu" in text_of(analysis_parts, averaged, 200)


def test_words_are_honest():
    text = " ".join(text_of(analysis_parts, made_up_report.report(), 300).split())
    assert "certified (real arithmetic, L2, unboxed)" in text
    assert "Analytic moments are estimates, not certificates." in text
    assert "float32 rounding is not covered" in text
    assert "not certified" in text
    assert "Noise floor (E_r of a perfect engine): mean 0.0021, var 0.021" in text
    assert "node_conv2d_1, node_conv2d_8: Theorem 5.1 drops the cross terms" in text
    boxed = made_up_report.report()
    assert boxed.bounds
    entry = replace(boxed.bounds[0], box=(0.0, 1.0), norm="linf")
    text = text_of(analysis_parts, replace(boxed, bounds=(entry,)), 300)
    assert "certified (real arithmetic, Linf, pixels kept in 0 to 1)" in text
    assert "unboxed" not in text


def test_header_says_where_everything_came_from():
    text = text_of(analysis_parts, made_up_report.report(), 200)
    for part in (
        "lenet_lrn1.onnx",
        "3ba302235efdc3e7 ",
        "100 of 10,000 images",
        "stated in the model's metadata",
    ):
        assert part in text
    assert "99 % of the 100 images used" in text
    assert "onnxruntime 1.31.1 to 4.1e-07" in text
    assert "Warning: Another common scale" in text
    assert "Note: A trailing Softmax" in text


def test_missing_parts_say_why():
    report = made_up_report.report()
    bare = replace(
        report,
        data=replace(report.data, accuracy=None, accuracy_reason="the data has no labels"),
        moments=None,
        moments_reason="The model has no ReLU.",
        bounds=None,
        bounds_reason="Node x has no rule.",
        normalization=(),
        warnings=(),
        notes=(),
    )
    text = text_of(analysis_parts, bare)
    for reason in (
        "The model has no ReLU.",
        "Node x has no rule.",
        "the data has no labels",
        "no batch or local",
    ):
        assert reason in text


def test_missing_numbers_say_why_once():
    text = text_of(analysis_parts, made_up_report.report(), 200)
    assert text.count(made_up_moments.NO_COVARIANCE) == 1
    assert "– gain: the noise at the layer's input is zero." in text


def test_colour_only_when_asked_for():
    assert "\x1b" not in text_of(analysis_parts, made_up_report.report())
    assert "\x1b" in text_of(analysis_parts, made_up_report.report(), color=True)


def test_brackets_in_names_are_names_and_not_markup():
    report = made_up_report.report()
    assert report.bounds
    entry = report.bounds[0]
    layer = replace(entry.layers[0], node="block[0]/conv[bold]")
    odd = replace(
        report,
        moments=(replace(report.moments[0], cut="relu[green]"),) if report.moments else None,
        bounds=(replace(entry, layers=(layer,)),),
        normalization=(replace(report.normalization[0], node="norm[red]"),),
        model=replace(report.model, path="a[b].onnx"),
    )
    text = text_of(analysis_parts, odd, 300)
    for name in ("block[0]/conv[bold]", "norm[red]", "relu[green]", "a[b].onnx"):
        assert name in text


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_text_fits_the_encoding(encoding):
    report = made_up_report.report()
    text = text_of(
        analysis_parts, replace(report, model=replace(report.model, path="mod\udce9le.onnx")), encoding=encoding
    )
    assert "Tightness per class" in text
    text.encode(encoding)


def test_imports_only_results_words_and_rich():
    for path in Path(nmcheck.reports.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nmcheck"):
                assert str(node.module).startswith(WORDS), path
