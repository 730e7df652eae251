"""Our own chain of verified headers: what every proof of a payment is folded against.

A chain starts at its network's anchor (`anchor.py`). Everything after it is judged header by header, after
doichain-core `validation.cpp`:

- it names the hash of the one before;
- its bits are those of the one before, or at a retarget what the last interval asks for (`difficulty.py`);
- its time is later than the median of the 11 before (BIP 113);
- at the height of the split it is the block of the living chain; merge-mined ones begin at their height;
- it has its work (`headers.py`).

Not judged: times in the future, for that needs a clock; whoever acts on a median time compares it with his own.

Of several chains the one with most work is ours; of equals, the first one seen. A rival is verified on a `Branch` and
adopted as a whole. Without the rule about bits a liar would need no work at all.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import median_high

from pinning_worker.domain.chain import Network
from pinning_worker.domain.difficulty import is_retarget, lookback, retarget, work_of
from pinning_worker.domain.headers import HEADER_SIZE, BadHeader, Header, parse_header, read_proven_header
from pinning_worker.domain.payment import Tip

MEDIAN_SPAN = 11

_TIME_AT, _BITS_AT = 68, 72


class Overtaken(Exception):
    """The chain below a branch has been replaced meanwhile: begin the branch anew. Nobody's fault."""


class HeaderChain:
    """Headers from `base_height` up, 80 bytes each, and the work of the tip (expected hashes since genesis)."""

    def __init__(self, network: Network, base_height: int, headers: bytes, work: int) -> None:
        self.network, self.base_height, self.work = network, base_height, work
        self._headers = bytearray(headers)

    @property
    def tip_height(self) -> int:
        return self.base_height + len(self._headers) // HEADER_SIZE - 1

    def tip(self) -> Tip:
        header = self.header_at(self.tip_height)
        times = [_time(self.raw_at(height)) for height in self.last_heights(self.tip_height)]
        return Tip(self.tip_height, header.hash[::-1].hex(), _utc(header.time), _utc(median_high(times)))

    def has(self, height: int) -> bool:
        return self.base_height <= height <= self.tip_height

    def header_at(self, height: int) -> Header:
        """Raises IndexError where the chain has no such height."""
        return parse_header(self.raw_at(height))

    def hash_at(self, height: int) -> str | None:
        """Hex in display order; None where the chain has no such height."""
        return self.header_at(height).hash[::-1].hex() if self.has(height) else None

    def raw_at(self, height: int) -> bytes:
        if not self.has(height):
            raise IndexError(f"no header at height {height}")
        at = (height - self.base_height) * HEADER_SIZE
        return bytes(self._headers[at : at + HEADER_SIZE])

    def raw_from(self, height: int) -> bytes:
        """All headers from that height up, 80 bytes each."""
        return bytes(self._headers[(height - self.base_height) * HEADER_SIZE :])

    def work_at(self, height: int) -> int:
        """The chain work of the header at that height."""
        return self.work - sum(work_of(_bits(self.raw_at(above))) for above in range(height + 1, self.tip_height + 1))

    def branch(self, fork_height: int) -> Branch:
        """A rival that shares our headers up to and including `fork_height`. Raises IndexError where there is none."""
        return Branch(self, fork_height)

    def adopt(self, branch: Branch) -> int | None:
        """The lowest height whose block is new, if the branch has more work than our headers above its root.

        None where it has not. Raises Overtaken.
        """
        branch.require_root()
        if branch.work <= self.work:
            return None
        first_new = branch.first_difference()
        del self._headers[(branch.fork_height + 1 - self.base_height) * HEADER_SIZE :]
        self._headers += branch.headers
        self.work = branch.work
        return first_new

    def take_up(self, headers: Sequence[Header]) -> None:
        """Adds headers that were verified earlier, with nothing judged again."""
        self._headers += b"".join(header.raw for header in headers)
        self.work += sum(work_of(header.bits) for header in headers)

    def last_heights(self, height: int) -> range:
        """Of the headers whose median time counts at that height."""
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
        return self._last.hash[::-1].hex()

    def extend(self, data: bytes) -> None:
        """Adds the headers (with their AuxPow) that `data` is, end to end.

        Raises BadHeader, after which the branch is of no use, and Overtaken.
        """
        self.require_root()
        at = 0
        while at < len(data):
            header, at = read_proven_header(data, at, self._network)
            self._require_fit(header, self.tip_height + 1)
            self.work += work_of(header.bits)
            self.headers += header.raw
            self._times.append(header.time)
            self._last = header

    def require_root(self) -> None:
        """Raises Overtaken unless the chain still has the header that this branch grows from."""
        if not self._chain.has(self.fork_height) or self._chain.raw_at(self.fork_height) != self._root.raw:
            raise Overtaken

    def first_difference(self) -> int:
        """The lowest height at which this branch and the chain do not have the same block."""
        shared = range(self.fork_height + 1, min(self.tip_height, self._chain.tip_height) + 1)
        differing = (height for height in shared if self._raw(height) != self._chain.raw_at(height))
        return next(differing, shared.stop)

    def _require_fit(self, header: Header, height: int) -> None:
        if header.previous != self._last.hash:
            raise BadHeader(f"the header at {height} does not follow the one before")
        if header.bits != self._expected_bits(height):
            raise BadHeader(f"the header at {height} has a wrong difficulty")
        if header.time <= median_high(self._times):
            raise BadHeader(f"the header at {height} is older than the ones before")
        if header.is_merge_mined and height < self._network.auxpow_from_height:
            raise BadHeader(f"the header at {height} is merge-mined too early")
        split = self._network.split_block
        if split is not None and height == split.height and header.hash[::-1].hex() != split.block_hash:
            raise BadHeader(f"the header at {height} is not the living chain's")

    def _expected_bits(self, height: int) -> int:
        if not is_retarget(self._network, height):
            return self._last.bits
        first = self._raw(height - 1 - lookback(self._network, height))
        return retarget(self._network, self._last.bits, self._last.time - _time(first))

    def _raw(self, height: int) -> bytes:
        if height <= self.fork_height:
            return self._chain.raw_at(height)
        at = (height - self.fork_height - 1) * HEADER_SIZE
        return bytes(self.headers[at : at + HEADER_SIZE])


def _time(raw: bytes) -> int:
    time: int = struct.unpack_from("<I", raw, _TIME_AT)[0]
    return time


def _bits(raw: bytes) -> int:
    bits: int = struct.unpack_from("<I", raw, _BITS_AT)[0]
    return bits


def _utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
