"""PSBTs: what the sandbox's wallet agrees to sign, and what it refuses to be told."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.domain.chain.transaction import Transaction, TxInput, TxOutput, serialise_output, var_bytes
from pinning_worker.domain.identities import Script, Txid
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.sandbox.psbt import MAGIC, BadPsbt, Psbt, parse_psbt

PREVIOUS = Transaction(
    2, (TxInput(Txid("11" * 32), 0),), (TxOutput(Swartz(7), Script(b"\x51")), TxOutput(Swartz(900), Script(b"\x52")))
)
SPENT = PREVIOUS.outputs[1]
UNSIGNED = Transaction(0x7100, (TxInput(PREVIOUS.txid, 1),), (TxOutput(Swartz(800), Script(b"\x53")),))

Fields = dict[bytes, bytes]


def write_map(fields: Fields) -> bytes:
    return b"".join(var_bytes(key) + var_bytes(value) for key, value in fields.items()) + b"\0"


def write_psbt(spent: Fields, unsigned: bytes = UNSIGNED.serialise(), **extra: bytes) -> bytes:
    version = {b"\xfb": extra["version"]} if "version" in extra else {}
    return MAGIC + write_map({b"\0": unsigned} | version) + write_map(spent) + write_map({b"\xfc\x01": b"unknown"})


WHOLE = {b"\0": PREVIOUS.serialise()}
OUTPUT = {b"\1": serialise_output(SPENT)}


@pytest.mark.parametrize("told", [WHOLE, OUTPUT, WHOLE | OUTPUT])
def test_the_spent_output_comes_whole_or_with_its_transaction(told: Fields) -> None:
    assert parse_psbt(write_psbt(told | {b"\x06\x02": b"a key path"})) == Psbt(UNSIGNED, (SPENT,))


SIGNED = replace(UNSIGNED, inputs=(replace(UNSIGNED.inputs[0], script=b"\x00"),))
OTHER = replace(PREVIOUS, version=1)
REFUSED = {
    "nothing about what is spent": write_psbt({}),
    "another transaction": write_psbt({b"\0": OTHER.serialise()}),
    "an output that the transaction lacks": write_psbt(
        WHOLE, replace(UNSIGNED, inputs=(TxInput(PREVIOUS.txid, 2),)).serialise()
    ),
    "two things about one output": write_psbt(WHOLE | {b"\1": serialise_output(replace(SPENT, amount=Swartz(901)))}),
    "an output and more": write_psbt({b"\1": serialise_output(SPENT) + b"\0"}),
    "signed already": write_psbt(WHOLE, SIGNED.serialise()),
    "version 2": write_psbt(WHOLE, version=b"\2\0\0\0"),
    "a key twice": MAGIC + write_map({b"\0": UNSIGNED.serialise()}) + write_map(WHOLE)[:-1] + write_map(WHOLE) + b"\0",
    "cut off": write_psbt(WHOLE)[:-1],
    "too long": write_psbt(WHOLE) + b"\0",
    "no PSBT": UNSIGNED.serialise(),
    "empty": b"",
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
def test_lies_and_garbage_are_refused(raw: bytes) -> None:
    with pytest.raises(BadPsbt):
        parse_psbt(raw)


@given(st.data())
def test_damaged_anywhere_it_never_lies_about_what_is_spent(data: st.DataObject) -> None:
    raw = bytearray(write_psbt(WHOLE | OUTPUT))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadPsbt):
        assert parse_psbt(bytes(raw)).spent == (SPENT,)
