import gzip
import hashlib
import http.server
import struct
import threading
from functools import partial

import numpy as np
import pytest

from nmcheck.data import read_data
from nmcheck.data.download import REMOTE, RemoteSet, read_remote
from nmcheck.errors import DataError


def test_embedded_mnist():
    data = read_data("mnist", None)
    assert data.images.shape == (10_000, 28, 28)
    assert data.images.dtype == np.uint8
    assert data.labels is not None
    # The class sizes of the official test set, and its first labels.
    assert np.bincount(data.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert data.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.array_equal(read_data("mnist:test", None).images, data.images)


def test_embedded_mnist_is_the_official_file(shared_data):
    official = read_data(f"{shared_data / 'mnist.npz'}:test", None)
    embedded = read_data("mnist", None)
    assert np.array_equal(official.images, embedded.images)
    assert official.labels is not None
    assert embedded.labels is not None
    assert np.array_equal(official.labels, embedded.labels)


@pytest.mark.parametrize("spec", ["nothing.npz", "cifar10", "mnist:valid", "", ":train", "a\0b", "x" * 5000])
def test_no_such_data(spec):
    with pytest.raises(DataError):
        read_data(spec, None)


def test_other_files(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("1,2")
    with pytest.raises(DataError, match=r"not a \.npz file"):
        read_data(str(path), None)


def test_an_empty_folder(tmp_path):
    with pytest.raises(DataError):
        read_data(str(tmp_path), None)


def test_a_range_reaches_the_data(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.full((2, 3, 3), -1.0))
    data = read_data(str(tmp_path / "d.npz"), (-1.0, 1.0))
    assert (data.pixels(np.arange(2)) == 0).all()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):  # noqa: A002
        pass


@pytest.fixture
def remote(tmp_path):
    """A data set on a server of our own, the server, and an empty cache."""
    folder = tmp_path / "served"
    folder.mkdir()
    md5 = {}
    for name, shape in (("t10k-images-idx3-ubyte.gz", (2, 3, 4)), ("t10k-labels-idx1-ubyte.gz", (2,))):
        array = np.ones(shape, dtype=np.uint8)
        content = bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()
        (folder / name).write_bytes(gzip.compress(content))
        md5[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield RemoteSet("toy", f"http://127.0.0.1:{server.server_port}/", md5), server, tmp_path / "cache"
    server.shutdown()
    thread.join()
    server.server_close()


def test_downloads_once(remote, capfd):
    source, server, cache = remote
    images, labels = read_remote(source, "test", cache)
    assert (images.shape, labels.shape) == ((2, 3, 4), (2,))
    server.shutdown()
    again, _ = read_remote(source, "test", cache)
    assert np.array_equal(images, again)
    assert capfd.readouterr().out == ""


def test_a_wrong_checksum_is_refused(remote):
    source, _, cache = remote
    wrong = RemoteSet(source.name, source.base, dict.fromkeys(source.md5, "0" * 32))
    with pytest.raises(DataError, match="toy:test could not be downloaded"):
        read_remote(wrong, "test", cache)


def test_no_network(tmp_path):
    md5 = REMOTE["mnist"].md5
    with pytest.raises(DataError, match=r"check the network, or put the four idx files into a folder"):
        read_remote(RemoteSet("toy", "http://127.0.0.1:9/", md5), "train", tmp_path)
