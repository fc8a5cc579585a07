"""What the server hands out for one model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path

from nmcheck.graph.notes import display_copy, notes_of
from nmcheck.results.overlay import Overlay
from nmcheck_netron.payload import payload
from nmcheck_netron.web_files import CONTENT_TYPES, MODEL_PATH, OVERLAY_PATH, NetronFiles

_STATIC = ("overlay.css", "overlay.js", "drawing.js", "panel.js", "scale.js")


@dataclass(frozen=True)
class Site:
    """What the server hands out.

    Attributes:
        netron: Netron's files.
        title: name of the model's file.
        model: the copy of the model that is drawn.
        overlay: what nmcheck's script reads, JSON.
    """

    netron: NetronFiles
    title: str
    model: bytes
    overlay: bytes

    @cached_property
    def answers(self) -> Mapping[str, tuple[str, Callable[[], bytes]]]:
        """Content type and content by address. There are no others, so no address can lead out of these."""
        found: dict[str, tuple[str, Callable[[], bytes]]] = {
            address: (CONTENT_TYPES[path.suffix], path.read_bytes) for address, path in self.netron.paths.items()
        }
        static = files("nmcheck_netron") / "static"
        for name in _STATIC:
            found[f"/nmcheck/{name}"] = (CONTENT_TYPES[f".{name.rpartition('.')[2]}"], (static / name).read_bytes)
        page = (CONTENT_TYPES[".html"], lambda: self.netron.page(self.title))
        return {
            **found,
            "/": page,
            "/index.html": page,
            "/grapher.css": (CONTENT_TYPES[".css"], self.netron.sheet),
            MODEL_PATH: ("application/octet-stream", lambda: self.model),
            OVERLAY_PATH: (CONTENT_TYPES[".json"], lambda: self.overlay),
        }


def site(model: Path, overlay: Overlay) -> Site:
    """The page of one model.

    Raises:
        UsageError: Netron is not installed, or of a version whose pages are made otherwise.
        ModelError: the file cannot be read.
    """
    copy = display_copy(model, notes_of(overlay))
    return Site(NetronFiles.installed(), model.name, copy.data, payload(overlay, copy.names))
