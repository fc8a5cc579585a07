"""Questions to the viewer's server, byte by byte as a test wants them."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterable

from nmcheck_netron.server import LOOPBACK, Server

Answer = tuple[int, dict[str, str], bytes]


def ask(
    server: Server,
    path: str,
    host: Iterable[str] | None = None,
    method: str = "GET",
    headers: Iterable[tuple[str, str]] = (),
    *,
    cookie: bool = True,
) -> Answer:
    """Status, headers and body of an answer; by default asked as the page does, with the cookie."""
    connection = http.client.HTTPConnection(LOOPBACK, server.server_port, timeout=10)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for value in [f"{LOOPBACK}:{server.server_port}"] if host is None else host:
        connection.putheader("Host", value)
    for name, value in [*([("Cookie", cookie_of(server))] if cookie else []), *headers]:
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def cookie_of(server: Server) -> str:
    """What a browser sends back."""
    return server.access.cookie.partition(";")[0]


def send(server: Server, request: bytes) -> bytes:
    """All that comes back for some bytes."""
    with socket.create_connection((LOOPBACK, server.server_port), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))
