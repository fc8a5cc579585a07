"""Something done by a process that is forked from the tests'."""

import os
import warnings
from collections.abc import Callable


def forked(action: Callable[[], object]) -> int:
    """Its exit code: 0, 1 if it failed, or the negative number of the signal that ended it."""
    with warnings.catch_warnings():
        # Python warns of other threads' locks, none of which is waited for.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
