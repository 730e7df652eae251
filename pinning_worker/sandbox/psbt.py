"""Partially signed transactions, version 0 (BIP174), as far as a wallet needs them to sign: read, never written.

A PSBT is the unsigned transaction and, for each input, the output that it spends, so that a signer sees the amounts. If
an input brings the whole previous transaction, its hash must be the txid spent, so nobody can lie about the amount. An
input that brings only the output (segwit) lies at its own cost: the signature commits to the amount.
"""

from __future__ import annotations

from dataclasses import dataclass

from pinning_worker.domain.chain.transaction import (
    BadTransaction,
    Transaction,
    TxInput,
    TxOutput,
    parse_transaction,
    read_output,
    read_var_bytes,
)

MAGIC = b"psbt\xff"
UNSIGNED_TX, PSBT_VERSION = b"\x00", b"\xfb"
NON_WITNESS_UTXO, WITNESS_UTXO = b"\x00", b"\x01"

Fields = dict[bytes, bytes]


class BadPsbt(ValueError):
    """Not a PSBT that can be signed. The text says why."""


@dataclass(frozen=True)
class Psbt:
    """The transaction to sign, and for each input the output that it spends."""

    unsigned: Transaction
    spent: tuple[TxOutput, ...]


def parse_psbt(raw: bytes) -> Psbt:
    """Parses all of `raw` (binary, as in a .psbt file). Raises BadPsbt."""
    try:
        return _parse(raw)
    except BadTransaction as error:
        raise BadPsbt(f"not a PSBT: {error}") from error


def _parse(raw: bytes) -> Psbt:
    if raw[: len(MAGIC)] != MAGIC:
        raise BadPsbt("not a PSBT: it does not begin as one")
    fields, at = _read_map(raw, len(MAGIC))
    if PSBT_VERSION in fields or UNSIGNED_TX not in fields:
        raise BadPsbt("not a PSBT of version 0")
    unsigned = parse_transaction(fields[UNSIGNED_TX])
    if any(unsigned.witnesses) or any(each.script for each in unsigned.inputs):
        raise BadPsbt("the transaction in it is signed already")
    spent = []
    for each in unsigned.inputs:
        fields, at = _read_map(raw, at)
        spent.append(_spent_output(each, fields))
    for _ in unsigned.outputs:
        _, at = _read_map(raw, at)
    if at != len(raw):
        raise BadPsbt(f"not a PSBT: {len(raw) - at} bytes too many")
    return Psbt(unsigned, tuple(spent))


def _spent_output(spending: TxInput, fields: Fields) -> TxOutput:
    told = [
        *(_from_previous(spending, parse_transaction(fields[key])) for key in (NON_WITNESS_UTXO,) if key in fields),
        *(_whole_output(fields[key]) for key in (WITNESS_UTXO,) if key in fields),
    ]
    if not told:
        raise BadPsbt(f"it does not bring what the input {spending.prev_txid}:{spending.prev_index} spends")
    if told[0] != told[-1]:
        raise BadPsbt(f"it says two things about what the input {spending.prev_txid}:{spending.prev_index} spends")
    return told[0]


def _from_previous(spending: TxInput, previous: Transaction) -> TxOutput:
    if previous.txid != spending.prev_txid or spending.prev_index >= len(previous.outputs):
        raise BadPsbt(f"it brings another transaction than the input {spending.prev_txid}:{spending.prev_index} spends")
    return previous.outputs[spending.prev_index]


def _whole_output(raw: bytes) -> TxOutput:
    output, end = read_output(raw, 0)
    if end != len(raw):
        raise BadPsbt("not a PSBT: an output is followed by something")
    return output


def _read_map(raw: bytes, at: int) -> tuple[Fields, int]:
    """(the fields up to the separator, the position after it). Refuses a repeated key, as BIP174 requires."""
    fields: Fields = {}
    while True:
        key, at = read_var_bytes(raw, at)
        if not key:
            return fields, at
        if key in fields:
            raise BadPsbt("not a PSBT: a key stands in it twice")
        fields[key], at = read_var_bytes(raw, at)
