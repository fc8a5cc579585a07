"""The pages, opened in Chromium: nothing asked for, nothing complained of, nothing beside a phone's screen."""

from collections.abc import Callable
from pathlib import Path

import made_up_gate
import made_up_report
import pytest

from nmcheck.reports.html.page import to_html
from nmcheck.reports.table import analysis_parts

PAGES: dict[str, Callable[[], str]] = {
    "gate": lambda: to_html(made_up_gate.report(), made_up_gate.pictures()),
    "analysis": lambda: to_html(made_up_report.report(), parts=analysis_parts(made_up_report.report(), 0)),
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 900), (390, 844)], ids=["desk", "phone"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_stands_alone(chromium, tmp_path: Path, name: str, size: tuple[int, int], scheme: str) -> None:
    file = tmp_path / "page.html"
    file.write_text(PAGES[name](), encoding="utf-8")
    page = chromium.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    assert said == []
    # Pictures inside the page are no requests to anywhere.
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0 && image.alt)")
    assert page.evaluate("[...document.querySelectorAll('svg')].every(one => one.getBoundingClientRect().width > 0)")
    behind = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(part) for part in behind[4:-1].split(",")[:3]) < 384) == (scheme == "dark")
    page.close()


def test_a_page_fits_on_paper(chromium, tmp_path: Path) -> None:
    """Black on white whatever the screen, and no row of a table cut by the edge."""
    file = tmp_path / "page.html"
    file.write_text(PAGES["gate"](), encoding="utf-8")
    page = chromium.new_page(viewport={"width": 700, "height": 990}, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    page.goto(file.as_uri())
    behind = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(int(part) for part in behind[behind.index("(") + 1 : -1].split(",")[:3]) > 384 or behind.endswith("0)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.close()
