"""Attacks on the viewer's server: by other users of the machine, by other pages in the browser, by other programs."""

import socket
import time

import drawn_networks
import models
import onnx
import pytest
from server_client import ask, cookie_of, send

from nmcheck_netron.access import Access
from nmcheck_netron.connections import MOST, Connections
from nmcheck_netron.server import LOOPBACK, serve
from nmcheck_netron.site import site

pytestmark = pytest.mark.usefixtures("netron")

ADDRESSES = ("/", "/index.html", "/data/model.onnx", "/nmcheck/overlay.json", "/nmcheck/overlay.js", "/view.js",
             "/grapher.css", "/favicon.ico", "/nothing", "/..%2f..%2fetc/passwd")  # fmt: skip


@pytest.fixture(scope="module")
def drawn(netron, tmp_path_factory):
    made = models.mlp()
    return site(models.write(made, tmp_path_factory.mktemp("drawn")), drawn_networks.overlay_on(made))


@pytest.fixture(scope="module")
def server(drawn):
    with serve(drawn, 0) as running:
        yield running


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nothing_is_answered_without_the_cookie(server, address, method):
    status, _, body = ask(server, address, method=method, cookie=False)
    assert status == 403
    assert body == (b"" if method == "HEAD" else b"Open the address that nmcheck view has printed.\n")


@pytest.mark.parametrize(
    "cookie",
    ["", "nmcheck-{port}=", "nmcheck-{port}=x", "{pair}x", "nmcheck-1={secret}", "NMCHECK-{port}={secret}", "{secret}",
     "x{pair}", "nmcheck-{port}={token}", "a={pair}", "\xe9\xff=\xff", "consent=1", ";" * 5000],
)  # fmt: skip
def test_a_cookie_that_is_guessed_is_none(server, cookie):
    pair = cookie_of(server)
    values = {"pair": pair, "secret": pair.partition("=")[2], "token": server.access.token, "port": server.server_port}
    header = ("Cookie", cookie.format(**values).encode("latin-1"))
    assert ask(server, "/data/model.onnx", headers=[header], cookie=False)[0] == 403


@pytest.mark.parametrize("others", ["consent=1; {pair}", "{pair}; consent=1", "a=b;{pair}", "_ga=GA1.2.3;  {pair}  "])
def test_the_cookie_counts_among_others(server, others):
    header = ("Cookie", others.format(pair=cookie_of(server)))
    assert ask(server, "/data/model.onnx", headers=[header], cookie=False)[0] == 200


@pytest.mark.parametrize(
    "query",
    ["?token=", "?token={half}", "?token={token}x", "?token=x{token}", "?{token}", "?Token={token}", "?token={upper}",
     "?token={token}&a=b", "?a=b&token={token}", "?token=%00", "?token=\xe9", "?token={token}%20", "?", "?token",
     "?token==", "?token={cookie}", "?token[]={token}"],
)  # fmt: skip
def test_a_token_that_is_guessed_or_changed_opens_nothing(server, query):
    token = server.access.token
    secret = cookie_of(server).partition("=")[2]
    values = {"token": token, "half": token[:20], "upper": token.swapcase(), "cookie": secret}
    given = f"/{query.format(**values)}".encode("latin-1")
    answer = send(server, b"GET " + given + f" HTTP/1.1\r\nHost: {LOOPBACK}:{server.server_port}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"Set-Cookie" not in answer


def test_the_token_is_changed_for_a_cookie_that_scripts_and_other_sites_do_not_get(server):
    for _ in range(2):
        status, headers, body = ask(server, f"/?token={server.access.token}", cookie=False)
        assert (status, headers["Location"], body) == (303, "/", b"")
        pair, *rules = headers["Set-Cookie"].split("; ")
        assert rules == ["Path=/", "HttpOnly", "SameSite=Strict"]
        assert ask(server, "/", headers=[("Cookie", pair)], cookie=False)[0] == 200


def test_the_token_opens_no_other_address(server):
    for address in ADDRESSES[1:]:
        assert ask(server, f"{address}?token={server.access.token}", cookie=False)[0] == 403


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_address_that_a_browser_is_started_with_is_good_once(server, method):
    address = server.url_for_one_visit().removeprefix(server.origin)
    assert server.access.token not in address
    assert ask(server, address, method=method, cookie=False)[0] == 303
    assert ask(server, address, cookie=False)[0] == 403


def test_secrets_are_long_and_each_server_has_its_own():
    first, second = Access(8000), Access(8000)
    assert first.token != second.token
    assert first.cookie != second.cookie
    assert len(first.token) >= 43  # 32 bytes
    assert len({first.ticket() for _ in range(100)}) == 100


def test_secrets_stand_in_no_page(server):
    secrets = [server.access.token.encode(), cookie_of(server).partition("=")[2].encode()]
    for address in ADDRESSES:
        _, headers, body = ask(server, address)
        assert not any(secret in body or secret.decode() in str(headers) for secret in secrets)


FOREIGN = [
    [("Origin", "https://evil.example")],
    [("Origin", "null")],
    [("Origin", "http://127.0.0.1:1")],
    [("Origin", "http://localhost.evil.example")],
    [("Origin", "https://{host}")],
    [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "script")],
    [("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty")],
    [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")],
    [("Sec-Fetch-Site", "cross-site")],
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("address", ["/", "/data/model.onnx", "/?token={token}"])
def test_another_page_in_the_browser_is_refused_even_with_cookie_and_token(server, headers, address):
    given = [(name, value.format(host=f"{LOOPBACK}:{server.server_port}")) for name, value in headers]
    status, _, body = ask(server, address.format(token=server.access.token), headers=given)
    assert (status, body) == (403, b"Only for this machine.\n")


@pytest.mark.parametrize(
    "headers",
    [[("Origin", "http://{host}")], [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "cors")],
     [("Sec-Fetch-Site", "none"), ("Sec-Fetch-Mode", "navigate")],
     [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")]],
)  # fmt: skip
def test_the_page_itself_and_a_link_to_it_are_answered(server, headers):
    given = [(name, value.format(host=f"{LOOPBACK}:{server.server_port}")) for name, value in headers]
    assert ask(server, "/", headers=given)[0] == 200


HOST = b"Host: %b\r\n"
REQUESTS = {
    "200": (b"GET / HTTP/1.1\r\nCookie: %c\r\n" + HOST + b"\r\n", 200),
    "303": (b"GET /?token=%t HTTP/1.1\r\n" + HOST + b"\r\n", 303),
    "no cookie": (b"GET / HTTP/1.1\r\n" + HOST + b"\r\n", 403),
    "no host": (b"GET / HTTP/1.1\r\nCookie: %c\r\n\r\n", 403),
    "HTTP/1.0 without a host": (b"GET / HTTP/1.0\r\nCookie: %c\r\n\r\n", 403),
    "HTTP/0.9": (b"GET /\r\n\r\n", 403),
    "not there": (b"GET /nothing HTTP/1.1\r\nCookie: %c\r\n" + HOST + b"\r\n", 404),
    "address of another server": (b"GET http://evil.example/ HTTP/1.1\r\nCookie: %c\r\n" + HOST + b"\r\n", 404),
    "address that no URL parser takes": (b"GET //[ HTTP/1.1\r\nCookie: %c\r\n" + HOST + b"\r\n", 404),
    "climbing": (b"GET /../../etc/passwd HTTP/1.1\r\nCookie: %c\r\n" + HOST + b"\r\n", 404),
    "POST": (b"POST / HTTP/1.1\r\nCookie: %c\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc", 405),
    "method with markup": (b"<script> / HTTP/1.1\r\n" + HOST + b"\r\n", 405),
    "no request": (b"\x16\x03\x01\x02\x00\x01\x00 x y z\r\n\r\n", 400),
    "version that is none": (b"GET / HTTP/x\r\n" + HOST + b"\r\n", 400),
    "version of the future": (b"GET / HTTP/3.0\r\n" + HOST + b"\r\n", 505),
    "long address": (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
    "long header": (b"GET / HTTP/1.1\r\nA: " + b"a" * 70_000 + b"\r\n\r\n", 431),
    "many headers": (b"GET / HTTP/1.1\r\n" + b"A: a\r\n" * 200 + b"\r\n", 431),
    "expects to go on": (b"GET / HTTP/1.1\r\nExpect: 100-continue\r\nCookie: %c\r\n" + HOST + b"\r\n", 200),
    "second request smuggled": (
        b"GET / HTTP/1.1\r\nCookie: %c\r\n" + HOST + b"Content-Length: 40\r\n\r\nGET /data/model.onnx HTTP/1.1\r\n\r\n",
        200,
    ),
    "range": (b"GET /view.js HTTP/1.1\r\nRange: bytes=0-3\r\nCookie: %c\r\n" + HOST + b"\r\n", 200),
}  # fmt: skip


@pytest.mark.parametrize("name", REQUESTS)
def test_every_answer_has_the_headers_that_keep_it_in_place(server, name):
    template, status = REQUESTS[name]
    request = template
    host = f"{LOOPBACK}:{server.server_port}"
    for mark, value in ((b"%c", cookie_of(server)), (b"%t", server.access.token), (b"%b", host)):
        request = request.replace(mark, value.encode())
    head, _, body = send(server, request).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert head.count(b"HTTP/1.1 ") == 1
    headers = head.decode("latin-1").split("\r\n")[1:]
    policy = next(line for line in headers if line.startswith("Content-Security-Policy: "))
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    for wanted in ("Cache-Control: no-store", "X-Content-Type-Options: nosniff", "Referrer-Policy: no-referrer",
                   "Cross-Origin-Resource-Policy: same-origin", "Cross-Origin-Opener-Policy: same-origin",
                   "Connection: close"):  # fmt: skip
        assert wanted in headers
    # One answer, and nothing of the request in it.
    assert b"HTTP/1.1" not in body
    assert b"<script>" not in body or status == 200
    assert status == 200 or len(body) < 60


def test_no_weight_is_served(server):
    model = onnx.load_from_string(ask(server, "/data/model.onnx")[2])
    assert len(model.graph.initializer) > 1
    for tensor in model.graph.initializer:
        assert {field.name for field, _ in tensor.ListFields()} <= {"name", "dims", "data_type"}


@pytest.mark.parametrize("start", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_a_request_that_never_ends_is_hung_up_on(drawn, start):
    with serve(drawn, 0, Connections(asking=0.3)) as server:
        with socket.create_connection((LOOPBACK, server.server_port), timeout=10) as slow:
            began = time.monotonic()
            slow.sendall(start)
            assert b"200" not in slow.recv(1000)
            assert 0.2 < time.monotonic() - began < 5
        assert ask(server, "/")[0] == 200


def test_a_byte_now_and_then_gains_no_time(drawn):
    with serve(drawn, 0, Connections(asking=0.5)) as server, socket.socket() as slow:
        slow.connect((LOOPBACK, server.server_port))
        began = time.monotonic()
        with pytest.raises(OSError):  # noqa: PT011, PT012
            while time.monotonic() - began < 20:
                slow.sendall(b"G")
                time.sleep(0.05)
        assert time.monotonic() - began < 10


def test_an_answer_that_is_not_taken_is_given_up(drawn):
    with serve(drawn, 0, Connections(answering=0.3)) as server, socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        lazy.connect((LOOPBACK, server.server_port))
        head = f"GET /view.js HTTP/1.1\r\nHost: {LOOPBACK}:{server.server_port}\r\nCookie: {cookie_of(server)}\r\n\r\n"
        lazy.sendall(head.encode())
        time.sleep(1)
        assert not server.connections.open
        assert ask(server, "/")[0] == 200


def test_many_connections_keep_nobody_out(drawn):
    with serve(drawn, 0) as server:
        crowd = []
        try:
            for _ in range(2 * MOST):
                crowd.append(socket.create_connection((LOOPBACK, server.server_port), timeout=10))
            began = time.monotonic()
            for address in ("/", "/view.js", "/data/model.onnx"):
                assert ask(server, address)[0] == 200
            assert time.monotonic() - began < 5
            assert server.connections.open <= MOST
        finally:
            for one in crowd:
                one.close()


def test_where_all_are_being_answered_the_next_one_has_to_wait():
    connections = Connections()
    pairs = [socket.socketpair() for _ in range(MOST + 1)]
    for _, mine in pairs[:-1]:
        assert connections.add(mine)
        connections.asked(mine)
    assert not connections.add(pairs[-1][1])
    connections.remove(pairs[0][1])
    assert connections.add(pairs[-1][1])
    connections.close_all()
    assert connections.open == 0
    for pair in pairs:
        for end in pair:
            end.close()
