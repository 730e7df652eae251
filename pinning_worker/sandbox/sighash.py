"""The message of a signature: the hash of a transaction as one of its inputs sees it, with SIGHASH_ALL.

Legacy inputs (p2pkh): the transaction with every scriptSig empty but this input's, which holds the script code. Witness
version 0 (p2wpkh): BIP143, which also covers the amount that is spent. The sandbox has no other sighash types.
"""

from __future__ import annotations

import struct
from dataclasses import replace

from pinning_worker.domain.chain.transaction import (
    Transaction,
    double_sha256,
    serialise_outpoint,
    serialise_output,
    var_bytes,
)
from pinning_worker.domain.money.swartz import Swartz

SIGHASH_ALL = 1


def legacy_sighash(transaction: Transaction, index: int, script_code: bytes) -> bytes:
    """32 bytes to sign for input `index`; `script_code` is the whole script that is spent, a name prefix included."""
    blank = tuple(
        replace(spent, script=script_code if at == index else b"") for at, spent in enumerate(transaction.inputs)
    )
    return double_sha256(replace(transaction, inputs=blank).serialise_base() + struct.pack("<I", SIGHASH_ALL))


def witness_sighash(transaction: Transaction, index: int, script_code: bytes, amount: Swartz) -> bytes:
    """32 bytes to sign for input `index`, which spends `amount` (BIP143). For p2wpkh the script code is the p2pkh's."""
    spent = transaction.inputs[index]
    preimage = [
        struct.pack("<i", transaction.version),
        double_sha256(b"".join(map(serialise_outpoint, transaction.inputs))),
        double_sha256(b"".join(struct.pack("<I", each.sequence) for each in transaction.inputs)),
        serialise_outpoint(spent),
        var_bytes(script_code),
        struct.pack("<qI", amount.amount, spent.sequence),
        double_sha256(b"".join(map(serialise_output, transaction.outputs))),
        struct.pack("<II", transaction.locktime, SIGHASH_ALL),
    ]
    return double_sha256(b"".join(preimage))
