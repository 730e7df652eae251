"""Builds the stories and their neighbours, and runs them one inside the other.

bitswap engine, discovery  >  lifecycle, catalogue, take-down  >  watcher of payments, reader of requests
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
import trio

from pinning_worker.adapters.blocks.release_file import ReleaseFile
from pinning_worker.adapters.electrum.sight import Blindness
from pinning_worker.adapters.machine.clock import SystemClock
from pinning_worker.adapters.machine.crash_file import CrashFile
from pinning_worker.adapters.p2p.bitswap.engine import Engine
from pinning_worker.adapters.p2p.bounds.request_budget import RequestBudget
from pinning_worker.adapters.p2p.gossip.announcer import TopicAnnouncer
from pinning_worker.adapters.p2p.gossip.request_reader import RequestReader
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.catalogue import Catalogue
from pinning_worker.domain.topic.messages import AddedCid, ExpiredCid, Message
from pinning_worker.lifecycle import Lifecycle
from pinning_worker.settings import Settings
from pinning_worker.settings.denylist import DenylistFile
from pinning_worker.steps.neighbours import Neighbours
from pinning_worker.steps.providing import Kept, Providing
from pinning_worker.steps.takedown import TakeDown
from pinning_worker.tally import Tally
from pinning_worker.wiring.chain import Listeners, network_followed, payment_watcher
from pinning_worker.wiring.network import Network
from pinning_worker.wiring.stores import BLOCKS_FOLDER, Stores
from pinning_worker.wiring.terms import terms_of

log = structlog.get_logger()


async def tell_stories(
    settings: Settings,
    peers: Network,
    stores: Stores,
    crashes: CrashFile,
    on_hangup: list[Callable[[], None]],
    on_ready: Callable[[Host], Awaitable[None]] | None,
    on_sight: Callable[[Blindness | None], None],
    until: trio.CancelScope,
) -> None:
    """Runs the stories until `until` is cancelled. Then the innermost nursery ends first: the readers stop, then the
    stories announce what they have stored, then the engine stops serving blocks, and discovery takes its leave.

    This adds the bells of SIGHUP to `on_hangup`."""
    network, host = await network_followed(settings, stores.books, stores.index), peers.host
    clock = SystemClock(settings.clock_offset_file)
    topic = await peers.pubsub.join(settings.topic)
    if host.hop is not None:
        host.hop.welcome = topic.has_subscriber if settings.relay_for == "topic" else lambda _peer: True
    denylist, takedown = DenylistFile(settings.denylist_file), TakeDown(stores.books)
    await takedown.apply(await trio.to_thread.run_sync(denylist.read))
    providing = Providing(peers.dht, Kept(stores.books, takedown.is_blocked)) if peers.dht is not None else None
    tally = Tally()
    announcer = Announcers(TopicAnnouncer(topic), tally, providing)
    engine = Engine(host, stores.blocks, providers=peers.dht, serves=takedown.serves)
    watcher = await payment_watcher(settings, network, stores, clock)
    catalogue = Catalogue(network, clock, watcher, stores.index, announcer)
    lifecycle = Lifecycle(
        Neighbours(
            terms=terms_of(settings, takedown),
            clock=clock,
            books=stores.books,
            blocks=stores.blocks,
            receipts=stores.receipts,
            fetcher=engine,
            announcer=announcer,
            chain=watcher,
            new_id=lambda: secrets.token_hex(8),
            crash_notes=crashes,
            note_metadata=catalogue.note_metadata,
            release=ReleaseFile(settings.data_dir / BLOCKS_FOLDER),
        ),
        has_last_words=True,
    )

    def sight_changed(reason: Blindness | None) -> None:
        on_sight(reason)
        lifecycle.ring()  # waiting requests may be fetched now

    watcher.sight.changed = sight_changed
    on_hangup.extend([takedown.look_again, lifecycle.look_again])
    reader = RequestReader(
        topic.intake,
        RequestBudget(settings.requests_per_peer_per_minute, settings.requests_per_minute),
        asked=tally.counting("requests", lifecycle.asked),
        ill_asked=lifecycle.ill_asked,
        listed=tally.counting("lists", catalogue.listed),
    )
    if until.cancel_called:  # a signal during the opening: no work begins any more
        return
    async with trio.open_nursery() as giving:
        await giving.start(engine.run)
        async with trio.open_nursery() as telling:
            await telling.start(catalogue.run)
            await telling.start(lifecycle.run)
            telling.start_soon(takedown.run, denylist, lifecycle.denylist_changed)
            with until:
                async with trio.open_nursery() as hearing:
                    await hearing.start(watcher.run, Listeners(lifecycle, catalogue))
                    hearing.start_soon(reader.run)
                    giving.start_soon(peers.find_peers)  # a goodbye to a slow router holds up no last words
                    hearing.start_soon(tally.run, lambda: _served(engine, host))
                    if providing is not None:
                        hearing.start_soon(providing.run)
                    log.info(
                        "ready", peer=host.peer_id, addresses=host.addresses, network=network.name, topic=settings.topic
                    )
                    if on_ready is not None:
                        await on_ready(host)
            telling.cancel_scope.cancel()
        giving.cancel_scope.cancel()


def _served(engine: Engine, host: Host) -> dict[str, int]:
    """Blocks and bytes served since the start, and the peers connected now."""
    server = engine.server
    return {"blocks_served": server.blocks_sent, "bytes_served": server.bytes_sent, "peers_now": len(host.peers())}


@dataclass(frozen=True, slots=True)
class Announcers:
    """Publishes on the topic and counts messages. A pin that begins or ends also rings the provider of the DHT."""

    topic: TopicAnnouncer
    tally: Tally
    providing: Providing | None

    async def say(self, message: Message) -> None:
        await self.topic.say(message)
        self.tally.note_said(message)
        if self.providing is not None and isinstance(message, AddedCid | ExpiredCid):
            self.providing.ring()
