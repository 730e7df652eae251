"""Builds the stories and their neighbours, and runs them one inside the other.

bitswap engine, discovery  >  lifecycle, catalogue, take-down  >  watcher of payments, reader of requests
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import structlog
import trio

from pinning_worker.adapters.blocks.release_file import ReleaseFile
from pinning_worker.adapters.electrum.sight import Blindness
from pinning_worker.adapters.electrum.watcher import PaymentWatcher
from pinning_worker.adapters.machine.clock import SystemClock
from pinning_worker.adapters.machine.crash_file import CrashFile
from pinning_worker.adapters.p2p.bitswap.engine import Engine
from pinning_worker.adapters.p2p.bitswap.served_blocks import ServedBlocks
from pinning_worker.adapters.p2p.bounds.request_budget import RequestBudget
from pinning_worker.adapters.p2p.gossip.announcer import TopicAnnouncer
from pinning_worker.adapters.p2p.gossip.pubsub import Topic
from pinning_worker.adapters.p2p.gossip.request_reader import RequestReader
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.backfill import Backfill
from pinning_worker.catalogue import Catalogue
from pinning_worker.domain.topic.messages import AddedCid, ExpiredCid, Message
from pinning_worker.lifecycle import Lifecycle
from pinning_worker.settings import Settings
from pinning_worker.settings.denylist import DenylistFile
from pinning_worker.steps.neighbours import Neighbours
from pinning_worker.steps.providing import Kept, Providing
from pinning_worker.steps.takedown import TakeDown
from pinning_worker.steps.tariffs import begin_tariffs, differs
from pinning_worker.tally import Tally
from pinning_worker.wiring.chain import Listeners, network_followed, payment_watcher
from pinning_worker.wiring.network import Network
from pinning_worker.wiring.stores import BLOCKS_FOLDER, Stores
from pinning_worker.wiring.terms import prices_of, terms_of

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stories:
    """The stories, and all that drives them. Made by `build_stories` only; nothing in it works before `run`."""

    peers: Network
    topic_name: str
    network_name: str
    engine: Engine
    catalogue: Catalogue
    backfill: Backfill
    lifecycle: Lifecycle
    takedown: TakeDown
    denylist: DenylistFile
    watcher: PaymentWatcher
    reader: RequestReader
    tally: Tally
    providing: Providing | None

    def look_again(self) -> None:
        """Reads again what the operator may have changed while the worker runs."""
        self.takedown.look_again()
        self.lifecycle.look_again()

    async def run(
        self,
        on_ready: Callable[[Host], Awaitable[None]] | None,
        on_sight: Callable[[Blindness | None], None],
        until: trio.CancelScope,
    ) -> None:
        """Runs until `until` is cancelled. Then the innermost nursery ends first: the readers stop, then the stories
        announce what they have stored, then the engine stops serving blocks, and discovery takes its leave."""

        def sight_changed(reason: Blindness | None) -> None:
            on_sight(reason)
            self.lifecycle.ring()  # waiting requests may be fetched now

        self.watcher.sight.changed = sight_changed
        async with trio.open_nursery() as giving:
            await giving.start(self.engine.run)
            async with trio.open_nursery() as telling:
                await telling.start(self.catalogue.run)
                telling.start_soon(self.backfill.run)
                await telling.start(self.lifecycle.run)
                telling.start_soon(self.takedown.run, self.denylist, self.lifecycle.denylist_changed)
                with until:
                    async with trio.open_nursery() as hearing:
                        await hearing.start(self.watcher.run, Listeners(self.lifecycle, self.catalogue))
                        hearing.start_soon(self.reader.run)
                        giving.start_soon(self.peers.find_peers)  # a goodbye to a slow router holds up no last words
                        hearing.start_soon(self.tally.run, self._served)
                        if self.providing is not None:
                            hearing.start_soon(self.providing.run)
                        await self._tell_ready(on_ready)
                telling.cancel_scope.cancel()
            giving.cancel_scope.cancel()

    async def _tell_ready(self, on_ready: Callable[[Host], Awaitable[None]] | None) -> None:
        host = self.peers.host
        log.info("ready", peer=host.peer_id, addresses=host.addresses, network=self.network_name, topic=self.topic_name)
        if on_ready is not None:
            await on_ready(host)

    def _served(self) -> dict[str, int]:
        """Blocks and bytes served since the start, and the peers connected now."""
        server, peers = self.engine.server, self.peers.host.peers()
        return {"blocks_served": server.blocks_sent, "bytes_served": server.bytes_sent, "peers_now": len(peers)}


async def _begin_tariffs(settings: Settings, stores: Stores, now: datetime) -> None:
    """The settings give the first tariff; afterwards the books win."""
    prices = prices_of(settings)
    if differs(await begin_tariffs(stores.books, prices, now), prices, now):
        log.warning("tariff.differs", mend="the settings give the first tariff only: see `pinning-worker tariff show`")


async def build_stories(settings: Settings, peers: Network, stores: Stores, crashes: CrashFile) -> Stories:
    """Builds the stories and their neighbours, each after those that it uses."""
    network, host = await network_followed(settings, stores.books, stores.index), peers.host
    clock, tally = SystemClock(settings.clock_offset_file), Tally()
    await _begin_tariffs(settings, stores, clock.now())
    topic = await peers.pubsub.join(settings.topic)
    if host.hop is not None:
        host.hop.welcome = topic.has_subscriber if settings.relay_for == "topic" else lambda _peer: True
    denylist, takedown = DenylistFile(settings.denylist_file), TakeDown(stores.books)
    await takedown.apply(await trio.to_thread.run_sync(denylist.read))
    providing = Providing(peers.dht, Kept(stores.books, takedown.is_blocked)) if peers.dht is not None else None
    announcer = Announcers(TopicAnnouncer(topic), tally, providing)
    served = ServedBlocks(stores.blocks, stores.signed_receipts)
    engine = Engine(host, stores.blocks, source=served, providers=peers.dht, serves=takedown.serves)
    watcher = await payment_watcher(settings, network, stores, clock)
    catalogue = Catalogue(network, clock, watcher, stores.index, announcer)
    backfill = Backfill(network, clock, watcher, watcher, stores.index, catalogue.note_change)
    near = Neighbours(
        terms=terms_of(settings, takedown),
        clock=clock,
        books=stores.books,
        blocks=stores.blocks,
        receipts=stores.receipts,
        signed_receipts=stores.signed_receipts,
        signer=peers.signer,
        fetcher=engine,
        announcer=announcer,
        chain=watcher,
        new_id=lambda: secrets.token_hex(8),
        crash_notes=crashes,
        note_metadata=catalogue.note_metadata,
        release=ReleaseFile(settings.data_dir / BLOCKS_FOLDER),
    )
    lifecycle = Lifecycle(near, has_last_words=True)
    catalogue.media = lifecycle.media
    return Stories(
        peers=peers,
        topic_name=settings.topic,
        network_name=network.name,
        engine=engine,
        catalogue=catalogue,
        backfill=backfill,
        lifecycle=lifecycle,
        takedown=takedown,
        denylist=denylist,
        watcher=watcher,
        reader=_reader(settings, topic, tally, lifecycle, catalogue),
        tally=tally,
        providing=providing,
    )


def _reader(
    settings: Settings, topic: Topic, tally: Tally, lifecycle: Lifecycle, catalogue: Catalogue
) -> RequestReader:
    """The reader of the topic, whose requests enter by the doors of the stories."""
    return RequestReader(
        topic.intake,
        RequestBudget(
            requests_per_peer_per_minute=settings.requests_per_peer_per_minute,
            requests_per_minute=settings.requests_per_minute,
        ),
        asked=tally.counting("requests", lifecycle.asked),
        ill_asked=lifecycle.ill_asked,
        listed=tally.counting("lists", catalogue.listed),
    )


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
