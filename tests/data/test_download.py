"""Data sets that are downloaded: over https only, whole or not at all, and kept where the user has a place."""

import gzip
import hashlib
import http.server
import struct
import threading
from functools import partial
from pathlib import Path

import models
import numpy as np
import pytest
from hostile_text import check_visible

from nmcheck.cli.app import run
from nmcheck.data.download import REMOTE, RemoteSet, cache_folder, fetch
from nmcheck.data.idx import open_idx
from nmcheck.data.values import ValueCheck
from nmcheck.errors import DataError

NAMES = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):  # noqa: A002
        pass


class Redirecting(http.server.BaseHTTPRequestHandler):
    """Sends everybody elsewhere."""

    target = ""

    def do_GET(self):
        self.send_response(302)
        self.send_header("Location", self.target + self.path)
        self.end_headers()

    def log_message(self, format, *args):  # noqa: A002
        pass


class Breaking(http.server.BaseHTTPRequestHandler):
    """Promises more than it sends."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        self.wfile.write(bytes(5000))

    def log_message(self, format, *args):  # noqa: A002
        pass


class Served:
    """Handlers at addresses of this machine, all of which end together."""

    def __init__(self) -> None:
        self.servers: list[tuple[http.server.ThreadingHTTPServer, threading.Thread]] = []

    def at(self, handler) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        self.servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/"

    def end(self) -> None:
        while self.servers:
            server, thread = self.servers.pop()
            server.shutdown()
            thread.join()
            server.server_close()


@pytest.fixture
def served():
    found = Served()
    yield found
    found.end()


@pytest.fixture
def folder(tmp_path) -> Path:
    """What a server has: a data set of two images."""
    made = tmp_path / "served"
    made.mkdir()
    for name, shape in zip(NAMES, ((2, 3, 4), (2,)), strict=True):
        content = bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape)
        (made / name).write_bytes(gzip.compress(content + bytes(int(np.prod(shape)))))
    return made


def remote(folder: Path, *bases: str) -> RemoteSet:
    return RemoteSet("toy", bases, {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in NAMES})


def test_downloads_once(served, folder, tmp_path, capfd):
    source = remote(folder, served.at(partial(Quiet, directory=str(folder))))
    first = fetch(source, "test", tmp_path / "cache", scheme="http")
    with open_idx(*first) as found:
        images = found.read(np.arange(2), ValueCheck("d", found.dtype, 3, None))
        assert found.labels is not None
        assert (images.shape, found.labels.shape) == ((2, 3, 4), (2,))
    served.end()
    assert fetch(source, "test", tmp_path / "cache", scheme="http") == first
    assert capfd.readouterr().out == ""


def test_every_named_set_comes_over_https_with_sha256():
    for source in REMOTE.values():
        assert all(base.startswith("https://") and base.endswith("/") for base in source.bases)
        assert len(source.sha256) == 4
        assert all(len(digest) == 64 and set(digest) <= set("0123456789abcdef") for digest in source.sha256.values())


def test_without_tls_nothing_is_asked_for(served, folder, tmp_path):
    asked = []

    class Noting(Quiet):
        def do_GET(self):
            asked.append(self.path)

    source = remote(folder, served.at(Noting))
    with pytest.raises(DataError, match=r"toy:test could not be downloaded from .* is not https"):
        fetch(source, "test", tmp_path / "cache")
    assert asked == []


def test_a_redirect_to_another_scheme_is_not_followed(served, folder, tmp_path):
    # Turned round, for a certificate is not to be had here: from the scheme that is allowed to one that is not.
    elsewhere = type("Elsewhere", (Redirecting,), {"target": "https://127.0.0.1:9"})
    source = remote(folder, served.at(elsewhere))
    with pytest.raises(DataError, match=r"leads to https://127.0.0.1:9/t10k-images-idx3-ubyte.gz, which is not http"):
        fetch(source, "test", tmp_path / "cache", scheme="http")


def test_a_redirect_within_the_scheme_is_followed(served, folder, tmp_path):
    there = served.at(partial(Quiet, directory=str(folder)))
    source = remote(folder, served.at(type("Elsewhere", (Redirecting,), {"target": there.rstrip("/")})))
    assert all(path.is_file() for path in fetch(source, "test", tmp_path / "cache", scheme="http"))


def test_a_second_address_stands_in_for_the_first(served, folder, tmp_path):
    source = remote(folder, "http://127.0.0.1:9/", served.at(partial(Quiet, directory=str(folder))))
    assert all(path.is_file() for path in fetch(source, "test", tmp_path / "cache", scheme="http"))


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content + b"x", lambda content: b""])
def test_other_content_is_refused_and_not_kept(served, folder, tmp_path, damage):
    source = remote(folder, served.at(partial(Quiet, directory=str(folder))))
    (folder / NAMES[0]).write_bytes(damage((folder / NAMES[0]).read_bytes()))
    with pytest.raises(DataError, match=r"toy:test could not be downloaded .*the checksums differ"):
        fetch(source, "test", tmp_path / "cache", scheme="http")
    assert list((tmp_path / "cache" / "toy").iterdir()) == []


def test_half_a_file_is_not_kept(served, folder, tmp_path):
    with pytest.raises(DataError, match="toy:test could not be downloaded"):
        fetch(remote(folder, served.at(Breaking)), "test", tmp_path / "cache", scheme="http")
    assert list((tmp_path / "cache" / "toy").iterdir()) == []


def test_a_file_damaged_in_the_cache_is_fetched_again(served, folder, tmp_path):
    source = remote(folder, served.at(partial(Quiet, directory=str(folder))))
    images, _ = fetch(source, "test", tmp_path / "cache", scheme="http")
    images.write_bytes(b"")
    assert fetch(source, "test", tmp_path / "cache", scheme="http")[0].read_bytes() == (folder / NAMES[0]).read_bytes()


def test_a_link_in_the_cache_does_not_lead_a_download_astray(served, folder, tmp_path):
    source = remote(folder, served.at(partial(Quiet, directory=str(folder))))
    mine, kept = tmp_path / "mine", tmp_path / "cache" / "toy" / NAMES[0]
    mine.write_text("mine")
    kept.parent.mkdir(parents=True)
    kept.symlink_to(mine)
    images, _ = fetch(source, "test", tmp_path / "cache", scheme="http")
    assert images.read_bytes() == (folder / NAMES[0]).read_bytes()
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("command", ["analyze", "bounds", "gate --init", "bank build"])
@pytest.mark.parametrize("cached", [None, b"", b"\x1b[2Jno idx file"], ids=["nothing", "empty", "damaged"])
def test_every_command_ends_in_one_sentence_where_a_set_is_not_to_be_had(
    tmp_path, monkeypatch, capsys, command, cached
):
    source = RemoteSet("fashion-mnist", ("https://127.0.0.1:9/",), REMOTE["fashion-mnist"].sha256)
    monkeypatch.setitem(REMOTE, "fashion-mnist", source)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model, output = models.write(models.small_lenet(), tmp_path), tmp_path / "output"
    if cached is not None:
        kept = cache_folder(source) / NAMES[0]
        kept.parent.mkdir(parents=True)
        kept.write_bytes(cached)
    before = model.read_bytes()
    line = [*command.split(), str(model), "--data", "fashion-mnist", "-o", str(output), "-q"]
    assert run([*line, "-k", "2"] if command == "bank build" else line) == 3
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    check_visible(error)
    assert error.startswith("Error: The data set fashion-mnist:test could not be downloaded from https://127.0.0.1:9/")
    assert model.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"cache", model.name}


def test_no_network(tmp_path):
    source = RemoteSet("toy", ("https://127.0.0.1:9/",), REMOTE["mnist"].sha256)
    with pytest.raises(DataError, match=r"check the network, or put the four idx files into a folder"):
        fetch(source, "train", tmp_path)


def test_a_cache_that_cannot_be_made_is_named(served, folder, tmp_path):
    (tmp_path / "cache").write_text("a file")
    source = remote(folder, served.at(partial(Quiet, directory=str(folder))))
    with pytest.raises(DataError, match=r"toy:test cannot be kept in .*cache/toy.*set XDG_CACHE_HOME"):
        fetch(source, "test", tmp_path / "cache", scheme="http")


def no_home(project):
    raise RuntimeError("could not determine the home directory")


@pytest.mark.parametrize("os_cache", [no_home, lambda project: Path("~/.cache/nmcheck")], ids=["error", "tilde"])
def test_without_a_home_nothing_is_made_in_the_working_folder(tmp_path, monkeypatch, os_cache):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pooch.os_cache", os_cache)
    with pytest.raises(DataError, match="no home folder; set XDG_CACHE_HOME"):
        fetch(REMOTE["fashion-mnist"], "test")
    assert list(tmp_path.iterdir()) == []
