"""The open connections of the server: no more than a few, and none of them for long.

Whoever opens a thousand connections, or sends a byte a minute, gets no more than a few threads for a few seconds, and
keeps nobody else out: where there are too many, those that have not asked anything yet make room, the oldest first.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from socket import SHUT_RDWR, socket
from threading import Lock

MOST = 64
"""A browser opens some six at a time."""
ASKING, ANSWERING = 10.0, 30.0
"""Seconds for a whole request to arrive, and for its answer to be taken."""


@dataclass
class _State:
    until: float
    asked: bool = False


class Connections:
    """Those that are open; each has a time by which it is closed, whatever it does.

    Args:
        asking: seconds for a whole request to arrive.
        answering: seconds for its answer to be taken.
    """

    def __init__(self, asking: float = ASKING, answering: float = ANSWERING) -> None:
        self._asking, self._answering = asking, answering
        self._open: dict[socket, _State] = {}
        self._lock = Lock()

    @property
    def open(self) -> int:
        """How many there are."""
        with self._lock:
            return len(self._open)

    def add(self, connection: socket) -> bool:
        """A new one; False if there is no room for it, because all are being answered."""
        with self._lock:
            if len(self._open) >= MOST:
                oldest = next((one for one, state in self._open.items() if not state.asked), None)
                if oldest is None:
                    return False
                del self._open[oldest]
                _hang_up(oldest)
            self._open[connection] = _State(time.monotonic() + self._asking)
        return True

    def asked(self, connection: socket) -> None:
        """Its request has arrived as a whole."""
        with self._lock:
            if connection in self._open:
                self._open[connection] = _State(time.monotonic() + self._answering, asked=True)

    def remove(self, connection: socket) -> None:
        """It is over."""
        with self._lock:
            self._open.pop(connection, None)

    def close_overdue(self) -> None:
        """Hang up on those whose time is over."""
        self._close(time.monotonic())

    def close_all(self) -> None:
        """Hang up on all."""
        self._close(float("inf"))

    def _close(self, now: float) -> None:
        with self._lock:
            for connection in [one for one, state in self._open.items() if state.until <= now]:
                del self._open[connection]
                _hang_up(connection)


def _hang_up(connection: socket) -> None:
    """The thread that waits for it gets an end of file and closes it."""
    with suppress(OSError):
        connection.shutdown(SHUT_RDWR)
