"""The ``nmcheck`` command, also as ``python -m nmcheck``: what is to be in place before anything else is loaded."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from nmcheck.cli.streams import open_descriptors
from nmcheck.interruption import catch, ignore
from nmcheck.temporary import remove_all

_KEPT, _BLOCK = 2**28, 2**25
"""Bytes: enough for what one step of a relaxation frees, and blocks too large to be worth keeping."""
_COULD_NOT, _INTERNAL, _INTERRUPTED = 3, 4, 130


def main() -> NoReturn:
    """The console script."""
    open_descriptors()
    catch(_end_at_once)
    sys.unraisablehook = _unraisable
    # torch makes a folder there when it is loaded, by default in the temporary folder; nothing here compiles anything.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(__file__).parent))
    try:
        code = _run()
    except KeyboardInterrupt:
        code = _ended("Interrupted.", _INTERRUPTED)
    except MemoryError:
        code = _ended("There is not enough memory to load nmcheck.", _COULD_NOT)
    except Exception as error:
        # Python's own 1 would mean that a gate failed.
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        code = _ended(f"nmcheck cannot be loaded ({reason}); install it again.", _INTERNAL)
    ignore()
    # Python called with -m ends by SIGINT, whatever the code, if a KeyboardInterrupt has ever left the text of an exec,
    # as dataclasses are made of; the next exec makes it forget that.
    exec("")
    sys.exit(code)


def _run() -> int:
    from nmcheck.allocator import keep_freed_memory
    from nmcheck.cli.app import run

    keep_freed_memory(_KEPT, _BLOCK)
    return run()


def _ended(sentence: str, code: int) -> int:
    with suppress(OSError, ValueError):
        print(f"Error: {sentence}", file=sys.stderr, flush=True)
    return code


def _end_at_once() -> NoReturn:
    """What a signal does when an earlier one has not ended the run. Workers see that this process is gone."""
    remove_all()
    with suppress(OSError):
        os.write(2, b"Error: Interrupted.\n")
    os._exit(_INTERRUPTED)


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    """An interruption that Python cannot hand on is raised again by the next step."""
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(lost)


if __name__ == "__main__":
    main()
