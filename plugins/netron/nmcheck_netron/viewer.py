"""The entry point of ``nmcheck view``.

Loading it fails where Netron cannot be used, so that nobody waits for an analysis first.
"""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path

from nmcheck.results.overlay import Overlay
from nmcheck_netron.server import serve
from nmcheck_netron.site import site
from nmcheck_netron.web_files import NetronFiles

NetronFiles.installed()


def view(model: Path, overlay: Overlay, *, port: int, open_browser: bool) -> None:
    """Serve the drawing on the loopback interface until interrupted, and open it in the browser.

    Args:
        model: the ONNX file drawn; it is only read.
        overlay: what is laid over it.
        port: port to listen on; 0 takes a free one.
        open_browser: whether to open the user's browser.

    Raises:
        UsageError: the port is taken.
        ModelError: the file cannot be read.
    """
    with serve(site(model, overlay), port) as server:
        print(server.url, flush=True)
        print("Ctrl-C ends the viewer.", file=sys.stderr, flush=True)
        if open_browser:
            webbrowser.open(server.url_for_one_visit())
        server.wait()
