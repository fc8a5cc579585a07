"""What stands under a name in a folder of data, and what of it is no data."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_SYSTEM = frozenset({"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "__macosx", "@eadir"})
"""What file managers and archivers leave behind, beside names that start with a dot."""


def is_system_entry(name: str) -> bool:
    """Whether a file or folder is one of those that systems put everywhere, hidden ones among them."""
    return name.startswith(".") or name.casefold() in _SYSTEM


def unusable(path: Path) -> str | None:
    """Why there is no file with anything in it under a path: the rest of a sentence that says "is"; None if there is.

    Only regular files are read: one that waits for a writer would be waited for without end.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return "a link that leads nowhere" if path.is_symlink() else "not there"
    except (OSError, ValueError) as error:
        return f"not to be read ({getattr(error, 'strerror', None) or error})"
    if stat.S_ISDIR(found.st_mode):
        return "a folder"
    if not stat.S_ISREG(found.st_mode):
        return "no regular file"
    if found.st_size == 0:
        return "empty (0 bytes)"
    return None if os.access(path, os.R_OK) else "not to be read (Permission denied)"


def is_file(path: Path) -> bool:
    """Whether a path leads to a file."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def shown(path: Path, folder: Path) -> str:
    """A path below a folder as it can be shown: names may hold line breaks, and bytes that are no text."""
    text = os.fspath(path.relative_to(folder))
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
