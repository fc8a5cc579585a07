"""How long until the page of ``nmcheck view`` is ready, and until it shows another metric?

    PYTHONPATH=tests python -m benchmarks.view             the installed Netron
    PYTHONPATH=tests:/tmp/old python -m benchmarks.view    another: pip install --target /tmp/old netron==8.8.0

Needs chromium on the machine, netron and playwright (``pip install -e '.[dev]'``). Times are wall-clock medians over
fresh browser profiles: from asking for the page to its being ready, the driver's polling included; in the page from the
change of the metric to the end of the script that colors the nodes in the window, and to the second frame after it; and
to the badge of the last node, far below the window, as the driver sees it.

Beside other work these say more of that work, so there is the processor time, too, that the page's main thread takes
from the change until the frame that shows it is handed on: median over 5 more changes, what tracing takes included.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import drawn_networks
import models
import onnx

from nmcheck_netron.server import serve
from nmcheck_netron.site import site

SAMPLE = Path(__file__).parents[1] / "sample_models" / "lenet_lrn3.onnx"
ARGUMENTS = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


WATCH = """
addEventListener('change', () => {
  const start = performance.now();
  addEventListener('change', () => {
    document.documentElement.dataset.script = performance.now() - start;
  }, { once: true });
  requestAnimationFrame(() => requestAnimationFrame(() => {
    document.documentElement.dataset.frame = performance.now() - start;
  }));
}, true);
"""
"""Netron's page allows no script to be evaluated in it, so this one is there before it."""


def timed(browser: Any, server: Any, overlay: Any) -> tuple[float, float, float, float, float]:
    """Seconds until the page is ready, the script is done with another metric, that is on the screen, and all is.

    And of processor time until it is on the screen.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    try:
        page = context.new_page()
        page.add_init_script(WATCH)
        start = time.perf_counter()
        page.goto(server.url, wait_until="commit")
        page.locator('html[data-nmcheck^="ready:"]').wait_for(state="attached", timeout=120_000)
        ready = time.perf_counter() - start
        last = overlay.metrics[1].values[-1]
        badge = page.locator(f'g[id="node-name-{last.node}"] > .nmc-badge > text').filter(has_text=last.text)
        start = time.perf_counter()
        page.get_by_label("Color by").select_option(label=overlay.metrics[1].title)
        badge.wait_for(state="attached")
        everything = time.perf_counter() - start
        html = page.locator("html[data-script][data-frame]")
        html.wait_for(state="attached")
        script, frame = (float(html.get_attribute(f"data-{key}")) / 1000 for key in ("script", "frame"))
        titles = [metric.title for metric in overlay.metrics[:2]]
        spent = [processor_time(browser, page, titles[turn % 2]) for turn in range(5)]
        return ready, script, frame, everything, statistics.median(spent)
    finally:
        context.close()


def processor_time(browser: Any, page: Any, title: str) -> float:
    """Seconds of the main thread from the change to another metric to the end of the frame that shows it."""
    browser.start_tracing(
        page=page, categories=["devtools.timeline", "disabled-by-default-devtools.timeline", "toplevel"]
    )
    page.get_by_label("Color by").select_option(label=title)
    page.wait_for_timeout(1500)
    events = [event for event in json.loads(browser.stop_tracing())["traceEvents"] if event.get("ph") == "X"]
    change = next(e for e in events if e["name"] == "EventDispatch" and e["args"]["data"]["type"] == "change")
    mine = [e for e in events if (e["pid"], e["tid"]) == (change["pid"], change["tid"])]
    end = min(e["ts"] + e["dur"] for e in mine if e["name"] == "Commit" and e["ts"] > change["ts"])
    tasks = [e for e in mine if e["name"].endswith("RunTask") and change["ts"] < e["ts"] + e["dur"] and e["ts"] < end]
    return sum(task["tdur"] for task in tasks) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        print(f"chromium {browser.version}, {repeats} repeats, median (smallest to largest)")
        columns = ("nodes", "sent, kB", "site made, s", "ready, s")
        columns += ("switch: script, ms", "frame, ms", "all nodes, ms", "frame, CPU ms")
        print(f"{'network':24}" + "".join(f"{column:>21}" for column in columns))
        large = models.write(drawn_networks.large(), Path(folder))
        for name, model in (("lenet_lrn3", SAMPLE), ("1,000 nodes, residual", large)):
            overlay = drawn_networks.overlay_on(onnx.load(model))
            start = time.perf_counter()
            made = site(model, overlay)
            spent = time.perf_counter() - start
            with serve(made, 0) as server:
                times = [timed(browser, server, overlay) for _ in range(repeats)]
            ready, *switch = ([entry[column] for entry in times] for column in range(5))
            size = f"{(len(made.model) + len(made.overlay)) / 1000:.0f}"
            cells = (len(overlay.layers), size, f"{spent:.2f}", spread(ready, 1, 2))
            cells += tuple(spread(values, 1000, 0) for values in switch)
            print(f"{name:24}" + "".join(f"{cell:>21}" for cell in cells))
        browser.close()


def spread(values: list[float], factor: float, digits: int) -> str:
    middle, low, high = (factor * pick(values) for pick in (statistics.median, min, max))
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


if __name__ == "__main__":
    main()
