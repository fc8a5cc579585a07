"""A page of the viewer as a test looks at it.

Netron replaces the page's ``eval``, so nothing is evaluated in it: what the page shows is found by locators.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nmcheck.reports.palette import VIRIDIS, color_index
from nmcheck.results.overlay import Metric, Overlay
from nmcheck_netron.server import Server, serve
from nmcheck_netron.site import site

DARKEST = VIRIDIS[0]


class ShownPage:
    """One open page, with everything it asked for and everything that went wrong in it."""

    def __init__(self, page: Any, server: Server) -> None:
        self.page = page
        self.url, self.origin = server.url, server.origin
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("dialog", lambda dialog: (self.errors.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def open(self) -> None:
        """Load it."""
        self.page.goto(self.url)

    def state(self, expected: str, timeout: int = 60_000) -> None:
        """Wait for a state, e.g. ``ready:9``."""
        self.page.locator(f'html[data-nmcheck="{expected}"]').wait_for(state="attached", timeout=timeout)

    def node(self, name: str, inside: str = "") -> Any:
        """A node's group, or something inside it."""
        quoted = "node-name-" + name
        escaped = "".join(letter if letter.isalnum() else f"\\{ord(letter):x} " for letter in quoted)
        return self.page.locator(f'g[id="{escaped}"] {inside}'.strip())

    def shows(self, name: str, color: str, text: str) -> None:
        """Expect a node's color and badge."""
        from playwright.sync_api import expect

        expect(self.node(name, "> .node-item-type > path")).to_have_css("fill", rgb(color))
        expect(self.node(name, "> .nmc-badge > text")).to_have_text(text)

    def shows_metric(self, metric: Metric, names: list[str], *, cut: str | None = None) -> None:
        """Expect the colors and badges of a metric on some nodes."""
        expected = colors(metric)
        for entry in (entry for entry in metric.values if entry.node in names):
            self.shows(entry.node, expected[entry.node], f"✂ {entry.text}" if entry.node == cut else entry.text)

    def choose(self, metric: Metric) -> None:
        """Color by another metric."""
        self.page.get_by_label("Color by").select_option(label=metric.title)

    def sound(self) -> None:
        """Nothing was asked of anybody else, and nothing went wrong."""
        foreign = [url for url in self.requests if not url.startswith((f"{self.origin}/", "blob:", "data:"))]
        assert foreign == []
        assert self.errors == []


def colors(metric: Metric) -> dict[str, str]:
    """The color of each node that has a value."""
    values = [entry.value for entry in metric.values]
    return {
        entry.node: VIRIDIS[color_index(entry.value, values, worst=metric.worst, logarithmic=metric.logarithmic)]
        for entry in metric.values
    }


def rgb(color: str) -> str:
    """``#rrggbb`` as browsers write it."""
    return "rgb({}, {}, {})".format(*(int(color[start : start + 2], 16) for start in (1, 3, 5)))


@contextmanager
def shown(browser: Any, model: Path, overlay: Overlay, **context: Any) -> Iterator[ShownPage]:
    """The page of a model, not opened yet."""
    with serve(site(model, overlay), 0) as server:
        opened = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
        opened.set_default_timeout(60_000)
        try:
            yield ShownPage(opened.new_page(), server)
        finally:
            opened.close()
