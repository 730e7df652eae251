"""Parses the answers of Electrum servers into typed values.

Covers protocol 1.4 to 1.4.3. Every reader raises ServerMisbehaved on anything but the shape that the protocol names.
Readers do not judge whether the values are true: other modules check them against our own headers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from pinning_worker.adapters.electrum.bounds import LARGEST_TRANSACTION, MOST_ROWS
from pinning_worker.adapters.electrum.faults import RequestRefused, ServerMisbehaved, TooMuch
from pinning_worker.domain.chain.headers import BadHeader, Header, parse_header
from pinning_worker.domain.chain.transaction import (
    BadTransaction,
    Transaction,
    double_sha256,
    parse_transaction,
    read_outline,
)
from pinning_worker.domain.identities import Txid

PROTOCOL_VERSIONS = ("1.4", "1.4.3")  # from 1.7 on the scripthash methods are gone; the Doichain fork knows up to 1.4.2

LARGEST_AT_ONCE = 20_000  # bytes; a larger transaction is parsed in a thread, a smaller one takes a few milliseconds

_HIGHEST = 1 << 31
_HASH = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ShownTip:
    """The best block that a server shows: its height, and its header with the AuxPow."""

    height: int
    data: bytes
    header: Header


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A transaction that touches a script. `height` is 0 in the mempool (-1: so are its inputs), else the block's."""

    txid: Txid
    height: int


@dataclass(frozen=True, slots=True)
class ShownBranch:
    """A merkle branch: siblings from the leaf up (hex, display order), and the position in the block."""

    siblings: tuple[str, ...]
    position: int


@dataclass(frozen=True, slots=True)
class ShownLeaf:
    """A leaf of a block's merkle tree: the txid at a position, and its branch up to the root."""

    txid: Txid
    siblings: tuple[str, ...]

    def ends_within(self) -> int:
        """The lowest level at which the tree pairs the leaf's node with itself. If the leaf is the first below that
        node, the block has at most 2^level transactions from it on."""
        node = bytes.fromhex(self.txid)[::-1]
        for level, sibling in enumerate(self.siblings):
            if bytes.fromhex(sibling)[::-1] == node:
                return level
            node = double_sha256(node + bytes.fromhex(sibling)[::-1])
        return len(self.siblings)


def read_tip(answer: object) -> ShownTip:
    """Parses `blockchain.headers.subscribe`, the answer and the notification alike."""
    fields = _object(answer, "the tip")
    data = _bytes(fields.get("hex"), "the tip's header")
    try:
        return ShownTip(_height(fields.get("height"), "the tip"), data, parse_header(data[:80]))
    except BadHeader as error:
        raise ServerMisbehaved(f"the tip: {error}") from error


def read_headers(answer: object) -> bytes:
    """Parses `blockchain.block.headers`: headers with their AuxPow, end to end; empty above the server's tip."""
    return _bytes(_object(answer, "headers").get("hex"), "headers")


def read_block_hash(answer: object) -> str:
    """Parses `blockchain.block.header` and returns the hash of the header, hex in display order."""
    try:
        return parse_header(_bytes(answer, "a header")[:80]).block_hash
    except BadHeader as error:
        raise ServerMisbehaved(f"a header: {error}") from error


def read_genesis_hash(answer: object) -> str:
    """Parses `server.features`."""
    return _text(_object(answer, "features").get("genesis_hash"), "the genesis hash")


def read_status(answer: object) -> str | None:
    """Parses `blockchain.scripthash.subscribe`. The status changes with the script's history; None if that is empty."""
    return None if answer is None else _text(answer, "a status")


def read_history(answer: object) -> list[HistoryRow]:
    """Parses `blockchain.scripthash.get_history`. A transaction listed twice (just mined) counts at its height.

    Raises RequestRefused above MOST_ROWS: the server may be honest, but we do not follow so long a history.
    """
    if not isinstance(answer, list):
        raise ServerMisbehaved("a history is a list")
    if len(answer) > MOST_ROWS:
        raise RequestRefused(0, f"a history of {len(answer)} transactions is longer than we follow")
    heights: dict[Txid, int] = {}
    for row in answer:
        fields = _object(row, "a row of a history")
        txid, height = read_txid(fields.get("tx_hash")), fields.get("height")
        if type(height) is not int or not -1 <= height < _HIGHEST:
            raise ServerMisbehaved("a row of a history has no height")
        heights[txid] = max(height, heights.get(txid, -1))
    return [HistoryRow(txid, height) for txid, height in heights.items()]


def read_branch(answer: object) -> ShownBranch:
    """Parses `blockchain.transaction.get_merkle`."""
    fields = _object(answer, "a merkle branch")
    siblings, position = fields.get("merkle"), fields.get("pos")
    if not isinstance(siblings, list) or type(position) is not int:
        raise ServerMisbehaved("a merkle branch has siblings and a position")
    return ShownBranch(tuple(_read_hash(sibling) for sibling in siblings), position)


async def read_transaction_of(txid: Txid, answer: object, largest: int = LARGEST_TRANSACTION) -> Transaction:
    """Parses `blockchain.transaction.get` (raw), and checks that the transaction hashes to the requested txid.

    The hash is checked before anything is built from the bytes: otherwise a few made-up megabytes would fill the
    memory. A thread parses a large transaction. Raises TooMuch above `largest` bytes.
    """
    if len(_text(answer, "a transaction")) > 2 * largest:
        raise TooMuch(f"a transaction of more than {largest} bytes")
    raw = _bytes(answer, "a transaction")
    if len(raw) <= LARGEST_AT_ONCE:
        return _parse_transaction(txid, raw)
    return await trio.to_thread.run_sync(_parse_transaction, txid, raw)


def _parse_transaction(txid: Txid, raw: bytes) -> Transaction:
    try:
        if read_outline(raw, 0).txid != txid:
            raise ServerMisbehaved("a transaction that is not the one asked for")
        return parse_transaction(raw)
    except BadTransaction as error:
        raise ServerMisbehaved(f"a transaction: {error}") from error


def read_txid(answer: object) -> Txid:
    """Parses `blockchain.transaction.id_from_pos` without a branch."""
    return Txid(_read_hash(answer))


def _read_hash(answer: object) -> str:
    """A hash in hex, display order, lower case."""
    if not isinstance(answer, str) or not _HASH.fullmatch(answer):
        raise ServerMisbehaved("a hash is 64 hex digits")
    return answer


def read_leaf(answer: object) -> ShownLeaf:
    """Parses `blockchain.transaction.id_from_pos` with its merkle branch."""
    fields = _object(answer, "a leaf")
    siblings = fields.get("merkle")
    if not isinstance(siblings, list):
        raise ServerMisbehaved("a leaf has siblings")
    return ShownLeaf(read_txid(fields.get("tx_hash")), tuple(_read_hash(sibling) for sibling in siblings))


def read_parameters(parameters: Sequence[object], count: int) -> Sequence[object]:
    """Checks that a notification has at least `count` parameters."""
    if len(parameters) < count:
        raise ServerMisbehaved("a notification that says nothing")
    return parameters


def _object(value: object, what: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ServerMisbehaved(f"{what} is no object")
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise ServerMisbehaved(f"{what} is no text")
    return value


def _bytes(value: object, what: str) -> bytes:
    text = _text(value, what)
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise ServerMisbehaved(f"{what} is no hex") from error


def _height(value: object, what: str) -> int:
    if type(value) is not int or not 0 <= value < _HIGHEST:
        raise ServerMisbehaved(f"{what} has no height")
    return value
