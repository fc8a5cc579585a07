"""Viewers of results over a drawing of the model, found by their entry points: nmcheck's own like anyone's."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from nmcheck.cli.messages import warn
from nmcheck.errors import NmcheckError, UsageError

if TYPE_CHECKING:
    from nmcheck.results.overlay import Overlay

GROUP = "nmcheck.viewers"
"""The group of entry points a viewer registers under, by the name ``--viewer`` takes."""


@runtime_checkable
class Viewer(Protocol):
    """What an entry point leads to.

    What it lacks it says when it is loaded, if that can be seen then, by an error of nmcheck's: an analysis may follow
    that takes minutes.
    """

    def __call__(self, model: Path, overlay: Overlay, *, port: int, open_browser: bool) -> None:
        """Show a model with an overlay until the user has seen enough.

        Args:
            model: the ONNX file, which must not be changed.
            overlay: what to lay over its drawing.
            port: port to listen on, for viewers that are web pages; 0 takes a free one.
            open_browser: whether the user's browser is to be opened.
        """


@runtime_checkable
class ViewerEntry(Protocol):
    """An entry point, whichever package found it: the backport importlib_metadata puts its own class in the way."""

    @property
    def name(self) -> str:
        """What ``--viewer`` takes."""
        ...

    @property
    def value(self) -> str:
        """What it leads to, as ``package.module:name``."""
        ...

    def load(self) -> Any:
        """The viewer; its modules are imported."""


def installed_viewers() -> tuple[ViewerEntry, ...]:
    """The entry points of all installed viewers."""
    return tuple(entry_points(group=GROUP))


def load_viewer(name: str, found: Iterable[ViewerEntry]) -> Viewer:
    """The viewer of a name. One that fails to load is a warning with its name; another of that name is tried.

    Raises:
        UsageError: there is none that loads, or it says itself what it lacks.
    """
    found = tuple(found)
    for entry in found:
        if entry.name != name:
            continue
        try:
            return entry.load()
        except NmcheckError:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            warn(f"the viewer '{entry.name}' ({entry.value}) could not be loaded: {why}")
    others = ", ".join(sorted({entry.name for entry in found} - {name}))
    known = f"; installed: {others}" if others else ""
    raise UsageError(f"There is no viewer '{name}' that can be used{known}; install nmcheck again or choose --viewer.")
