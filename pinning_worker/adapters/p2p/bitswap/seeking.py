"""Looking for other peers that have the blocks when the asker gives none: providers from a directory outside bitswap.

It starts only when nothing came for SEEK_AFTER_SECONDS, for it reveals our wants to strangers. At most MOST_TRIED of
the providers found are dialled, AT_ONCE at a time, until MOST_REACHED are connected; the session asks them like any
other peer, and their connections end with it. All of it is within the fetch's own budget.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Protocol

import structlog
import trio

from pinning_worker.adapters.p2p.bitswap.session import Session
from pinning_worker.adapters.p2p.dht.contacts import Contact
from pinning_worker.adapters.p2p.errors import CannotConnect
from pinning_worker.domain.content.cid import Cid
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.identities import PeerId
from pinning_worker.ungroup import one_error

SEEK_AFTER_SECONDS = 2.0
SEEK_AGAIN_SECONDS = 30.0
LOOK_SECONDS = 0.25
MOST_TRIED = 20
MOST_REACHED = 3
AT_ONCE = 3

_log = structlog.get_logger(__name__)


class Providers(Protocol):
    async def find(self, key: Multihash, tell: Callable[[Contact], None]) -> None:
        """Calls `tell` for each provider of that multihash as it is found."""

    def visit(self, contact: Contact) -> AbstractAsyncContextManager[None]:
        """Connected while the block runs. Raises CannotConnect."""


async def seek(root: Cid, session: Session, providers: Providers) -> None:
    """Runs until cancelled."""
    places = trio.Semaphore(AT_ONCE)
    tried: set[PeerId] = set()
    reached: set[PeerId] = set()

    async def ask(contact: Contact) -> None:
        try:
            async with AsyncExitStack() as stay:
                async with places:
                    if len(reached) >= MOST_REACHED:
                        return
                    await stay.enter_async_context(providers.visit(contact))
                    reached.add(contact.peer)
                session.suggest(contact.peer)
                await trio.sleep_forever()
        except CannotConnect as error:
            _log.debug("bitswap.provider_not_reached", peer=contact.peer, reason=str(error))

    def tell(contact: Contact) -> None:
        if contact.peer not in tried and len(tried) < MOST_TRIED:
            tried.add(contact.peer)
            nursery.start_soon(ask, contact)

    with one_error():
        async with trio.open_nursery() as nursery:
            while True:
                while session.waited < SEEK_AFTER_SECONDS:  # noqa: ASYNC110  time passes, nothing happens
                    await trio.sleep(LOOK_SECONDS)
                _log.info("bitswap.looking_for_providers", cid=str(root))
                await providers.find(root.multihash, tell)
                await trio.sleep(SEEK_AGAIN_SECONDS)
                tried &= reached
