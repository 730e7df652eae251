"""One question to the network: ask the known peers closest to a key for closer ones, until there are none.

`Walk` is the bookkeeping, pure; `walk` runs it, with at most ALPHA peers asked at the same time, MOST_ASKED in all, and
for WALK_SECONDS at most.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import trio

from pinning_worker.adapters.p2p.dht.contacts import CLOSEST, Contact, place_of
from pinning_worker.domain.identities import PeerId
from pinning_worker.ungroup import one_error

ALPHA = 8
MOST_ASKED = 60
WALK_SECONDS = 60.0


class Walk:
    def __init__(self, key: bytes, start: Iterable[Contact]) -> None:
        self._wanted = place_of(key)
        self._known: dict[PeerId, tuple[int, Contact]] = {}
        self._asked: set[PeerId] = set()
        self._answered: set[PeerId] = set()
        self._failed: set[PeerId] = set()
        self._learn(start)

    def next(self) -> Contact | None:
        """The next peer to ask: the closest of the CLOSEST that nobody has asked yet."""
        if len(self._asked) >= MOST_ASKED:
            return None
        return next((contact for contact in self._near() if contact.peer not in self._asked), None)

    def asked(self, peer: PeerId) -> None:
        self._asked.add(peer)

    def answered(self, peer: PeerId, closer: Iterable[Contact]) -> None:
        self._answered.add(peer)
        self._learn(closer)

    def failed(self, peer: PeerId) -> None:
        self._failed.add(peer)

    def found(self) -> list[Contact]:
        """The closest peers that answered, closest first."""
        return [contact for contact in self._near() if contact.peer in self._answered]

    def _learn(self, contacts: Iterable[Contact]) -> None:
        for contact in contacts:
            known = self._known.get(contact.peer)
            if known is None or (contact.addresses and not known[1].addresses):
                self._known[contact.peer] = (contact.place ^ self._wanted, contact)

    def _near(self) -> list[Contact]:
        alive = sorted(
            (entry for entry in self._known.values() if entry[1].peer not in self._failed), key=lambda entry: entry[0]
        )
        return [contact for _, contact in alive[:CLOSEST]]


async def walk(
    key: bytes, start: Iterable[Contact], ask: Callable[[Contact], Awaitable[list[Contact] | None]]
) -> list[Contact]:
    """The closest peers to that key that answered. `ask` returns the peers that a peer calls closer, or None: no
    answer."""
    way, busy, moved = Walk(key, start), 0, trio.Event()

    async def one(contact: Contact) -> None:
        nonlocal busy
        closer = await ask(contact)
        if closer is None:
            way.failed(contact.peer)
        else:
            way.answered(contact.peer, closer)
        busy -= 1
        moved.set()

    with trio.move_on_after(WALK_SECONDS), one_error():
        async with trio.open_nursery() as nursery:
            while True:
                while busy < ALPHA and (contact := way.next()) is not None:
                    way.asked(contact.peer)
                    busy += 1
                    nursery.start_soon(one, contact)
                if not busy:
                    break
                await moved.wait()
                moved = trio.Event()
    return way.found()
