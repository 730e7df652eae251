"""NameOps: the operation on a name at the start of a Doichain output script, before the owner's part.

    NAME_DOI          5a push(name) push(value) 6d 75 …
    NAME_NEW          51 push(hash) 6d …
    NAME_FIRSTUPDATE  52 push(name) push(rand) push(value) 6d 6d …
    NAME_UPDATE       53 push(name) push(value) 6d 75 …

where … is the script of a normal address. The parser follows doichain-core (src/script/names.cpp): an opcode, its
pushed arguments, then any run of DROP / 2DROP / NOP. A transaction has version 0x7100 if and only if it has a name
output, and has at most one (src/names/main.cpp). Since block 431 017 a NAME_DOI for a name that exists and has not
expired must spend that name's output, and one for a free name must spend none. Ownership of a name still proves nothing
about a pin: below that block, and once the name has expired, a stranger can take it.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

from pinning_worker.domain.chain.transaction import Transaction
from pinning_worker.domain.identities import NameBytes, Script

NAME_TX_VERSION = 0x7100
LONGEST_NAME = 255
LONGEST_VALUE = 1023
LONGEST_WALLET_VALUE = 520

_PUSHDATA1, _PUSHDATA2, _PUSHDATA4 = 0x4C, 0x4D, 0x4E
_NOP, _2DROP, _DROP = 0x61, 0x6D, 0x75
_DROPS = bytes((_NOP, _2DROP, _DROP))


class NameOpCode(enum.Enum):
    """The four name operations, by their opcode (OP_1, OP_2, OP_3, OP_10)."""

    NAME_NEW = 0x51
    NAME_FIRSTUPDATE = 0x52
    NAME_UPDATE = 0x53
    NAME_DOI = 0x5A


# For each operation: its number of arguments, and the positions of name and value among them.
_ARGUMENTS = {
    NameOpCode.NAME_NEW: (1, None, None),
    NameOpCode.NAME_FIRSTUPDATE: (3, 0, 2),
    NameOpCode.NAME_UPDATE: (2, 0, 1),
    NameOpCode.NAME_DOI: (2, 0, 1),
}
_BY_OPCODE = {op.value: op for op in NameOpCode}


@dataclass(frozen=True, slots=True)
class NameOp:
    """One name operation. NAME_NEW hides its name, and has neither name nor value. `address_script` owns the output."""

    op: NameOpCode
    name: NameBytes | None
    value: bytes | None
    address_script: Script


def parse_name_op(script: Script) -> NameOp | None:
    """The NameOp that an output script begins with, or None if it begins with none. Never raises.

    It does not check lengths: consensus keeps names over 255 and values over 1023 bytes out of blocks.
    """
    op = _BY_OPCODE.get(script[0]) if script else None
    if op is None:
        return None
    arguments, at = _read_pushes(script, 1)
    count, name_at, value_at = _ARGUMENTS[op]
    rest = script[at:].lstrip(_DROPS)
    if len(arguments) != count or len(rest) == len(script) - at:
        return None
    name = None if name_at is None else NameBytes(arguments[name_at])
    value = None if value_at is None else arguments[value_at]
    return NameOp(op, name, value, Script(rest))


def transaction_name_op(transaction: Transaction) -> tuple[int, NameOp] | None:
    """(output index, NameOp) of the transaction's one name output, or None if it is no name transaction.

    A transaction that no node accepts (a wrong version, or several name outputs) has no NameOp here either.
    """
    if transaction.version != NAME_TX_VERSION:
        return None
    parsed = ((vout, parse_name_op(output.script)) for vout, output in enumerate(transaction.outputs))
    found = [(vout, name_op) for vout, name_op in parsed if name_op is not None]
    return found[0] if len(found) == 1 else None


def name_doi_script(name: NameBytes, value: bytes, address_script: Script) -> Script:
    """The output script that publishes `value` under `name`, owned by `address_script`."""
    operation = bytes((NameOpCode.NAME_DOI.value,)) + push(name) + push(value) + bytes((_2DROP, _DROP))
    return Script(operation + address_script)


def push(data: bytes) -> bytes:
    """The script bytes that push `data`, always with an explicit length, as CScript writes a vector."""
    if len(data) < _PUSHDATA1:
        return bytes((len(data),)) + data
    if len(data) <= 0xFF:
        return bytes((_PUSHDATA1, len(data))) + data
    if len(data) <= 0xFFFF:
        return struct.pack("<BH", _PUSHDATA2, len(data)) + data
    return struct.pack("<BI", _PUSHDATA4, len(data)) + data


def _read_pushes(script: bytes, at: int) -> tuple[list[bytes], int]:
    """The data pushes from `at` on, and their end: at a cut-off push, another opcode, or the script's end."""
    pushed = []
    while at < len(script) and script[at] <= _PUSHDATA4:
        start, length = _push_extent(script, at)
        if start + length > len(script):
            break
        pushed.append(script[start : start + length])
        at = start + length
    return pushed, at


def _push_extent(script: bytes, at: int) -> tuple[int, int]:
    """(start, declared length) of the data of the push at `at`."""
    opcode = script[at]
    if opcode < _PUSHDATA1:
        return at + 1, opcode
    width = {_PUSHDATA1: 1, _PUSHDATA2: 2, _PUSHDATA4: 4}[opcode]
    start = at + 1 + width
    return start, int.from_bytes(script[at + 1 : start], "little")
