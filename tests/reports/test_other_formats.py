"""The same tables as Markdown and as pages: nothing is lost on the way, and no name is taken for markup."""

import re
from dataclasses import replace

import made_up_bounds
import made_up_report
import pytest
from page_reader import Page
from plain_words import plain

from nmcheck.reports.blocks import Facts, Grid, Words, blocks
from nmcheck.reports.bounds_report import bounds_parts
from nmcheck.reports.html.page import to_html
from nmcheck.reports.layout import text_of
from nmcheck.reports.markdown import to_markdown
from nmcheck.reports.table import analysis_parts

REPORT = made_up_report.report()
PARTS = {
    "analyze": analysis_parts(REPORT, 0),
    "bounds": bounds_parts(replace(REPORT, bounds=(made_up_bounds.attacked_entry(),)), 0),
}


@pytest.fixture(params=PARTS)
def parts(request):
    return PARTS[request.param]


def test_blocks_hold_every_word_of_the_terminal(parts):
    shown = text_of(lambda _record, _width: parts, REPORT, 1000)
    # Behind the frames: letters and digits only.
    found: list[str] = []
    for block in blocks(parts):
        if isinstance(block, Facts):
            found += [block.title, *(word for row in block.rows for word in row)]
        elif isinstance(block, Grid):
            found += [block.title, *block.header, *(cell for row in block.rows for cell in row)]
        else:
            found.append(block.text)
    assert set(re.findall(r"\w+", shown)) == set(re.findall(r"\w+", " ".join(found)))


def test_markdown_tables_have_as_many_cells_in_every_row(parts):
    text = to_markdown(parts)
    tables = re.findall(r"(?m)(?:^\|.*\n)+", text)
    assert len(tables) == sum(isinstance(block, Grid) for block in blocks(parts)) > 3
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1
    assert text.endswith("\n")


def test_numbers_are_right_aligned_and_names_are_not():
    grid = next(block for block in blocks(PARTS["analyze"]) if isinstance(block, Grid) and "node" in block.header)
    assert grid.numbers[0] is False
    assert grid.numbers[-1] is True


def test_a_heading_stands_above_the_engines():
    found = [block.text for block in blocks(PARTS["analyze"]) if isinstance(block, Words) and block.kind == "heading"]
    assert found == ["Tightness per class, sigma 0.05", "Tightness per class, sigma 0.1"]


def test_names_are_no_markup():
    odd = replace(REPORT, model=replace(REPORT.model, path="<b>|*x*[red].onnx"))
    text = to_markdown(analysis_parts(odd, 0))
    assert r"&lt;b\>\|\*x\*\[red\].onnx" in text
    page = to_html(odd, parts=analysis_parts(odd, 0))
    assert "<b>" not in page
    assert "&lt;b&gt;|*x*[red].onnx" in page


def test_page_has_pictures_and_tables_and_asks_for_nothing(parts):
    page = Page()
    text = to_html(REPORT, parts=parts)
    page.feed(text)
    assert page.open == []
    assert page.references == []
    assert "<svg" in text
    for block in blocks(parts):
        if isinstance(block, Grid):
            assert plain(block.title) in plain(text)
            assert all(f">{cell}</td>" in text for row in block.rows for cell in row if cell.isalnum())
    # The frame, the warnings and the notes stand on the page once.
    assert text.count("Another common scale") == 1
    assert text.count("A trailing Softmax") == 1
