"""Our own chain of verified headers, whose merkle roots every proof of a payment must match.

A chain starts at its network's anchor (`anchor.py`). Everything after it is judged header by header, after
doichain-core `validation.cpp`:

- it names the hash of the one before;
- its bits follow the network's rule (`difficulty.py`);
- its time is later than the median of the 11 before (BIP 113);
- at the height of a pinned block (the split, the operator's checkpoint) it is that block;
- it is not merge-mined below the height where merge mining began;
- it has its work (`headers.py`).

A header of more than two hours in the future (doichain-core, `chain.h`, MAX_FUTURE_BLOCK_TIME) is no fault: it waits,
with all that follow it. Without that rule a miner could advance the chain's time, and lower the difficulty at will.

Of several chains the one with most work is ours; of equals, the first one seen. A rival is verified on a `Branch` and
adopted as a whole. Without the rule about bits a liar would need no work at all.
"""

from __future__ import annotations

import struct
from collections import deque
from datetime import UTC, datetime
from statistics import median_high

from pinning_worker.domain.chain.difficulty import MEDIAN_SPAN, expected_bits
from pinning_worker.domain.chain.headers import (
    HEADER_SIZE,
    BadHeader,
    Header,
    added_work,
    parse_header,
    read_proven_header,
)
from pinning_worker.domain.chain.networks import Network
from pinning_worker.domain.money.payment import Tip

MOST_AHEAD_SECONDS = 2 * 3600

_TIME_AND_BITS = struct.Struct("<II")
_TIME_AT = 68


class Overtaken(Exception):
    """The chain below a branch has been replaced meanwhile: begin the branch anew. Nobody's fault."""


class FromTheFuture(Exception):
    """A header, sound but for its time, must wait until our clock comes near; the headers before it were added."""

    def __init__(self, height: int, time: int) -> None:
        self.height, self.time = height, _utc(time)
        super().__init__(f"block {height} is dated {self.time:%Y-%m-%d %H:%M:%S} UTC")


class HeaderChain:
    """Headers from `base_height` up, 80 bytes each, and the work in all of them (expected hashes)."""

    def __init__(self, network: Network, base_height: int, headers: bytes, work: int) -> None:
        self.network, self.base_height, self.work = network, base_height, work
        self._headers = bytearray(headers)

    @property
    def tip_height(self) -> int:
        return self.base_height + len(self._headers) // HEADER_SIZE - 1

    def tip(self) -> Tip:
        header = self.header_at(self.tip_height)
        times = [_time(self.raw_at(height)) for height in self.last_heights(self.tip_height)]
        return Tip(self.tip_height, header.block_hash, _utc(header.time), _utc(median_high(times)))

    def has(self, height: int) -> bool:
        return self.base_height <= height <= self.tip_height

    def header_at(self, height: int) -> Header:
        """Raises IndexError if the chain has no such height."""
        return parse_header(self.raw_at(height))

    def hash_at(self, height: int) -> str | None:
        """Hex in display order; None if the chain has no such height."""
        return self.header_at(height).block_hash if self.has(height) else None

    def has_block(self, height: int, block_hash: str) -> bool:
        """Whether that block is in the chain. Any block below our first header counts: the anchor commits to it."""
        return height < self.base_height or self.hash_at(height) == block_hash

    @property
    def floor(self) -> int:
        """The height below which no block is ever replaced: that of the anchor, or of a higher pinned block."""
        anchor = self.network.anchor.height if self.network.anchor else self.base_height
        return max([anchor, *(pinned.height for pinned in self.network.pinned_blocks if self.has(pinned.height))])

    def raw_at(self, height: int) -> bytes:
        if not self.has(height):
            raise IndexError(f"no header at height {height}")
        at = (height - self.base_height) * HEADER_SIZE
        return bytes(self._headers[at : at + HEADER_SIZE])

    def time_and_bits_at(self, height: int) -> tuple[int, int]:
        """Raises IndexError if the chain has no such height."""
        if not self.has(height):
            raise IndexError(f"no header at height {height}")
        return _TIME_AND_BITS.unpack_from(self._headers, (height - self.base_height) * HEADER_SIZE + _TIME_AT)

    def raw_from(self, height: int) -> bytes:
        """All headers from that height up, 80 bytes each."""
        return bytes(self._headers[(height - self.base_height) * HEADER_SIZE :])

    def work_at(self, height: int) -> int:
        """The chain work of the header at that height."""
        above = (self.header_at(each) for each in range(height + 1, self.tip_height + 1))
        return self.work - sum(added_work(header, self.network) for header in above)

    def branch(self, fork_height: int) -> Branch:
        """A rival that shares our headers up to and including `fork_height`. Raises IndexError if it is missing."""
        return Branch(self, fork_height)

    def adopt(self, branch: Branch) -> int | None:
        """The lowest height whose block is new, if the branch has more work than our headers above its root.

        None if it has not. Raises Overtaken.
        """
        branch.require_root()
        if branch.fork_height < self.floor:  # the chain has reached a pinned block since the branch began
            raise Overtaken
        if branch.work <= self.work:
            return None
        first_new = branch.first_difference()
        del self._headers[(branch.fork_height + 1 - self.base_height) * HEADER_SIZE :]
        self._headers += branch.headers
        self.work = branch.work
        return first_new

    def last_heights(self, height: int) -> range:
        """The heights of the headers whose median time counts at that height."""
        return range(max(self.base_height, height - MEDIAN_SPAN + 1), height + 1)


class Branch:
    """Headers that follow `chain` at `fork_height`, each one verified as it is added."""

    def __init__(self, chain: HeaderChain, fork_height: int) -> None:
        self._chain, self._root, self._network = chain, chain.header_at(fork_height), chain.network
        self.fork_height, self.work = fork_height, chain.work_at(fork_height)
        self.headers = bytearray()
        self._last = self._root
        self._times = deque((_time(chain.raw_at(height)) for height in chain.last_heights(fork_height)), MEDIAN_SPAN)

    @property
    def tip_height(self) -> int:
        return self.fork_height + len(self.headers) // HEADER_SIZE

    @property
    def tip_hash(self) -> str:
        return self._last.block_hash

    def extend(self, data: bytes, now: float, most: int | None = None) -> None:
        """Adds at most `most` headers (with their AuxPow) from `data`, end to end. `now`: seconds since 1970.

        Raises BadHeader, after which the branch is unusable; Overtaken; FromTheFuture, after earlier headers are added.
        """
        self.require_root()
        at, highest = 0, self.tip_height + most if most is not None else None
        while at < len(data):
            if self.tip_height == highest:
                raise BadHeader("more headers than were asked for")
            header, at = read_proven_header(data, at, self._network)
            self._require_fit(header, self.tip_height + 1)
            if header.time > now + MOST_AHEAD_SECONDS:
                raise FromTheFuture(self.tip_height + 1, header.time)
            self.work += added_work(header, self._network)
            self.headers += header.raw
            self._times.append(header.time)
            self._last = header

    def require_root(self) -> None:
        """Raises Overtaken unless the chain still has the header below this branch."""
        if not self._chain.has(self.fork_height) or self._chain.raw_at(self.fork_height) != self._root.raw:
            raise Overtaken

    def first_difference(self) -> int:
        """The lowest height at which this branch and the chain have different blocks."""
        shared = range(self.fork_height + 1, min(self.tip_height, self._chain.tip_height) + 1)
        differing = (height for height in shared if self._raw(height) != self._chain.raw_at(height))
        return next(differing, shared.stop)

    def _require_fit(self, header: Header, height: int) -> None:
        if header.previous != self._last.hash:
            raise BadHeader(f"the header at {height} does not follow the one before")
        if header.bits != expected_bits(self._network, height, header.time, self._time_and_bits):
            raise BadHeader(f"the header at {height} has a wrong difficulty")
        if header.time <= median_high(self._times):
            raise BadHeader(f"the header at {height} is older than the ones before")
        if header.is_merge_mined and height < self._network.auxpow_from_height:
            raise BadHeader(f"the header at {height} is merge-mined too early")
        for pinned in self._network.pinned_blocks:
            if height == pinned.height and header.block_hash != pinned.block_hash:
                raise BadHeader(f"the header at {height} is not the living chain's")

    def _time_and_bits(self, height: int) -> tuple[int, int]:
        if height <= self.fork_height:
            return self._chain.time_and_bits_at(height)
        return _TIME_AND_BITS.unpack_from(self.headers, (height - self.fork_height - 1) * HEADER_SIZE + _TIME_AT)

    def _raw(self, height: int) -> bytes:
        if height <= self.fork_height:
            return self._chain.raw_at(height)
        at = (height - self.fork_height - 1) * HEADER_SIZE
        return bytes(self.headers[at : at + HEADER_SIZE])


def _time(raw: bytes) -> int:
    time: int = struct.unpack_from("<I", raw, _TIME_AT)[0]
    return time


def _utc(unix_time: int) -> datetime:
    return datetime.fromtimestamp(unix_time, UTC)
