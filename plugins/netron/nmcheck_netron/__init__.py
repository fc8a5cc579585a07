"""nmcheck's results over Netron's drawing of a model, in the browser: the viewer behind ``nmcheck view``."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path

from nmcheck.graph.notes import NodeNotes, display_copy
from nmcheck.results.overlay import Overlay
from nmcheck_netron.payload import payload
from nmcheck_netron.server import Site, serve
from nmcheck_netron.web_files import NetronFiles

__all__ = ["site", "view"]


def view(model: Path, overlay: Overlay, *, port: int, open_browser: bool) -> None:
    """Serve the drawing on the loopback interface until interrupted, and open it in the browser.

    Args:
        model: the ONNX file drawn; it is only read.
        overlay: what is laid over it.
        port: port to listen on; 0 takes a free one.
        open_browser: whether to open the user's browser.

    Raises:
        UsageError: Netron is not installed or of a version whose pages are made otherwise, or the port is taken.
        ModelError: the file cannot be read.
    """
    made = site(model, overlay)
    with serve(made, port) as server:
        print(server.url, flush=True)
        print("Ctrl-C ends the viewer.", file=sys.stderr, flush=True)
        if open_browser:
            webbrowser.open(server.url)
        server.wait()


def site(model: Path, overlay: Overlay) -> Site:
    """Everything the server hands out for one model."""
    files = NetronFiles.installed()
    notes = [
        NodeNotes(layer.node, layer.outputs, tuple((detail.label, detail.text) for detail in layer.details))
        for layer in overlay.layers
    ]
    copy = display_copy(model, notes)
    return Site(files, model.name, copy.data, payload(overlay, copy.names))
