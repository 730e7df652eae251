"""Which connection is evicted when all places are taken and a newcomer comes: a useless one, of the fullest address.

A connection is of use when its peer asked us for something, gave us something, or handed us a message; one whose peer
never did, or not for IDLE_SECONDS, is useless. It leaves if its address has more connections than the newcomer's has.
One that is of use leaves only if its address would still have more than the newcomer's: then addresses come out even.
Newcomers have GRACE_SECONDS to show their use. Of one address the connection that was of use longest ago leaves first,
among equals the oldest. Sites are compared before addresses (sites.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pinning_worker.adapters.p2p.bounds.sites import Counts

GRACE_SECONDS = 10.0
IDLE_SECONDS = 600.0


@dataclass(eq=False, slots=True)
class Guest:
    """A connection whose handshake is finished. `address`: the unit that counts as one; times are of one clock."""

    address: str
    since: float
    used_at: float | None = None

    def is_useless(self, now: float) -> bool:
        return self.used_at is None or now - self.used_at > IDLE_SECONDS


def evicted(guests: Iterable[Guest], address: str, now: float) -> Guest | None:
    """The connection that leaves; None: the newcomer from that address does."""
    guests = list(guests)
    counts = Counts(guest.address for guest in guests)

    def may_leave(guest: Guest) -> bool:
        more = counts.lead(guest.address, over=address)
        return now - guest.since >= GRACE_SECONDS and (more > 1 or (more > 0 and guest.is_useless(now)))

    able = list(filter(may_leave, guests))
    most = max((counts.of(guest.address) for guest in able), default=None)
    greediest = [guest for guest in able if counts.of(guest.address) == most]
    return min(greediest, key=lambda guest: (guest.used_at or 0.0, guest.since), default=None)
