"""The web files of the installed Netron, and the three changes nmcheck serves them with.

Netron is used unforked. ``index.html`` gets version 0.0.0, by which Netron knows a copy not packaged and reports
nothing to anyone, and loses the build date, from which Netron counts half a year until it refuses to work. It gets the
model's address and nmcheck's script. ``grapher.css`` gets nmcheck's colors, because Netron's own export of the drawing
takes the rules of that sheet along.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from nmcheck.errors import UsageError
from nmcheck.outside_text import markup
from nmcheck_netron.colors import color_rules

CONTENT_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".ico": "image/x-icon",
}
MODEL_PATH = "/data/model.onnx"
OVERLAY_PATH = "/nmcheck/overlay.json"
_VERSION = re.compile(r'<meta name="version" content="[^"]*">')
_DATE = re.compile(r'<meta name="date" content="[^"]*">')
_SCRIPT = re.compile(r'<script[^>]* src="index\.js"[^>]*></script>')
_INSTALL = "pip install 'nmcheck[view]'"


@dataclass(frozen=True)
class NetronFiles:
    """Netron's web files in a folder.

    Attributes:
        folder: where they lie.
    """

    folder: Path

    @classmethod
    def installed(cls) -> NetronFiles:
        """Those of the installed package ``netron``.

        Raises:
            UsageError: there is none, or its pages are made otherwise.
        """
        found = find_spec("netron")
        if found is None or not found.submodule_search_locations:
            raise UsageError(f"nmcheck view draws with Netron, which is not installed; install it with {_INSTALL}.")
        files = cls(Path(next(iter(found.submodule_search_locations))))
        files.check()
        return files

    def check(self) -> None:
        """See whether the files are as nmcheck knows them.

        Raises:
            UsageError: they are not.
        """
        try:
            page = self._text("index.html")
            fits = all(pattern.search(page) for pattern in (_VERSION, _SCRIPT)) and ".node" in self._text("grapher.css")
        except OSError:
            fits = False
        if not fits:
            raise UsageError(
                f"The Netron in {self.folder} is of a version nmcheck cannot draw with; install a fitting one with "
                f"{_INSTALL}, or use nmcheck annotate, which needs no Netron."
            )

    @cached_property
    def paths(self) -> Mapping[str, Path]:
        """The files that may be asked for, by their address: nothing else of the folder, and no other folder."""
        return {
            f"/{path.name}": path
            for path in sorted(self.folder.iterdir())
            if path.suffix in CONTENT_TYPES and path.is_file()
        }

    def page(self, title: str) -> bytes:
        """``index.html`` that opens the served model by itself."""
        name = markup(title if title.endswith(".onnx") else f"{title}.onnx")
        head = "\n".join(
            [
                '<meta name="type" content="Python">',
                '<meta name="version" content="0.0.0">',
                f'<meta name="file" content="{MODEL_PATH}">',
                f'<meta name="name" content="{name}">',
                f'<meta name="identifier" content="{name}">',
                '<link rel="stylesheet" type="text/css" href="nmcheck/overlay.css">',
                '<script type="module" src="nmcheck/overlay.js"></script>',
            ]
        )
        page = _VERSION.sub(lambda _: head, self._text("index.html"), count=1)
        return _DATE.sub("", page).encode()

    def sheet(self) -> bytes:
        """``grapher.css`` with nmcheck's rules at its end."""
        return f"{self._text('grapher.css')}\n{color_rules()}".encode()

    def _text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")
