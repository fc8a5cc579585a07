"""Signals that ask a run to end."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from nmcheck import interruption
from nmcheck.interruption import SIGNALS, asked, catch, check, held

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that no signal has reached, and its handlers afterwards."""
    monkeypatch.setattr(interruption, "_STATE", type(interruption._STATE)())
    before = {name: signal.getsignal(getattr(signal, name)) for name in SIGNALS}
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


def send(name: str) -> None:
    os.kill(os.getpid(), getattr(signal, name))
    time.sleep(0)  # where Python looks for signals


@pytest.mark.parametrize("name", SIGNALS)
def test_each_is_as_ctrl_c(name: str) -> None:
    catch(lambda: None)
    check()
    with pytest.raises(KeyboardInterrupt):
        send(name)
    assert asked()


def test_what_the_parent_had_ignored_is_ignored() -> None:
    """As nohup does."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    catch(lambda: None)
    send("SIGHUP")
    assert not asked()


def test_an_interruption_that_was_lost_comes_again() -> None:
    catch(lambda: None)
    with pytest.raises(KeyboardInterrupt):
        send("SIGTERM")
    found = []
    other = threading.Thread(target=lambda: found.append(check()))
    other.start()
    other.join()
    assert found == [None]
    with pytest.raises(KeyboardInterrupt):
        check()


def test_a_second_signal_right_behind_is_the_same_wish_and_a_later_one_ends_at_once(monkeypatch) -> None:
    ended = []
    catch(lambda: ended.append(True))
    with pytest.raises(KeyboardInterrupt):
        send("SIGINT")
    send("SIGTERM")
    assert ended == []
    monkeypatch.setattr(interruption, "PATIENCE", 0.0)
    send("SIGTERM")
    assert ended == [True]


def test_steps_that_belong_together_are_held_together() -> None:
    catch(lambda: None)
    done = []

    def steps() -> None:
        with held():
            with held():
                send("SIGTERM")
                done.append("inner")
            send("SIGINT")
            done.append("outer")

    with pytest.raises(KeyboardInterrupt):
        steps()
    assert done == ["inner", "outer"]
