"""Signals that ask a run to end: the first is a KeyboardInterrupt in the main thread, a later one ends it at once.

A supervisor's SIGTERM and a closed terminal's SIGHUP mean the same as Ctrl-C. What takes several steps that belong
together is ``held`` together.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
PATIENCE = 1.0
"""Seconds: what arrives sooner after the first is the same wish by another way, as from a terminal and a supervisor."""


@dataclass
class _State:
    """Of this process.

    Attributes:
        first: when the first signal came, by the monotonic clock; None before that.
        holders: how many blocks hold signals back.
        waits: whether one has come meanwhile.
        at_once: what a later signal calls.
    """

    first: float | None = None
    holders: int = 0
    waits: bool = False
    at_once: Callable[[], None] | None = None


_STATE = _State()


def catch(at_once: Callable[[], None]) -> None:
    """Make the signals interrupt this process, those that its parent had it ignore apart (``nohup``).

    Args:
        at_once: called by a signal that comes when the first has not ended the run; is not to return.
    """
    _STATE.at_once = at_once
    for name in SIGNALS:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _arrived)


def ignore() -> None:
    """Let no signal change any more how this process ends: the run is over, and its exit code says how it went.

    Python, which takes its time to end, would give the signals back their own meaning, and the code would be lost.
    """
    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, signal.SIG_IGN)


def asked() -> bool:
    """Whether a signal has come."""
    return _STATE.first is not None


def check() -> None:
    """Interrupt again if a signal has come: a library may have lost the exception, as ctypes does in callbacks.

    Raises:
        KeyboardInterrupt: one has come, and this is the main thread.
    """
    if asked() and threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt


@contextmanager
def held() -> Iterator[None]:
    """Hold signals back until the block ends.

    Raises:
        KeyboardInterrupt: at its end, if one has come.
    """
    _STATE.holders += 1
    try:
        yield
    finally:
        _STATE.holders -= 1
    if _STATE.waits and not _STATE.holders:
        _STATE.waits = False
        raise KeyboardInterrupt


def _arrived(_number: int, _frame: FrameType | None) -> None:
    now = time.monotonic()
    if _STATE.first is None:
        _STATE.first = now
        if _STATE.holders:
            _STATE.waits = True
            return
        raise KeyboardInterrupt
    if now - _STATE.first >= PATIENCE and not _STATE.holders and _STATE.at_once is not None:
        _STATE.at_once()
