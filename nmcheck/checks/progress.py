"""How a use case tells its caller how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Receives the stages of a long computation."""

    def stage(self, title: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
        """Enter a stage of ``total`` steps (None if not known); the callable yielded counts steps done."""
        ...


class SilentProgress:
    """Says nothing: what library users get unless they ask for more."""

    @contextmanager
    def stage(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Ignore the stage and its steps."""
        yield lambda _steps: None
