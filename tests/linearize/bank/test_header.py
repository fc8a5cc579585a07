"""A build goes on with its own bank only."""

from dataclasses import fields, replace

import pytest
from linearize.bank.stored import Bank

from nmcheck.linearize.bank import store
from nmcheck.linearize.bank.header import Header
from nmcheck.linearize.bank.storage import Storage


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"model_fingerprint": "1" * 64}, "another model"),
        ({"data_sha256": "1" * 64}, "another choice of images"),
        ({"scale": "byte"}, "another --scale"),
        ({"cut": "other"}, "another --cut"),
        ({"linearizer": "averaged"}, "another --linearizer"),
        ({"sigma": 0.1}, "another --sigma"),
        ({"wanted": 9}, r"another number of points -k \(4, not 9\)"),
        ({"choice": "medoid"}, "another --points"),
        ({"seed": 4}, "another --seed"),
        ({"gain": (2.0,)}, r"another factor of the input scaling \(1\.0, not 2\.0\)"),
        ({"classes": 8}, r"another number of classes \(3, not 8\)"),
        ({"input_shape": (1, 64)}, r"another input shape \(1, 1, 8, 8, not 1, 64\)"),
        (
            {"storage": Storage("gram", 0, "float32")},
            r"another --store or --dtype \(gram in float16, not gram in float3",
        ),
        ({"storage": Storage("low-rank", 4, "float32")}, r"\(gram in float16, not low-rank:4 in float32\)"),
    ],
)
def test_a_build_goes_on_with_its_own_bank_only(bank: Bank, change, what: str) -> None:
    import re

    reason = bank.header.refusal_to_continue(replace(bank.header, **change))
    assert reason is not None
    assert re.search(what, reason)


def test_every_field_of_a_header_that_must_agree_is_named(bank: Bank) -> None:
    """A field added later is compared too, or stated here not to be."""
    compared = {field.name for field in fields(Header)} - {"points", "arithmetic"}
    for name in compared:
        other = replace(bank.header)
        object.__setattr__(other, name, "another value")  # of no right type, which the constructor would refuse
        reason = bank.header.refusal_to_continue(other)
        assert reason is not None, name
        assert "not another value)" in reason
        assert "_" not in reason


def test_how_numbers_are_computed_is_the_banks_own_matter(bank: Bank) -> None:
    other = replace(bank.header, arithmetic=replace(bank.header.arithmetic, chunk=99))
    assert bank.header.refusal_to_continue(other) is None
    assert store.FORMAT == "nmcheck bank"
