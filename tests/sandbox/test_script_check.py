"""Signatures: the examples of BIP143, and forgeries that the node must not take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from coincurve import PrivateKey, PublicKey

from pinning_worker.domain.chain.address import p2pkh_script
from pinning_worker.domain.chain.nameop import name_doi_script, push
from pinning_worker.domain.chain.transaction import Transaction, TxInput, TxOutput, parse_transaction
from pinning_worker.domain.identities import NameBytes, Script, Txid
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.sandbox.rejected import Rejected
from pinning_worker.sandbox.script_check import check_input, hash160
from pinning_worker.sandbox.sighash import legacy_sighash, witness_sighash
from pinning_worker.sandbox.wallet import Key, Kind, sign
from tests.domain.test_transaction import BIP143_SIGNED

SIX_COINS = Swartz(600_000_000)
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def test_the_hash_of_bip143s_example_is_the_one_in_the_bip() -> None:
    tx = parse_transaction(BIP143_SIGNED)
    key_hash = hash160(tx.witnesses[1][1])
    sighash = witness_sighash(tx, 1, p2pkh_script(key_hash), SIX_COINS)
    assert sighash.hex() == "c37af31116d1b27caf68aae9e3ac82f1477929014d5b917657d0eb49478cb670"


def test_the_node_takes_bip143s_own_signatures() -> None:
    """The second input is p2wpkh. The first is a bare key, whose signature tells whether the legacy hash is right."""
    tx = parse_transaction(BIP143_SIGNED)
    check_input(tx, 1, TxOutput(SIX_COINS, Script(b"\x00\x14" + hash160(tx.witnesses[1][1]))))
    key = bytes.fromhex("03c9f4836b9a4f77fc0d81f7bcb01b7f1b35916864b9476c241ce9fc198bd25432")
    signature = tx.inputs[0].script[1:-1]
    assert PublicKey(key).verify(signature, legacy_sighash(tx, 0, push(key) + b"\xac"), hasher=None)


KEY, THIEF = Key(PrivateKey(b"\x01" * 32)), Key(PrivateKey(b"\x02" * 32))


def spend(kind: Kind, key: Key = KEY) -> tuple[Transaction, list[TxOutput]]:
    """Two coins of KEY, spent into one output and signed by `key`; and what is spent."""
    spent = [TxOutput(Swartz(5_000), KEY.script(kind)), TxOutput(Swartz(7_000), KEY.script(kind))]
    inputs = (TxInput(Txid("11" * 32), 0), TxInput(Txid("22" * 32), 1))
    return sign(Transaction(2, inputs, (TxOutput(Swartz(11_000), Script(b"\x51")),)), spent, key), spent


def with_signature(tx: Transaction, kind: Kind, signature: bytes, key: bytes) -> Transaction:
    """The first input's signature and key replaced."""
    if kind == "p2wpkh":
        return replace(tx, witnesses=((signature, key), *tx.witnesses[1:]))
    return replace(tx, inputs=(replace(tx.inputs[0], script=push(signature) + push(key)), *tx.inputs[1:]))


def signature_of(tx: Transaction, kind: Kind, index: int = 0) -> bytes:
    if kind == "p2wpkh":
        return tx.witnesses[index][0]
    script = tx.inputs[index].script
    return script[1 : 1 + script[0]]


def high_s(signature: bytes) -> bytes:
    """The same signature with the other S, as anybody can make it: the txid of a legacy transaction changes."""
    r_size = signature[3]
    r, s = signature[4 : 4 + r_size], int.from_bytes(signature[6 + r_size : -1], "big")
    other = (ORDER - s).to_bytes(33, "big")
    body = b"\x02" + bytes((len(r),)) + r + b"\x02" + bytes((len(other),)) + other
    return b"\x30" + bytes((len(body),)) + body + signature[-1:]


Forgery = Callable[[Transaction, Kind], Transaction]

FORGERIES: dict[str, Forgery] = {
    "no signature": lambda tx, kind: with_signature(tx, kind, b"", KEY.public),
    "not DER": lambda tx, kind: with_signature(tx, kind, b"\x30\x00\x01", KEY.public),
    "the thief's own key": lambda tx, kind: with_signature(tx, kind, signature_of(tx, kind), THIEF.public),
    "the other input's signature": lambda tx, kind: with_signature(tx, kind, signature_of(tx, kind, 1), KEY.public),
    "another sighash type": lambda tx, kind: with_signature(
        tx, kind, signature_of(tx, kind)[:-1] + b"\x02", KEY.public
    ),
    "the high S": lambda tx, kind: with_signature(tx, kind, high_s(signature_of(tx, kind)), KEY.public),
    "an output changed": lambda tx, kind: replace(tx, outputs=(TxOutput(Swartz(11_001), Script(b"\x51")),)),
    "paid to somebody else": lambda tx, kind: replace(tx, outputs=(TxOutput(Swartz(11_000), THIEF.script(kind)),)),
    "the version changed": lambda tx, kind: replace(tx, version=1),
    "the locktime changed": lambda tx, kind: replace(tx, locktime=7),
    "another coin": lambda tx, kind: replace(tx, inputs=(replace(tx.inputs[0], prev_index=9), tx.inputs[1])),
    "an uncompressed key": lambda tx, kind: with_signature(
        tx, kind, signature_of(tx, kind), KEY.secret.public_key.format(compressed=False)
    ),
    "signed by the thief": lambda tx, kind: spend(kind, THIEF)[0],
    "the thief's signature under our key": lambda tx, kind: with_signature(
        tx, kind, signature_of(spend(kind, THIEF)[0], kind), KEY.public
    ),
    "both scriptSig and witness": lambda tx, kind: replace(
        tx,
        inputs=tuple(replace(each, script=each.script or b"\x51") for each in tx.inputs),
        witnesses=tx.witnesses or ((b"\x01",), ()),
    ),
    "nothing at all": lambda tx, kind: replace(
        tx, inputs=tuple(replace(each, script=b"") for each in tx.inputs), witnesses=()
    ),
}


@pytest.mark.parametrize("kind", ["p2wpkh", "p2pkh"])
def test_a_true_signature_is_taken(kind: Kind) -> None:
    tx, spent = spend(kind)
    check_input(tx, 0, spent[0])
    check_input(tx, 1, spent[1])


@pytest.mark.parametrize("kind", ["p2wpkh", "p2pkh"])
@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forgery_is_refused(forgery: str, kind: Kind) -> None:
    tx, spent = spend(kind)
    with pytest.raises(Rejected, match="script-verify"):
        check_input(FORGERIES[forgery](tx, kind), 0, spent[0])


def test_nothing_may_be_added_to_a_script_sig() -> None:
    """Whoever could add to it would change the txid of somebody else's payment."""
    tx, spent = spend("p2pkh")
    for script in (b"\x51" + tx.inputs[0].script, tx.inputs[0].script + b"\x61", b"\x4c" + tx.inputs[0].script):
        with pytest.raises(Rejected, match="a signature and a key"):
            check_input(replace(tx, inputs=(replace(tx.inputs[0], script=script), tx.inputs[1])), 0, spent[0])


def test_a_witness_signature_covers_the_amount_that_is_spent() -> None:
    """BIP143's reason to be: who signs must not be told a smaller amount than the coin has."""
    tx, spent = spend("p2wpkh")
    with pytest.raises(Rejected):
        check_input(tx, 0, replace(spent[0], amount=Swartz(5_001)))


@pytest.mark.parametrize("script", [b"\x51", b"", b"\x00\x20" + bytes(32), b"\xa9\x14" + bytes(20) + b"\x87"])
def test_outputs_of_other_kinds_are_not_anybodys(script: Script) -> None:
    tx, _ = spend("p2pkh")
    with pytest.raises(Rejected, match="p2pkh and p2wpkh outputs only"):
        check_input(tx, 0, TxOutput(Swartz(5_000), script))


@pytest.mark.parametrize("kind", ["p2wpkh", "p2pkh"])
def test_a_name_is_spent_by_the_owner_of_its_address(kind: Kind) -> None:
    spent = TxOutput(Swartz(1_000_000), name_doi_script(NameBytes(b"art/1"), b"v", KEY.script(kind)))
    unsigned = Transaction(0x7100, (TxInput(Txid("11" * 32), 0),), (TxOutput(Swartz(1_000_000), spent.script),))
    check_input(sign(unsigned, [spent], KEY), 0, spent)
    with pytest.raises(Rejected):
        check_input(sign(unsigned, [spent], THIEF), 0, spent)
