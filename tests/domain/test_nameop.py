"""NameOps: what a script says, and what only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.domain.chain.nameop import (
    NAME_TX_VERSION,
    NameOp,
    NameOpCode,
    name_doi_script,
    parse_name_op,
    push,
    transaction_name_op,
)
from pinning_worker.domain.chain.transaction import Transaction, TxInput, TxOutput
from pinning_worker.domain.identities import NameBytes, Script, Txid
from pinning_worker.domain.money.swartz import Swartz

P2PKH = Script(bytes.fromhex("76a914") + bytes(20) + bytes.fromhex("88ac"))
P2WPKH = Script(b"\x00\x14" + bytes(20))
VALUE = b"ipfs://bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"


def test_the_bytes_of_a_name_doi() -> None:
    script = name_doi_script(NameBytes(b"art/1"), b"ipfs://x", P2PKH)
    assert script.hex() == "5a056172742f3108697066733a2f2f786d75" + P2PKH.hex()


@given(st.binary(max_size=255), st.binary(max_size=1023), st.sampled_from([P2PKH, P2WPKH]))
def test_a_name_doi_is_read_back(name: NameBytes, value: bytes, owner: Script) -> None:
    assert parse_name_op(name_doi_script(name, value, owner)) == NameOp(NameOpCode.NAME_DOI, name, value, owner)


@given(st.binary(max_size=1200))
def test_no_bytes_make_the_reader_raise(script: Script) -> None:
    parse_name_op(script)
    for op in NameOpCode:
        parse_name_op(Script(bytes((op.value,)) + script))


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (b"\x51" + push(b"h" * 20) + b"\x6d", NameOp(NameOpCode.NAME_NEW, None, None, P2PKH)),
        (
            b"\x52" + push(b"d/x") + push(b"rand") + push(b"v") + b"\x6d\x6d",
            NameOp(NameOpCode.NAME_FIRSTUPDATE, NameBytes(b"d/x"), b"v", P2PKH),
        ),
        (
            b"\x53" + push(b"d/x") + push(b"") + b"\x6d\x75",
            NameOp(NameOpCode.NAME_UPDATE, NameBytes(b"d/x"), b"", P2PKH),
        ),
        # ElectrumX takes exactly 6d 75; the node takes any run of drops and NOPs, one is enough.
        (b"\x5a" + push(b"n") + push(b"v") + b"\x75", NameOp(NameOpCode.NAME_DOI, NameBytes(b"n"), b"v", P2PKH)),
        (
            b"\x5a" + push(b"n") + push(b"v") + b"\x61\x6d\x75\x61",
            NameOp(NameOpCode.NAME_DOI, NameBytes(b"n"), b"v", P2PKH),
        ),
        # Pushes that are longer than needed are pushes.
        (b"\x5a\x4c\x01n\x4d\x01\x00v\x6d\x75", NameOp(NameOpCode.NAME_DOI, NameBytes(b"n"), b"v", P2PKH)),
    ],
)
def test_the_four_operations_as_the_node_reads_them(script: Script, expected: NameOp) -> None:
    assert parse_name_op(Script(script + P2PKH)) == expected


@pytest.mark.parametrize(
    "script",
    [
        b"",
        P2PKH,
        b"\x6a" + push(b"n") + push(b"v") + b"\x6d\x75",  # OP_RETURN
        b"\x5a" + push(b"n") + b"\x6d\x75" + P2PKH,  # one argument
        b"\x5a" + push(b"n") + push(b"v") + push(b"w") + b"\x6d\x6d" + P2PKH,  # three
        b"\x5a" + push(b"n") + push(b"v") + P2PKH,  # nothing is dropped
        b"\x5a" + push(b"n") + push(b"v"),  # it ends
        b"\x5a" + push(b"n") + b"\x05v",  # a push that is cut off
        b"\x5a" + push(b"n") + b"\x51" + b"\x6d\x75" + P2PKH,  # OP_1 is no push of data
        b"\x54" + push(b"n") + push(b"v") + b"\x6d\x75" + P2PKH,  # OP_4 is no name operation
    ],
)
def test_what_only_looks_like_one(script: Script) -> None:
    assert parse_name_op(script) is None


def test_a_witness_version_one_address_is_no_name_new() -> None:
    """OP_1 and a push of 32 bytes is a p2tr script: without the drop rule it would be a NAME_NEW."""
    assert parse_name_op(Script(b"\x51\x20" + bytes(32))) is None


def transaction(version: int, *scripts: Script) -> Transaction:
    outputs = tuple(TxOutput(Swartz(1_000_000), script) for script in scripts)
    return Transaction(version, (TxInput(Txid("00" * 32), 0),), outputs)


def test_a_transaction_has_one_name_output_or_none() -> None:
    name = name_doi_script(NameBytes(b"art/1"), VALUE, P2PKH)
    assert transaction_name_op(transaction(NAME_TX_VERSION, P2PKH, name)) == (1, parse_name_op(name))
    assert transaction_name_op(transaction(2, P2PKH, name)) is None
    assert transaction_name_op(transaction(NAME_TX_VERSION, P2PKH)) is None
    assert transaction_name_op(transaction(NAME_TX_VERSION, name, name)) is None
