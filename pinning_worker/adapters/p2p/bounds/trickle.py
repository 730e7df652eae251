"""How far the bytes of an unfinished block count as progress: a slow line is not silence, and a slow liar is no giver.

Rules: the bytes that a peer sent since its last good block count while they are at most MOST, so that a peer that sends
anything but the block we asked for is found out after a block's worth or two; and while they come at SLOWEST bytes a
second at least, GRACE_SECONDS aside. A line that carries less than that is too slow to fetch anything of size from. For
the first LONE_SECONDS the peer may keep us from asking others as well: a block of 2 MiB takes as long at 35 kB/s.
"""

from __future__ import annotations

from dataclasses import dataclass

from pinning_worker.domain.identities import PeerId

MOST = 4 * 1024 * 1024 + 64 * 1024  # a message of Helia's or Kubo's, whole
SLOWEST = 8 * 1024
GRACE_SECONDS = 10.0
LONE_SECONDS = 60.0


@dataclass(slots=True)
class _Unfinished:
    since: float
    bytes: int = 0


class Trickle:
    def __init__(self) -> None:
        self._of: dict[PeerId, _Unfinished] = {}

    @property
    def unfinished(self) -> int:
        """Bytes of blocks that are under way, as far as they count."""
        return sum(min(part.bytes, MOST) for part in self._of.values())

    def received(self, peer: PeerId, count: int, now: float) -> bool:
        """Counts bytes of the peer. True if they are progress."""
        part = self._of.setdefault(peer, _Unfinished(now))
        part.bytes += count
        return part.bytes <= MOST and part.bytes >= SLOWEST * (now - part.since - GRACE_SECONDS)

    def is_lone(self, peer: PeerId, now: float) -> bool:
        """Is it early enough to wait for that peer alone?"""
        part = self._of.get(peer)
        return part is None or now - part.since <= LONE_SECONDS

    def ended(self, peer: PeerId) -> None:
        """It gave a block that we had asked it for, or its connection ended and the bytes under way are lost."""
        self._of.pop(peer, None)
