"""Transactions as bytes and as values, and the merkle branch that ties one to a block header.

Bitcoin's format, which Doichain keeps (BIP144 for the witness part): version, inputs, outputs, locktime, little endian
throughout. Rules that hold here:

- txids and block hashes are hex in display order (reversed) wherever they are `str`; hashes as `bytes` are in internal
  order, as they stand in a header.
- A `Transaction` computes its txid from its own content, so it never relies on a server's word.
- Only the canonical encoding is read (shortest CompactSize, no superfluous witness): writing restores the bytes read.
- A transaction of which exactly 64 bytes are hashed can pass for an inner node of a merkle tree (CVE-2017-12842): the
  judge of a proof refuses `base_size == MERKLE_NODE_SIZE`. It is not refused here.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pinning_worker.domain.identities import Script, Txid
from pinning_worker.domain.money.swartz import SWARTZ_PER_DOI, Swartz

MAX_MONEY = Swartz(21_000_000 * SWARTZ_PER_DOI)
MERKLE_NODE_SIZE = 64
FINAL_SEQUENCE = 0xFFFFFFFF

_LONGEST_BRANCH = 32
_WITNESS_MARKER = b"\x00\x01"
_OUTPOINT_SIZE, _SEQUENCE_SIZE, _AMOUNT_SIZE, _LOCKTIME_SIZE = 36, 4, 8, 4


class BadTransaction(ValueError):
    """Not a transaction."""


class BadMerkleBranch(ValueError):
    """Not a merkle branch, or txids that make no merkle tree."""


@dataclass(frozen=True, slots=True)
class TxInput:
    """Spends output `prev_index` of transaction `prev_txid` (hex, display order). `script` is the scriptSig."""

    prev_txid: Txid
    prev_index: int
    script: bytes = b""
    sequence: int = FINAL_SEQUENCE


@dataclass(frozen=True, slots=True)
class TxOutput:
    """Pays `amount` to `script` (the scriptPubKey)."""

    amount: Swartz
    script: Script


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction; `witnesses` is empty, or has one stack of byte strings for each input.

    `txid` (hex, display order) and `base_size` (the bytes hashed for it, without the witness) follow from the rest.
    """

    version: int
    inputs: tuple[TxInput, ...]
    outputs: tuple[TxOutput, ...]
    witnesses: tuple[tuple[bytes, ...], ...] = ()
    locktime: int = 0
    txid: Txid = field(init=False)
    base_size: int = field(init=False)

    def __post_init__(self) -> None:
        base = self.serialise_base()
        object.__setattr__(self, "txid", _txid_of(base))
        object.__setattr__(self, "base_size", len(base))

    def serialise_base(self) -> bytes:
        """The bytes without witnesses, whose hash is the txid."""
        return struct.pack("<i", self.version) + self._serialise_body() + struct.pack("<I", self.locktime)

    def serialise(self) -> bytes:
        """The wire format: BIP144 if any input has a witness, else the original one."""
        if not any(self.witnesses):
            return self.serialise_base()
        head, tail = struct.pack("<i", self.version) + _WITNESS_MARKER, struct.pack("<I", self.locktime)
        return head + self._serialise_body() + b"".join(map(_serialise_stack, self.witnesses)) + tail

    def _serialise_body(self) -> bytes:
        parts = [compact_size(len(self.inputs))]
        parts += [serialise_outpoint(i) + var_bytes(i.script) + struct.pack("<I", i.sequence) for i in self.inputs]
        parts.append(compact_size(len(self.outputs)))
        parts += map(serialise_output, self.outputs)
        return b"".join(parts)


def double_sha256(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def txid_from(internal: bytes) -> Txid:
    """The txid of a hash of 32 bytes in internal order."""
    return Txid(internal[::-1].hex())


def _txid_of(base: bytes) -> Txid:
    return txid_from(double_sha256(base))


# --- writing


def compact_size(number: int) -> bytes:
    """A length or count in its shortest form (1, 3, 5 or 9 bytes)."""
    if number < 0xFD:
        return bytes((number,))
    for prefix, code in ((0xFD, "<BH"), (0xFE, "<BI")):
        if number < 1 << 8 * (struct.calcsize(code) - 1):
            return struct.pack(code, prefix, number)
    return struct.pack("<BQ", 0xFF, number)


def var_bytes(data: bytes) -> bytes:
    return compact_size(len(data)) + data


def serialise_outpoint(spent: TxInput) -> bytes:
    return bytes.fromhex(spent.prev_txid)[::-1] + struct.pack("<I", spent.prev_index)


def serialise_output(output: TxOutput) -> bytes:
    return struct.pack("<q", output.amount.amount) + var_bytes(output.script)


def _serialise_stack(stack: Sequence[bytes]) -> bytes:
    return compact_size(len(stack)) + b"".join(map(var_bytes, stack))


# --- reading


def parse_transaction(raw: bytes) -> Transaction:
    """The transaction in all of `raw`. Raises BadTransaction on anything else, amounts out of range included."""
    transaction, end = read_transaction(raw, 0)
    if end != len(raw):
        raise BadTransaction(f"{len(raw) - end} bytes too many")
    if any(not 0 <= output.amount.amount <= MAX_MONEY.amount for output in transaction.outputs):
        raise BadTransaction("an amount is out of range")
    return transaction


@dataclass(frozen=True, slots=True)
class Outline:
    """The facts from a walk along a transaction's bytes: `script` is the first input's scriptSig."""

    txid: Txid
    script: bytes
    end: int


def read_outline(raw: bytes, at: int) -> Outline:
    """Walks along the bytes and builds nothing, so that a million forged outputs take no memory. Raises BadTransaction
    if lengths lead out of the bytes; only `read_transaction` checks everything else."""
    version, has_witness = raw[at : at + 4], raw[at + 4 : at + 6] == _WITNESS_MARKER
    body = at = at + 6 if has_witness else at + 4
    inputs, at = read_compact_size(raw, at)
    if inputs == 0:
        raise BadTransaction("no inputs")
    script, _ = read_var_bytes(raw, at + _OUTPOINT_SIZE)
    for _ in range(inputs):
        at = _skip_var_bytes(raw, at + _OUTPOINT_SIZE) + _SEQUENCE_SIZE
    outputs, at = read_compact_size(raw, at)
    for _ in range(outputs):
        at = _skip_var_bytes(raw, at + _AMOUNT_SIZE)
    body_end = at
    for _ in range(inputs if has_witness else 0):
        items, at = read_compact_size(raw, at)
        for _ in range(items):
            at = _skip_var_bytes(raw, at)
    end = at + _LOCKTIME_SIZE
    if end > len(raw):
        raise BadTransaction("cut off")
    return Outline(_txid_of(version + raw[body:body_end] + raw[at:end]), script, end)


def _skip_var_bytes(raw: bytes, at: int) -> int:
    length, at = read_compact_size(raw, at)
    if length > len(raw) - at:
        raise BadTransaction("cut off")
    return at + length


def read_transaction(raw: bytes, at: int) -> tuple[Transaction, int]:
    """(transaction, the position after it). Raises BadTransaction.

    It does not check amounts, and allows no outputs: coinbases of the foreign chains in an AuxPow may be so.
    """
    (version,), at = _unpack("<i", raw, at)
    has_witness = raw[at : at + 2] == _WITNESS_MARKER
    inputs, at = _read_inputs(raw, at + 2 if has_witness else at)
    outputs, at = _read_outputs(raw, at)
    witnesses: tuple[tuple[bytes, ...], ...] = ()
    if has_witness:
        witnesses, at = _read_witnesses(raw, at, len(inputs))
    (locktime,), at = _unpack("<I", raw, at)
    return Transaction(version, inputs, outputs, witnesses, locktime), at


def read_compact_size(raw: bytes, at: int) -> tuple[int, int]:
    """(number, next position). Raises BadTransaction if it is cut off or longer than needed."""
    (first,), at = _unpack("<B", raw, at)
    if first < 0xFD:
        return first, at
    code, least = {0xFD: ("<H", 0xFD), 0xFE: ("<I", 1 << 16), 0xFF: ("<Q", 1 << 32)}[first]
    (number,), at = _unpack(code, raw, at)
    if number < least:
        raise BadTransaction("a length is written longer than needed")
    return number, at


def read_output(raw: bytes, at: int) -> tuple[TxOutput, int]:
    """(output, next position). Raises BadTransaction if it is cut off; does not check the amount."""
    (amount,), at = _unpack("<q", raw, at)
    script, at = read_var_bytes(raw, at)
    return TxOutput(Swartz(amount), Script(script)), at


def read_var_bytes(raw: bytes, at: int) -> tuple[bytes, int]:
    """(bytes that follow their length, next position). Raises BadTransaction."""
    length, at = read_compact_size(raw, at)
    if length > len(raw) - at:
        raise BadTransaction("cut off")
    return raw[at : at + length], at + length


def _read_inputs(raw: bytes, at: int) -> tuple[tuple[TxInput, ...], int]:
    count, at = read_compact_size(raw, at)
    if count == 0:
        raise BadTransaction("no inputs")
    inputs = []
    for _ in range(count):
        (prev, index), at = _unpack("<32sI", raw, at)
        script, at = read_var_bytes(raw, at)
        (sequence,), at = _unpack("<I", raw, at)
        inputs.append(TxInput(txid_from(prev), index, script, sequence))
    return tuple(inputs), at


def _read_outputs(raw: bytes, at: int) -> tuple[tuple[TxOutput, ...], int]:
    count, at = read_compact_size(raw, at)
    outputs = []
    for _ in range(count):
        output, at = read_output(raw, at)
        outputs.append(output)
    return tuple(outputs), at


def _read_witnesses(raw: bytes, at: int, inputs: int) -> tuple[tuple[tuple[bytes, ...], ...], int]:
    stacks = []
    for _ in range(inputs):
        count, at = read_compact_size(raw, at)
        stack = []
        for _ in range(count):
            item, at = read_var_bytes(raw, at)
            stack.append(item)
        stacks.append(tuple(stack))
    if not any(stacks):
        raise BadTransaction("the witness is superfluous: all its stacks are empty")
    return tuple(stacks), at


def _unpack(code: str, raw: bytes, at: int) -> tuple[tuple[Any, ...], int]:
    try:
        return struct.unpack_from(code, raw, at), at + struct.calcsize(code)
    except struct.error as error:
        raise BadTransaction("cut off") from error


# --- merkle trees


def merkle_root(txids: Sequence[Txid]) -> bytes:
    """The root (internal order) over a block's txids in their order.

    Raises BadMerkleBranch for an empty list, for a malformed txid, and for a pair of equal hashes: a list that repeats
    its tail has the root of the list without the repetition (CVE-2012-2459).
    """
    level = [_hash_from_hex(txid) for txid in txids]
    if not level:
        raise BadMerkleBranch("a block without transactions does not exist")
    while len(level) > 1:
        if any(left == right for left, right in zip(level[::2], level[1::2], strict=False)):
            raise BadMerkleBranch("a transaction is listed twice")
        if len(level) % 2:
            level.append(level[-1])
        level = [double_sha256(level[at] + level[at + 1]) for at in range(0, len(level), 2)]
    return level[0]


def fold_merkle_branch(txid: Txid, branch: Sequence[str], position: int) -> bytes:
    """The root (internal order) that `txid` at `position` and its siblings (hex, display order, leaf first) lead to.

    Raises BadMerkleBranch for anything but hex of 32 bytes, a branch longer than a block can need, or a position
    outside a tree of that depth.
    """
    if len(branch) > _LONGEST_BRANCH:
        raise BadMerkleBranch("longer than any block's")
    if not 0 <= position < 1 << len(branch):
        raise BadMerkleBranch("the position is outside the tree")
    node = _hash_from_hex(txid)
    for level, sibling in enumerate(map(_hash_from_hex, branch)):
        node = double_sha256(sibling + node if position >> level & 1 else node + sibling)
    return node


def _hash_from_hex(text: str) -> bytes:
    try:
        internal = bytes.fromhex(text)[::-1]
    except ValueError as error:
        raise BadMerkleBranch("not a hash") from error
    if len(internal) != 32:
        raise BadMerkleBranch("not a hash")
    return internal
