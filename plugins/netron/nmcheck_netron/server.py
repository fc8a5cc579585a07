"""A web server for one page on this machine: the loopback interface only, listed addresses only, reading only."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from nmcheck.errors import UsageError
from nmcheck_netron.site import Site

LOOPBACK = "127.0.0.1"
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
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Server(ThreadingHTTPServer):
    """Answers until it is closed.

    Args:
        site: what it hands out.
        port: port to listen on; 0 takes a free one.
    """

    daemon_threads = True
    block_on_close = False
    # Another program's port is never shared, whatever the system would allow.
    allow_reuse_port = False

    def __init__(self, site: Site, port: int) -> None:
        super().__init__((LOOPBACK, port), _Handler)
        self.site = site
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{LOOPBACK}:{self.server_port}/"

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

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a browser that hung up."""


@contextmanager
def serve(site: Site, port: int) -> Iterator[Server]:
    """A server that answers inside the ``with`` block.

    Raises:
        UsageError: the port is taken or may not be used.
    """
    try:
        server = Server(site, port)
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
    server_version = "nmcheck"
    sys_version = ""
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        if not self._from_this_machine():
            self._send(HTTPStatus.FORBIDDEN, "text/plain", b"Only for this machine.\n", with_body=with_body)
            return
        found = self.server.site.answers.get(urlsplit(self.path).path)
        if found is None:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"Not here.\n", with_body=with_body)
            return
        kind, content = found
        self._send(HTTPStatus.OK, kind, content(), with_body=with_body)

    def _from_this_machine(self) -> bool:
        """Whether the page was asked for by a loopback name: a foreign name may be pointed here by its owner."""
        port = self.server.server_port
        hosts = self.headers.get_all("Host") or []
        return len(hosts) == 1 and hosts[0].lower() in (f"{LOOPBACK}:{port}", f"localhost:{port}")

    def _send(self, status: HTTPStatus, kind: str, content: bytes, *, with_body: bool) -> None:
        with suppress(ConnectionError):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            # Netron asks first thing whether it may set cookies; it has none to set here.
            self.send_header("Set-Cookie", "consent=1; Path=/; SameSite=Strict")
            self.end_headers()
            if with_body:
                self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""
