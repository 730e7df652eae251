"""Announcing kept content in the DHT: at pin time, and again every AGAIN_SECONDS; other nodes drop a provider record
after two days.

The kept roots are read from the books, not remembered: the roots of standing pins, and the images that their metadata
names. Call `ring` when a pin begins or ends; without it the books are read every LOOK_SECONDS. Roots are announced one
after the other, the newest first, with a pause between them; a root that reached no node is tried again soon.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

import structlog
import trio

from pinning_worker.domain.content.cid import Root, cid_from_bytes
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.pin import STANDING
from pinning_worker.ports.books import Books
from pinning_worker.ports.world import Trouble

AGAIN_SECONDS = 22 * 3600.0
RETRY_SECONDS = 60.0
LOOK_SECONDS = 3600.0
PAUSE_SECONDS = 1.0

_log = structlog.get_logger(__name__)


class Provides(Protocol):
    """The part of the DHT that announces keys."""

    async def provide(self, key: Multihash) -> int: ...

    def provide_no_more(self, key: Multihash) -> None: ...


class Providing:
    """Announces the multihashes that `kept()` returns. Runs until cancelled."""

    def __init__(self, dht: Provides, kept: Callable[[], Awaitable[Collection[Multihash]]]) -> None:
        self._dht = dht
        self._kept = kept
        self._due_at: dict[Multihash, float] = {}
        self._bell = trio.Event()

    def ring(self) -> None:
        self._bell.set()

    async def run(self) -> None:
        while True:
            self._bell = trio.Event()
            await self._look()
            for key in self._due():
                await self._provide(key)
                if await self._rung(PAUSE_SECONDS):
                    break
            else:
                await self._rung(self._until_next())

    async def _look(self) -> None:
        try:
            kept = set(await self._kept())
        except Trouble as trouble:
            _log.warning("dht.kept_not_read", reason=str(trouble))
            return
        for key in self._due_at.keys() - kept:
            del self._due_at[key]
            self._dht.provide_no_more(key)
        for key in kept - self._due_at.keys():
            self._due_at[key] = trio.current_time()

    def _due(self) -> list[Multihash]:
        now = trio.current_time()
        return sorted(
            (key for key, at in self._due_at.items() if at <= now), key=self._due_at.__getitem__, reverse=True
        )

    async def _provide(self, key: Multihash) -> None:
        told = await self._dht.provide(key)
        self._due_at[key] = trio.current_time() + (AGAIN_SECONDS if told else RETRY_SECONDS)

    def _until_next(self) -> float:
        return min([LOOK_SECONDS, *(max(0.0, at - trio.current_time()) for at in self._due_at.values())])

    async def _rung(self, seconds: float) -> bool:
        with trio.move_on_after(seconds):
            await self._bell.wait()
        return self._bell.is_set()


class Kept:
    """The multihashes of the roots of all standing pins, and of the images that they name."""

    def __init__(self, books: Books, blocked: Callable[[Root], bool] = lambda root: False) -> None:
        self._books, self._blocked = books, blocked
        self._named: dict[Root, tuple[Root, ...]] = {}  # of measured roots; never changes

    async def __call__(self) -> set[Multihash]:
        roots = {pin.root for pin in await self._books.all_pins() if pin.state in STANDING}
        roots = {root for root in roots if not self._blocked(root)}
        self._named = {root: named for root, named in self._named.items() if root in roots}
        for root in roots - self._named.keys():
            request = await self._books.request(root)
            self._named[root] = request.references if request is not None else ()
        return {cid_from_bytes(cid).multihash for root in roots for cid in (root, *self._named[root])}
