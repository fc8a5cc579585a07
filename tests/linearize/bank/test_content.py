from pathlib import Path

import numpy as np
import pytest
import torch
from linearize.bank.networks import header_of, lenet_graph, points_of

from nmcheck.errors import UsageError
from nmcheck.linearize.bank.content import (
    KeptInner,
    captured_energy,
    decode_inner,
    encode_factor,
    encode_rows,
    row_norms,
)
from nmcheck.linearize.bank.header import Header
from nmcheck.linearize.bank.header_text import header_from_json
from nmcheck.linearize.bank.low_rank import Matrix, dense_matrix, low_rank_factor
from nmcheck.linearize.bank.storage import parse_storage

P, N = 7, 64


@pytest.fixture
def headers(tmp_path: Path):
    graph = lenet_graph(tmp_path)
    points = points_of(graph)
    return lambda store, dtype: header_of(graph, "relu", points, store=store, dtype=dtype)[0]


def matrix(scale: float = 1.0, decay: float = 0.6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    left, right = (torch.linalg.qr(torch.randn(size, size, generator=generator)).Q for size in (P, N))
    return scale * (left * decay ** torch.arange(P)) @ right[:P]


def decoded(A: torch.Tensor, header: Header) -> KeptInner:
    storage = header.storage
    if storage.kind == "low-rank":
        content = encode_factor(row_norms(A), low_rank_factor(dense_matrix(A), storage.rank, 1), storage)
    else:
        content = encode_rows(A, storage)
    assert {name: (array.shape, array.dtype) for name, array in content.items()} == header.inner_arrays
    return decode_inner(content, header)


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
@pytest.mark.parametrize(
    ("store", "dtype", "error"),
    [
        ("gram", "float32", 5e-7),
        ("gram", "float16", 2**-11),
        ("full", "float32", 1e-6),
        ("full", "float16", 2**-10),
        ("low-rank:7", "float32", 1e-5),
        ("low-rank:7", "float16", 2**-10),
    ],
)
def test_the_gram_matrix_comes_back_whatever_its_scale(headers, scale, store, dtype, error) -> None:
    A = matrix(scale)
    found, gram = decoded(A, headers(store, dtype)), A.double() @ A.double().mT
    deviation = gram.diagonal().sqrt()
    assert ((found.gram - gram) / deviation[:, None] / deviation).abs().max() < error
    assert (found.gram.diagonal() / gram.diagonal() - 1).abs().max() < 2e-7
    assert (found.gram - found.gram.mT).abs().max() <= 1e-14 * gram.abs().max()
    assert (found.matrix is None) == (store != "full")
    if found.matrix is not None:
        assert ((found.matrix - A) / deviation[:, None]).abs().max() < 2**-11


def test_a_unit_that_nothing_moves_stays_one(headers) -> None:
    A = matrix()
    A[2] = 0
    for store in ("gram", "full", "low-rank:3"):
        found = decoded(A, headers(store, "float16"))
        assert found.gram.isfinite().all()
        assert not found.gram[2].any()
        assert not found.gram[:, 2].any()


@pytest.mark.parametrize("rank", [1, 3, 7, 20])
def test_a_factor_is_nearly_the_best_of_its_rank_and_never_too_much(rank: int) -> None:
    A = matrix()
    gram = A.double() @ A.double().mT
    factor = low_rank_factor(dense_matrix(A), rank, 0).double()
    assert factor.shape == (P, rank)
    left = torch.linalg.eigvalsh(gram - factor @ factor.mT)
    best = torch.linalg.eigvalsh(gram).flip(0)[rank:].sum()
    assert left.min() > -1e-6
    assert left.sum() < 1.01 * best + 1e-5
    if rank >= P:
        assert (gram - factor @ factor.mT).abs().max() < 1e-5


def test_a_factor_needs_products_only() -> None:
    A, calls = matrix(), []

    def times_rows(D: torch.Tensor) -> torch.Tensor:
        calls.append(len(D))
        return D @ A.mT

    bare = Matrix(P, N, times_rows, lambda W: W @ A)
    assert torch.equal(low_rank_factor(bare, 3, 0), low_rank_factor(dense_matrix(A), 3, 0))
    assert sum(calls) <= 2 * (3 + 8)


def test_captured_energy_is_the_share_of_the_squared_norm() -> None:
    A, storage = matrix(), parse_storage("low-rank:2", "float32")
    content = encode_factor(row_norms(A), low_rank_factor(dense_matrix(A), 2, 0), storage)
    values = torch.linalg.svdvals(A.double()) ** 2
    assert captured_energy(content) == pytest.approx(float(values[:2].sum() / values.sum()), rel=1e-3)
    assert captured_energy({name: np.zeros_like(array) for name, array in content.items()}) == 1.0


@pytest.mark.parametrize("text", ["low-rank", "low-rank:0", "low-rank:x", "low-rank:-1", "dense", "", "low-rank:64:2"])
def test_what_is_no_storage_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--store must be gram, full or low-rank:R"):
        parse_storage(text, "float16")


def test_the_type_must_be_one_of_two() -> None:
    with pytest.raises(UsageError, match="--dtype must be float16 or float32"):
        parse_storage("gram", "int8")
    for name in ("gram", "full", "low-rank:64"):
        assert parse_storage(name, "float32").name == name


def test_a_header_survives_its_text(headers) -> None:
    for store in ("gram", "low-rank:3"):
        header = headers(store, "float16")
        assert header_from_json(header.to_json(), Path("bank.h5")) == header
