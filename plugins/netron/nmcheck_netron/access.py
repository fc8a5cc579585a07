"""Who may see the page: whoever knows the token of its address, and then has the cookie that it was changed for.

Everybody on this machine can reach a port of the loopback interface, and every page in the browser can send requests
there. The token is in what ``nmcheck view`` prints; the browser is opened with a ticket instead, which is good for one
visit, because the command line of a program is there for all users of the machine to read.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from hmac import compare_digest
from threading import Lock

_TOKEN = "token="
_BYTES = 32


class Access:
    """Secrets of one server.

    Args:
        port: of the server; cookies know no ports, so the name of this one holds it.

    Attributes:
        token: good for as many visits as wanted.
        cookie: what a visit is given, as ``Set-Cookie`` has it: not for scripts, and not sent from other sites.
    """

    def __init__(self, port: int) -> None:
        self.token = secrets.token_urlsafe(_BYTES)
        self._pair = f"nmcheck-{port}={secrets.token_urlsafe(_BYTES)}"
        self.cookie = f"{self._pair}; Path=/; HttpOnly; SameSite=Strict"
        self._tickets: set[str] = set()
        self._lock = Lock()

    def ticket(self) -> str:
        """A token that is good for one visit."""
        made = secrets.token_urlsafe(_BYTES)
        with self._lock:
            self._tickets.add(made)
        return made

    def admits(self, query: str) -> bool:
        """Whether what stands behind the question mark of an address is the token, or a ticket, which that uses up."""
        given = query.removeprefix(_TOKEN) if query.startswith(_TOKEN) else ""
        if _same(given, self.token):
            return True
        with self._lock:
            known = next((ticket for ticket in self._tickets if _same(given, ticket)), None)
            if known is not None:
                self._tickets.remove(known)
        return known is not None

    def knows(self, cookies: Sequence[str]) -> bool:
        """Whether one of the request's ``Cookie`` headers has the cookie."""
        return any(_same(pair.strip(), self._pair) for header in cookies for pair in header.split(";"))


def address(origin: str, token: str) -> str:
    """Of the page, with a token or a ticket."""
    return f"{origin}/?{_TOKEN}{token}"


def _same(given: str, secret: str) -> bool:
    """Compared in a time that tells nothing of where they differ."""
    return compare_digest(given.encode(errors="replace"), secret.encode())
