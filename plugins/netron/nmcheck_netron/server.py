"""A web server for one page on this machine: the loopback interface only, listed addresses only, reading only.

An answer is given to who has the cookie of ``access``, asks by a name of this machine, and comes from no other site.
Each connection is good for one request, so that one that is kept open holds nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Any

from nmcheck.errors import UsageError
from nmcheck_netron.access import Access, address
from nmcheck_netron.connections import Connections
from nmcheck_netron.site import Site

LOOPBACK = "127.0.0.1"
_TEXT = "text/plain; charset=utf-8"
_FOREIGN, _CLOSED = b"Only for this machine.\n", b"Open the address that nmcheck view has printed.\n"
_MEMBERS = ("same-origin", "none")
"""What a browser says of a request that the page itself, or its user, makes (``Sec-Fetch-Site``)."""
_HEADERS = {
    # Netron's page may ask nobody but this server for anything.
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'self'",
            "script-src 'self'",
            "connect-src 'self'",
            "img-src 'self' data: blob:",
            "style-src 'self' 'unsafe-inline'",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    ),
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Server(ThreadingHTTPServer):
    """Answers until it is closed.

    Args:
        site: what it hands out.
        port: port to listen on; 0 takes a free one.
        connections: keeps those that are open.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    # Another program's port is never shared, whatever the system would allow.
    allow_reuse_port = False

    def __init__(self, site: Site, port: int, connections: Connections | None = None) -> None:
        super().__init__((LOOPBACK, port), _Handler)
        self.site = site
        self.access = Access(self.server_port)
        self.connections = connections or Connections()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)

    @property
    def origin(self) -> str:
        """Address without a path, for requests that have the cookie."""
        return f"http://{LOOPBACK}:{self.server_port}"

    @property
    def url(self) -> str:
        """Address of the page, with the token."""
        return address(self.origin, self.access.token)

    def url_for_one_visit(self) -> str:
        """Address of the page that can be opened once."""
        return address(self.origin, self.access.ticket())

    def start(self) -> None:
        """Answer in the background."""
        self._thread.start()

    def wait(self) -> None:
        """Return when the user interrupts the program."""
        with suppress(KeyboardInterrupt):
            while self._thread.is_alive():
                self._thread.join(0.5)

    def stop(self) -> None:
        """Answer no more."""
        self.shutdown()
        self.server_close()
        self.connections.close_all()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, if there is room."""
        if self.connections.add(request):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self.connections.remove(request)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Every tenth of a second."""
        self.connections.close_overdue()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a browser that hung up."""


@contextmanager
def serve(site: Site, port: int, connections: Connections | None = None) -> Iterator[Server]:
    """A server that answers inside the ``with`` block; arguments as those of ``Server``.

    Raises:
        UsageError: the port is taken or may not be used.
    """
    try:
        server = Server(site, port, connections)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"Port {port} of {LOOPBACK} cannot be used ({reason}); choose another --port or leave it out."
        ) from error
    server.start()
    try:
        yield server
    finally:
        server.stop()


class _Handler(BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]
    connection: socket
    server_version = "nmcheck"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    # Of one reading or writing; the whole is timed by the server's connections.
    timeout = 30

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.server.connections.asked(self.connection)
        path, _, query = self.path.partition("?")
        access = self.server.access
        if not self._from_this_machine():
            self._send(HTTPStatus.FORBIDDEN, _TEXT, _FOREIGN)
        elif path == "/" and access.admits(query):
            # The address that the browser shows, and remembers, is the one without the token.
            self._send(HTTPStatus.SEE_OTHER, _TEXT, b"", {"Location": "/", "Set-Cookie": access.cookie})
        elif not access.knows(self.headers.get_all("Cookie") or []):
            self._send(HTTPStatus.FORBIDDEN, _TEXT, _CLOSED)
        elif (found := self.server.site.answers.get(path)) is None:
            self._send(HTTPStatus.NOT_FOUND, _TEXT, b"Not here.\n")
        else:
            kind, content = found
            # Netron asks first thing whether it may set cookies; it has none to set here.
            self._send(HTTPStatus.OK, kind, content(), {"Set-Cookie": "consent=1; Path=/; SameSite=Strict"})

    def _from_this_machine(self) -> bool:
        """Whether the page was asked for by a loopback name, and by nobody else's page.

        A foreign name may be pointed here by its owner (DNS rebinding). A visit may begin with a link on another page.
        """
        port = self.server.server_port
        hosts = self.headers.get_all("Host") or []
        names = [f"{name}:{port}" for name in (LOOPBACK, "localhost")] + ([LOOPBACK, "localhost"] if port == 80 else [])
        if len(hosts) != 1 or hosts[0].lower() not in names:
            return False
        own = f"http://{hosts[0].lower()}"
        visit = (self.headers.get("Sec-Fetch-Mode"), self.headers.get("Sec-Fetch-Dest")) == ("navigate", "document")
        from_here = self.headers.get("Sec-Fetch-Site", "none") in _MEMBERS or visit
        return from_here and self.headers.get("Origin", own).lower() == own

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no request, or no reading, with the same headers as everything."""
        del explain
        self.server.connections.asked(self.connection)
        if code == HTTPStatus.NOT_IMPLEMENTED:
            self._send(HTTPStatus.METHOD_NOT_ALLOWED, _TEXT, b"Only GET and HEAD.\n", {"Allow": "GET, HEAD"})
        else:
            self._send(HTTPStatus(code), _TEXT, b"Not understood.\n")

    def handle_expect_100(self) -> bool:
        """Nobody's body is wanted, so nobody is told to go on."""
        return True

    def _send(self, status: HTTPStatus, kind: str, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        if self.request_version == "HTTP/0.9":
            # It has no headers, and these are wanted on every answer.
            self.request_version = "HTTP/1.0"
        with suppress(ConnectionError):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            for name, value in {**_HEADERS, **(headers or {}), "Connection": "close"}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""
