import json
import socket
import threading

import drawn_networks
import models
import onnx
import pytest
from server_client import ask

from nmcheck.errors import ModelError, UsageError
from nmcheck_netron.server import LOOPBACK, serve
from nmcheck_netron.site import site

pytestmark = pytest.mark.usefixtures("netron")


@pytest.fixture(scope="module")
def server(netron, tmp_path_factory):
    made = models.mlp()
    path = models.write(made, tmp_path_factory.mktemp("drawn"))
    (path.parent / "secret.json").write_text("{}")
    with serve(site(path, drawn_networks.overlay_on(made)), 0) as running:
        yield running


def test_the_page_opens_the_model_and_asks_nobody(server):
    status, headers, body = ask(server, "/")
    page = body.decode()
    assert status == 200
    assert '<meta name="version" content="0.0.0">' in page
    assert '<meta name="date"' not in page
    assert '<meta name="file" content="/data/model.onnx">' in page
    assert "nmcheck/overlay.js" in page
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["script-src"] == policy["connect-src"] == "'self'"
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "hosts",
    [["evil.example"], ["evil.example:{port}"], ["127.0.0.1"], ["localhost:1"], ["127.0.0.1.evil.example:{port}"], [],
     ["127.0.0.1:{port}", "evil.example"], [""]],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/data/model.onnx", "/nmcheck/overlay.json", "/nothing"])
def test_foreign_host_is_refused(server, hosts, path):
    status, _, body = ask(server, path, [host.format(port=server.server_port) for host in hosts])
    assert status == 403
    assert b"nm" not in body


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}"])
def test_loopback_host_is_answered(server, host):
    assert ask(server, "/", [host.format(port=server.server_port)])[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../netron/index.html", "/..", "/%2e%2e/secret.json", "/..%2fsecret.json", "/data/../index.html", "/server.py",
        "/__init__.py", "/__pycache__", "/data/secret.json", "/data/", "/nmcheck/", "/nmcheck/../index.js",
        "/nmcheck/__init__.py", "//etc/passwd", "/etc/passwd", "/static/overlay.js", "/index.js/", "/index%2ehtml",
        "/view.js%00", "/C:/index.html", "/..\\index.html",
    ],
)  # fmt: skip
def test_only_listed_addresses_exist(server, path):
    assert ask(server, path)[0] == 404


def test_every_listed_file_is_a_web_file_of_netron(server):
    assert {path.suffix for path in server.site.netron.paths.values()} <= {
        ".html", ".js", ".css", ".json", ".png", ".ico",
    }  # fmt: skip
    assert all(path.parent == server.site.netron.folder for path in server.site.netron.paths.values())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT"])
def test_nothing_can_be_written(server, method):
    status, headers, _ = ask(server, "/", method=method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_head_has_no_body(server):
    status, headers, body = ask(server, "/data/model.onnx", method="HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) == len(ask(server, "/data/model.onnx")[2])


def test_it_listens_on_the_loopback_interface_alone(server):
    assert server.socket.getsockname()[0] == "127.0.0.1"
    outer = socket.gethostbyname(socket.gethostname())
    if outer.startswith("127."):
        pytest.skip("this machine has no other address to try")
    with pytest.raises(OSError):  # noqa: PT011
        socket.create_connection((outer, server.server_port), timeout=2)


def test_the_overlay_speaks_of_the_drawn_nodes(server):
    document = json.loads(ask(server, "/nmcheck/overlay.json")[2])
    model = onnx.load_from_string(ask(server, "/data/model.onnx")[2])
    names = [node.name for node in model.graph.node]
    assert [value[0] for value in document["metrics"][0]["values"]] == names
    assert document["missing"] == []


def test_the_style_sheet_has_netrons_rules_and_ours(server):
    sheet = ask(server, "/grapher.css")[2].decode()
    assert sheet.index(".node-item-type path") < sheet.index(".nmc-0 >")


def test_a_model_file_named_like_markup_is_text(tmp_path):
    made = models.mlp()
    path = models.write(made, tmp_path, '"><script>alert(1)<!--.onnx')
    with serve(site(path, drawn_networks.overlay_on(made)), 0) as running:
        page = ask(running, "/")[2].decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;!--.onnx" in page


def test_a_browser_that_hangs_up_is_no_error(server, capfd):
    for _ in range(5):
        with socket.create_connection((LOOPBACK, server.server_port)) as connection:
            request = f"GET /view.js HTTP/1.1\r\nHost: {LOOPBACK}:{server.server_port}\r\n\r\n"
            connection.sendall(request.encode())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert ask(server, "/")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_a_taken_port_is_said_in_a_sentence(server):
    with (
        pytest.raises(UsageError, match=f"Port {server.server_port} .* choose another --port"),
        serve(server.site, server.server_port),
    ):
        pass


def test_nothing_is_left_when_it_is_closed(server):
    before = threading.active_count()
    with serve(server.site, 0) as other:
        port = other.server_port
        assert ask(other, "/")[0] == 200
    assert threading.active_count() <= before + 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, port), timeout=2)


def test_bad_model_is_said_in_a_sentence(tmp_path):
    path = tmp_path / "no.onnx"
    with pytest.raises(ModelError, match="no such file"):
        site(path, drawn_networks.full_overlay())
    path.write_bytes(b"\x08\xff\xffnot a model")
    with pytest.raises(ModelError, match="ONNX"):
        site(path, drawn_networks.full_overlay())
