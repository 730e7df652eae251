"""Checks that an input may spend an output, for the two kinds of output that the sandbox's wallet owns.

p2pkh: the scriptSig is exactly a signature and a public key. p2wpkh: the witness is, and the scriptSig is empty. The
key must hash to the output's key hash, and the signature (DER, low S, SIGHASH_ALL) must fit the key and the
transaction. Outputs of any other kind can receive coins, and nobody can spend them here: there is no script
interpreter.

As in doichain-core, the script that follows the name prefix owns a name output.
"""

from __future__ import annotations

import hashlib

from coincurve import PublicKey
from Crypto.Hash import RIPEMD160

from pinning_worker.domain.chain.address import p2pkh_script
from pinning_worker.domain.chain.nameop import parse_name_op, push
from pinning_worker.domain.chain.transaction import Transaction, TxOutput
from pinning_worker.domain.identities import Script
from pinning_worker.sandbox.rejected import Rejected
from pinning_worker.sandbox.sighash import SIGHASH_ALL, legacy_sighash, witness_sighash

P2WPKH_START = b"\x00\x14"

_FAILED = "mandatory-script-verify-flag-failed"


def hash160(data: bytes) -> bytes:
    return RIPEMD160.new(hashlib.sha256(data).digest()).digest()


def owner_script(script: Script) -> Script:
    """The script that owns an output: the part after its NameOp, or all of it."""
    name_op = parse_name_op(script)
    return name_op.address_script if name_op else script


def check_input(transaction: Transaction, index: int, spent: TxOutput) -> None:
    """Raises Rejected unless input `index` proves that it may spend `spent`."""
    owner = owner_script(spent.script)
    witness = transaction.witnesses[index] if transaction.witnesses else ()
    if len(owner) == 25 and owner == p2pkh_script(owner[3:23]):
        _check_p2pkh(transaction, index, spent, owner[3:23], witness)
    elif len(owner) == 22 and owner[:2] == P2WPKH_START:
        _check_p2wpkh(transaction, index, spent, owner[2:], witness)
    else:
        raise Rejected(f"{_FAILED} (the sandbox spends p2pkh and p2wpkh outputs only)")


def _check_p2pkh(tx: Transaction, index: int, spent: TxOutput, key_hash: bytes, witness: tuple[bytes, ...]) -> None:
    if witness:
        raise Rejected(f"{_FAILED} (Witness provided for non-witness script)")
    signature, key = _two_pushes(tx.inputs[index].script)
    _check_signature(signature, key, key_hash, legacy_sighash(tx, index, spent.script))


def _check_p2wpkh(tx: Transaction, index: int, spent: TxOutput, key_hash: bytes, witness: tuple[bytes, ...]) -> None:
    if tx.inputs[index].script:
        raise Rejected(f"{_FAILED} (Witness requires empty scriptSig)")
    if len(witness) != 2:
        raise Rejected(f"{_FAILED} (Witness program hash mismatch)")
    signature, key = witness
    if len(key) != 33:
        raise Rejected(f"{_FAILED} (Using non-compressed keys in segwit)")
    _check_signature(signature, key, key_hash, witness_sighash(tx, index, p2pkh_script(key_hash), spent.amount))


def _check_signature(signature: bytes, key: bytes, key_hash: bytes, message_hash: bytes) -> None:
    if hash160(key) != key_hash:
        raise Rejected(f"{_FAILED} (Script failed an OP_EQUALVERIFY operation)")
    if signature[-1:] != bytes((SIGHASH_ALL,)):
        raise Rejected(f"{_FAILED} (the sandbox takes SIGHASH_ALL only)")
    try:
        fits = PublicKey(key).verify(signature[:-1], message_hash, hasher=None)
    except ValueError as error:
        raise Rejected(f"{_FAILED} (Non-canonical DER signature or invalid public key)") from error
    if not fits:
        raise Rejected(f"{_FAILED} (Script evaluated without error but finished with a false/empty top stack element)")


def _two_pushes(script_sig: bytes) -> tuple[bytes, bytes]:
    first = script_sig[1 : 1 + script_sig[0]] if script_sig else b""
    second = script_sig[2 + len(first) :]
    if script_sig != push(first) + push(second):
        raise Rejected(f"{_FAILED} (the scriptSig of a p2pkh input is a signature and a key)")
    return first, second
