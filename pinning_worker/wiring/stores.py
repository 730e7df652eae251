"""The worker's data on disk: the database, its journals beside the blocks, and the blocks themselves.

Opening compares them first (`pairing.py`), and refuses a database that is not these blocks' own.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import structlog
import trio

from pinning_worker.adapters.blocks.disk import DiskBlocks
from pinning_worker.adapters.blocks.entry_journal import note_missing_entries, read_entries
from pinning_worker.adapters.blocks.quote_journal import QuoteJournal, newest_quote, read_quotes
from pinning_worker.adapters.blocks.receipt_journal import JournaledReceipts, read_journal
from pinning_worker.adapters.blocks.rights import require_usable
from pinning_worker.adapters.blocks.tariff_journal import TariffJournal, read_tariffs
from pinning_worker.adapters.sql.books import SqlBooks
from pinning_worker.adapters.sql.database import Database, open_database
from pinning_worker.adapters.sql.name_index import SqlNameIndex
from pinning_worker.adapters.sql.receipts import SqlReceipts
from pinning_worker.adapters.sql.signed_receipts import SqlSignedReceipts
from pinning_worker.ports.books import Books, Receipts
from pinning_worker.settings import Settings
from pinning_worker.steps.recovering import (
    QUOTES_AT_ONCE,
    quotes_of,
    take_up_entries,
    take_up_quotes,
    take_up_receipts,
    take_up_tariffs,
)
from pinning_worker.wiring.pairing import Store

log = structlog.get_logger()

BLOCKS_FOLDER = "blocks"


@dataclass(frozen=True, slots=True)
class Stores:
    books: SqlBooks
    receipts: JournaledReceipts
    signed_receipts: SqlSignedReceipts
    index: SqlNameIndex
    blocks: DiskBlocks


@asynccontextmanager
async def open_stores(settings: Settings) -> AsyncGenerator[Stores, None]:
    async with open_database(settings.database_url) as database:
        folder = settings.data_dir / BLOCKS_FOLDER
        await trio.to_thread.run_sync(require_usable, folder)
        await Store(database, settings.database_url, folder).open_together()
        blocks = await DiskBlocks.open(folder, most_unpaid=settings.staging_quota)
        books = journaled_books(database, folder)
        receipts = await JournaledReceipts.open(SqlReceipts(database), folder)
        await _note_missing_tariffs(books, folder)
        await note_missing_entries(await books.entries(), folder)
        if await _is_behind(books, receipts, folder):
            taken = await take_journals(settings, SqlBooks(database), SqlReceipts(database), folder)
            log.warning("books.behind", receipts_taken=taken, reason="it knew less than the journals beside the blocks")
        yield Stores(books, receipts, await SqlSignedReceipts.open(database), SqlNameIndex(database), blocks)


def journaled_books(database: Database, folder: Path) -> SqlBooks:
    """Books that write each quote and tariff to the journals in that folder of blocks first."""
    return SqlBooks(database, QuoteJournal(folder).note, TariffJournal(folder).note)


async def _note_missing_tariffs(books: SqlBooks, folder: Path) -> None:
    """Adds the tariffs that the journal lacks: those of an earlier version, or of a migration, and the last strike if a
    kill came before its line."""
    noted = {tariff.number: tariff for tariff in await trio.to_thread.run_sync(read_tariffs, folder)}
    for tariff in await books.tariffs():
        if tariff.number not in noted or tariff.struck > noted[tariff.number].struck:
            await TariffJournal(folder).note(tariff)


async def _is_behind(books: SqlBooks, receipts: JournaledReceipts, folder: Path) -> bool:
    """Whether the journals know more: a database copied and restored within one run has the same mark as before."""
    newest = await trio.to_thread.run_sync(newest_quote, folder)
    is_quoted = newest is None or newest.id in {quote.id for quote in await books.quotes(newest.root)}
    noted = await trio.to_thread.run_sync(read_tariffs, folder)
    struck = {tariff.number: tariff.struck for tariff in await books.tariffs()}
    knows_tariffs = all(tariff.number in struck and struck[tariff.number] >= tariff.struck for tariff in noted)
    entries = await trio.to_thread.run_sync(read_entries, folder)
    knows_entries = len(entries) <= len(await books.entries())
    return receipts.knew_more or not (is_quoted and knows_tariffs and knows_entries)


async def take_journals(settings: Settings, books: Books, receipts: Receipts, folder: Path) -> int:
    """Takes tariffs, entries, quotes and receipts from the journals beside the blocks, before the chain shows their
    payments. Returns how many receipts were new to the books. Raises Trouble."""
    await take_up_tariffs(books, await trio.to_thread.run_sync(read_tariffs, folder))
    await take_up_entries(books, await trio.to_thread.run_sync(read_entries, folder))
    journal = await trio.to_thread.run_sync(read_journal, folder)
    address, script = settings.payment_address[0], settings.payment_scripts[0]
    promises = chain(read_quotes(folder), quotes_of(journal, address=address, script=script, network=settings.network))
    while batch := await trio.to_thread.run_sync(lambda: list(islice(promises, QUOTES_AT_ONCE))):
        await take_up_quotes(books, batch)
    return await take_up_receipts(receipts, journal)
