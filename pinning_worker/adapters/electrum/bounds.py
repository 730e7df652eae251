"""How large an answer may be, for each method: in bytes of JSON, and in JSON elements.

    bytes      checked while the frame arrives: an excess is never buffered
    elements   commas and opening brackets, counted before the JSON is parsed: `[],` ten million times is 31 MB of text
               and 1 GB of Python; a parser that runs in C holds the interpreter, so a thread would not help

Each bound covers the most that an honest server may have to send: the chain's own limits for headers and transactions,
the relay limits of a node for the mempool, `MOST_ROWS` for a history. A frame holds answers to pending requests, or one
notification. `Talk` limits the rate of notifications, so that a server cannot notify without end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pinning_worker.domain.chain.headers import LARGEST_HEADER

LARGEST_FRAME = 16 << 20  # ElectrumX sends 10 MB at most (MAX_SEND of coins with AuxPow)
LARGEST_TRANSACTION = 4_000_000  # bytes: a block's weight allows no more
LARGEST_RELAYED = 400_000  # bytes: a node relays no transaction above this weight, so no mempool has one
MOST_ROWS = 100_000  # of one history: as many as fit ElectrumX's own 10 MB

_SLACK = 64 << 10  # the envelope, an error's message, a server's features
_ROW_BYTES, _ROW_ELEMENTS = 160, 6


@dataclass(frozen=True, slots=True)
class Bound:
    """The largest frame that we accept."""

    size: int  # bytes
    elements: int

    def __add__(self, other: Bound) -> Bound:
        return Bound(self.size + other.size, self.elements + other.elements)

    def __sub__(self, other: Bound) -> Bound:
        return Bound(self.size - other.size, self.elements - other.elements)

    def exceeded_by(self, frame: bytes) -> str:
        """Describes how the frame exceeds the bound; empty if it does not."""
        if len(frame) > self.size:
            return f"{len(frame)} bytes, where {self.size} are more than enough"
        elements = frame.count(b",") + frame.count(b"[") + frame.count(b"{")
        if elements > self.elements:
            return f"{elements} JSON elements, where {self.elements} are more than enough"
        return ""


NOTHING = Bound(0, 0)
_SMALL = Bound(_SLACK, 1_000)
_HEADER = Bound(2 * LARGEST_HEADER + _SLACK, 100)
_HISTORY = Bound(MOST_ROWS * _ROW_BYTES + _SLACK, MOST_ROWS * _ROW_ELEMENTS)

NOTIFICATION = _HEADER
_OF_METHOD = {
    "blockchain.headers.subscribe": _HEADER,
    "blockchain.block.header": _HEADER,
    "blockchain.block.headers": Bound(LARGEST_FRAME, 100),
    "blockchain.scripthash.get_history": _HISTORY,
    "blockchain.transaction.get": Bound(2 * LARGEST_TRANSACTION + _SLACK, 100),
}


def answer_bound(method: str) -> Bound:
    """The bound of one answer to that method, with its envelope."""
    return _OF_METHOD.get(method, _SMALL)


def sum_of(bounds: Iterable[Bound]) -> Bound:
    return sum(bounds, NOTHING)


class Talk:
    """A token bucket for notifications: each costs one, and one more for every 16 KiB."""

    BURST, PER_SECOND, PIECE = 2_000.0, 20.0, 16 << 10

    def __init__(self) -> None:
        self._left, self._counted_at = self.BURST, 0.0

    def is_too_much(self, size: int, now: float) -> bool:
        """Counts a notification of `size` bytes at `now` (seconds)."""
        self._left = min(self.BURST, self._left + (now - self._counted_at) * self.PER_SECOND)
        self._counted_at = now
        self._left -= 1 + size / self.PIECE
        return self._left < 0
