"""The composition root: opens the adapters, hands them to the stories, and closes everything in the right order.

    data directory's lock  >  libp2p host, gossip  >  database, block store  >  stories, bitswap, intake, watcher

Nesting is the shutdown order: SIGTERM ends the innermost first, so nothing is taken in that could not be finished, and
whoever is asked still has what it needs to answer. `on_ready` is called once everything runs, `on_ending` when the end
begins, `on_sight` when the chain comes into sight (None) or is lost (why). SIGHUP never ends the worker: from the
first line of `run` to the last it rings whatever is read again while the worker runs.
"""

from __future__ import annotations

import secrets
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import structlog
import trio

from pinning_worker import __version__
from pinning_worker.adapters.blocks.disk import DiskBlocks
from pinning_worker.adapters.blocks.quote_journal import QuoteJournal, newest_quote, read_quotes
from pinning_worker.adapters.blocks.receipt_journal import JournaledReceipts, read_journal
from pinning_worker.adapters.blocks.release_file import ReleaseFile
from pinning_worker.adapters.blocks.rights import require_usable
from pinning_worker.adapters.electrum.header_file import HeaderFile
from pinning_worker.adapters.electrum.sight import Blindness
from pinning_worker.adapters.electrum.watcher import PaymentWatcher
from pinning_worker.adapters.machine.clock import SystemClock
from pinning_worker.adapters.machine.crash_file import CrashFile, read_crash_file
from pinning_worker.adapters.machine.datadir import hold_data_dir
from pinning_worker.adapters.p2p.bitswap.engine import Engine
from pinning_worker.adapters.p2p.bounds.request_budget import RequestBudget
from pinning_worker.adapters.p2p.gossip.announcer import TopicAnnouncer
from pinning_worker.adapters.p2p.gossip.request_reader import RequestReader
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.sql.books import SqlBooks
from pinning_worker.adapters.sql.database import open_database
from pinning_worker.adapters.sql.migrate import require_ready
from pinning_worker.adapters.sql.name_index import SqlNameIndex
from pinning_worker.adapters.sql.receipts import SqlReceipts
from pinning_worker.catalogue import Catalogue
from pinning_worker.domain.chain.anchor import anchor_heights
from pinning_worker.domain.chain.networks import NETWORKS, BadCheckpoint, starting_lower, with_checkpoint
from pinning_worker.domain.chain.networks import Network as ChainRules
from pinning_worker.domain.money.payment import Sighting, Tip
from pinning_worker.domain.money.pricing import PriceList
from pinning_worker.domain.topic.messages import AddedCid, ExpiredCid, Message
from pinning_worker.domain.verdict import Depth
from pinning_worker.lifecycle import Lifecycle
from pinning_worker.ports import Books, Receipts
from pinning_worker.settings import Settings
from pinning_worker.settings.denylist import DenylistFile
from pinning_worker.steps.providing import Kept, Providing
from pinning_worker.steps.recovering import (
    QUOTES_AT_ONCE,
    promised_scripts,
    quotes_of,
    take_up_quotes,
    take_up_receipts,
)
from pinning_worker.steps.takedown import TakeDown
from pinning_worker.steps.terms import Terms
from pinning_worker.tally import Tally
from pinning_worker.ungroup import one_error
from pinning_worker.wiring.network import Network, open_network
from pinning_worker.wiring.pairing import Store

log = structlog.get_logger()

BLOCKS_FOLDER = "blocks"
LAST_WORDS_SECONDS = 3.0  # for what was said before the end to leave; also for the opening, where it ends that


async def run(
    settings: Settings,
    on_ready: Callable[[Host], Awaitable[None]] | None = None,
    on_ending: Callable[[], None] = lambda: None,
    on_sight: Callable[[Blindness | None], None] = lambda _: None,
) -> None:
    """The worker, until SIGTERM or SIGINT. Raises what opening the adapters raises, each with its own advice."""
    with one_error(), trio.open_signal_receiver(signal.SIGHUP) as hangups:
        async with trio.open_nursery() as outermost:
            rereading = _Rereading()
            outermost.start_soon(rereading.run, hangups)
            await _hold_and_run(settings, rereading, on_ready, on_ending, on_sight)
            outermost.cancel_scope.cancel()


@dataclass(frozen=True, slots=True)
class _Rereading:
    """What SIGHUP rings: each only wakes whoever reads, and says for itself what could not be read."""

    bells: list[Callable[[], None]] = field(default_factory=list)

    async def run(self, hangups: AsyncIterator[int]) -> None:
        async for _ in hangups:
            log.info("settings.reread", what="the denylist, and what `blocks release` lets go")
            for ring in self.bells:
                ring()


async def _hold_and_run(
    settings: Settings,
    rereading: _Rereading,
    on_ready: Callable[[Host], Awaitable[None]] | None,
    on_ending: Callable[[], None],
    on_sight: Callable[[Blindness | None], None],
) -> None:
    with hold_data_dir(settings.data_dir, settings.network):
        await trio.to_thread.run_sync(require_ready, settings.database_url)
        crashes = await trio.to_thread.run_sync(read_crash_file, settings.data_dir, __version__)
        async with trio.open_nursery() as nursery:
            stories = trio.CancelScope()

            def ending() -> None:
                crashes.forget_at_work()
                on_ending()

            nursery.start_soon(_end_on_signal, stories, nursery.cancel_scope, ending)
            async with open_network(settings) as network, _stores(settings) as opened:
                with crashes.open(), stories:
                    await _tell_stories(settings, network, opened, crashes, rereading, on_ready, on_sight)
                await network.pubsub.said()
            nursery.cancel_scope.cancel()


async def _end_on_signal(
    stories: trio.CancelScope, everything: trio.CancelScope, on_ending: Callable[[], None]
) -> None:
    """First the stories; what they have said may leave yet, for a moment."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("worker.ending", signal=signal.Signals(number).name)
            on_ending()
            stories.cancel()
            everything.deadline = trio.current_time() + LAST_WORDS_SECONDS
            return


@dataclass(frozen=True, slots=True)
class _Stores:
    books: SqlBooks
    receipts: JournaledReceipts
    index: SqlNameIndex
    blocks: DiskBlocks


@asynccontextmanager
async def _stores(settings: Settings) -> AsyncGenerator[_Stores, None]:
    async with open_database(settings.database_url) as database:
        folder = settings.data_dir / BLOCKS_FOLDER
        await trio.to_thread.run_sync(require_usable, folder)
        await Store(database, settings.database_url, folder).open_together()
        blocks = await DiskBlocks.open(folder, most_unpaid=settings.staging_quota)
        books = SqlBooks(database, QuoteJournal(folder).note)
        receipts = await JournaledReceipts.open(SqlReceipts(database), folder)
        if await _is_behind(books, receipts, folder):
            taken = await take_journals(settings, SqlBooks(database), SqlReceipts(database), folder)
            log.warning("books.behind", receipts_taken=taken, reason="it knew less than the journals beside the blocks")
        yield _Stores(books, receipts, SqlNameIndex(database), blocks)


async def _is_behind(books: SqlBooks, receipts: JournaledReceipts, folder: Path) -> bool:
    """A database copied and put back within one run looks like today's, and knows less than the journals."""
    newest = await trio.to_thread.run_sync(newest_quote, folder)
    is_quoted = newest is None or newest.id in {quote.id for quote in await books.quotes(newest.root)}
    return receipts.knew_more or not is_quoted


async def take_journals(settings: Settings, books: Books, receipts: Receipts, folder: Path) -> int:
    """What was promised, by the journals beside the blocks, before the chain tells of its payments. Returns how many
    receipts were new to the books. Raises Trouble."""
    journal = await trio.to_thread.run_sync(read_journal, folder)
    address, script = settings.quoted_address, settings.payment_scripts[0]
    promises = chain(read_quotes(folder), quotes_of(journal, address=address, script=script, network=settings.network))
    while batch := await trio.to_thread.run_sync(lambda: list(islice(promises, QUOTES_AT_ONCE))):
        await take_up_quotes(books, batch)
    return await take_up_receipts(receipts, journal)


async def _tell_stories(
    settings: Settings,
    peers: Network,
    stores: _Stores,
    crashes: CrashFile,
    rereading: _Rereading,
    on_ready: Callable[[Host], Awaitable[None]] | None,
    on_sight: Callable[[Blindness | None], None],
) -> None:
    network, host = await network_followed(settings, stores.books, stores.index), peers.host
    clock = SystemClock(settings.clock_offset_file)
    topic = await peers.pubsub.join(settings.topic)
    if host.hop is not None:
        host.hop.welcome = topic.has_subscriber if settings.relay_for == "topic" else lambda _peer: True
    denylist, takedown = DenylistFile(settings.denylist_file), TakeDown(stores.books)
    await takedown.apply(await trio.to_thread.run_sync(denylist.read))
    providing = Providing(peers.dht, Kept(stores.books, takedown.is_blocked)) if peers.dht is not None else None
    tally = Tally()
    announcer = _Announcers(TopicAnnouncer(topic), tally, providing)
    engine = Engine(host, stores.blocks, providers=peers.dht, serves=takedown.serves)
    watcher = await _payment_watcher(settings, network, stores, clock)
    catalogue = Catalogue(network, clock, watcher, stores.index, announcer)
    lifecycle = Lifecycle(
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
        has_last_words=True,
    )

    def sight_changed(reason: Blindness | None) -> None:
        on_sight(reason)
        lifecycle.ring()  # requests that were kept waiting may be fetched now

    watcher.sight.changed = sight_changed
    rereading.bells.extend([takedown.look_again, lifecycle.look_again])
    reader = RequestReader(
        topic.intake,
        RequestBudget(settings.requests_per_peer_per_minute, settings.requests_per_minute),
        asked=tally.counting("requests", lifecycle.asked),
        ill_asked=lifecycle.ill_asked,
        listed=tally.counting("lists", catalogue.listed),
    )
    async with trio.open_nursery() as services:
        await services.start(engine.run)
        await services.start(catalogue.run)
        await services.start(lifecycle.run)
        await services.start(watcher.run, _Listeners(lifecycle, catalogue))
        services.start_soon(takedown.run, denylist, lifecycle.denylist_changed)
        services.start_soon(reader.run)
        services.start_soon(peers.find_peers)
        services.start_soon(tally.run, lambda: _served(engine, host))
        if providing is not None:
            services.start_soon(providing.run)
        log.info("ready", peer=host.peer_id, addresses=host.addresses, network=network.name, topic=settings.topic)
        if on_ready is not None:
            await on_ready(host)


async def network_followed(settings: Settings, books: SqlBooks, index: SqlNameIndex) -> ChainRules:
    """The row, with the operator's checkpoint. The chain of headers must reach down to the lowest block of which this
    worker knows a payment, and to where its name index goes on: what was paid since then is yet to be read. A stored
    one may do; a new one starts below the checkpoint if it must. Raises BadCheckpoint, WrongCheckpoint."""
    row, checkpoint = NETWORKS[settings.network], settings.checkpoint
    network = with_checkpoint(row, checkpoint)
    if checkpoint is None:
        return network
    proofs = [payment.proof.height for payment in await books.all_payments() if payment.proof is not None]
    next_indexed = await index.next_height()
    needed_from = min([*proofs, *([next_indexed] if next_indexed is not None else [])], default=None)
    if needed_from is None or needed_from >= anchor_heights(network).start:
        return network
    stored = await trio.to_thread.run_sync(HeaderFile(settings.data_dir, network).load)
    reaches = stored is not None and stored.base_height <= needed_from
    try:
        return network if reaches else starting_lower(row, checkpoint, needed_from)
    except BadCheckpoint as error:
        raise BadCheckpoint(f"PINNING_CHECKPOINT {error}") from error


async def _payment_watcher(
    settings: Settings, network: ChainRules, stores: _Stores, clock: SystemClock
) -> PaymentWatcher:
    """Knows what the books remember: whom money is still expected from, and which payments were proven where."""
    books, now = stores.books, clock.now()
    known = await books.all_payments()
    return PaymentWatcher(
        network,
        clock,
        settings.electrum_servers,
        scripts=[
            *settings.payment_scripts,
            *await books.scripts_in_use(now),
            *await promised_scripts(books, stores.receipts, now),
        ],
        headers=HeaderFile(settings.data_dir, network),
        remembered={payment.txid: payment.proof for payment in known if not payment.gone},
        longest_unseen=settings.longest_unseen,
    )


def terms_of(settings: Settings, takedown: TakeDown) -> Terms:
    """What the operator decided, in the story's words."""
    return Terms(
        prices=PriceList(settings.price_version, settings.price_per_mib_month, settings.min_fee),
        payment_address=settings.quoted_address,
        payment_script=settings.payment_scripts[0],
        network=settings.network,
        depth=Depth(settings.confirmations, settings.credit_blocks),
        budget=settings.budget,
        staging_quota=settings.staging_quota,
        quarantine=settings.quarantine,
        quote_life=settings.quote_life,
        most_months=settings.most_months,
        most_active=settings.queue_size,
        most_active_per_peer=settings.queue_size_per_peer,
        fetches_at_once=settings.fetches_at_once,
        denied=takedown.denies,
        blocked=takedown.is_blocked,
    )


def _served(engine: Engine, host: Host) -> dict[str, int]:
    """What has been given to peers since the start, and how many there are now."""
    server = engine.server
    return {"blocks_served": server.blocks_sent, "bytes_served": server.bytes_sent, "peers_now": len(host.peers())}


@dataclass(frozen=True, slots=True)
class _Announcers:
    """What is said on the topic; a pin that begins or ends changes what the DHT is told."""

    topic: TopicAnnouncer
    tally: Tally
    providing: Providing | None

    async def say(self, message: Message) -> None:
        await self.topic.say(message)
        self.tally.note_said(message)
        if self.providing is not None and isinstance(message, AddedCid | ExpiredCid):
            self.providing.ring()


@dataclass(frozen=True, slots=True)
class _Listeners:
    """Both stories hear of the chain; the catalogue only that it moved."""

    lifecycle: Lifecycle
    catalogue: Catalogue

    async def payment_seen(self, sighting: Sighting) -> None:
        await self.lifecycle.payment_seen(sighting)

    async def payment_gone(self, txid: str) -> None:
        await self.lifecycle.payment_gone(txid)

    async def tip_moved(self, tip: Tip, fork_height: int | None) -> None:
        await self.lifecycle.tip_moved(tip, fork_height)
        self.catalogue.ring()
