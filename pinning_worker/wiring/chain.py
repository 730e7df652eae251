"""The chain, as the settings say: the headers to follow, and the watcher of payments on Electrum servers."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
import trio

from pinning_worker.adapters.electrum.header_file import HeaderFile
from pinning_worker.adapters.electrum.watcher import PaymentWatcher
from pinning_worker.adapters.machine.clock import SystemClock
from pinning_worker.adapters.sql.books import SqlBooks
from pinning_worker.adapters.sql.name_index import SqlNameIndex
from pinning_worker.catalogue import Catalogue
from pinning_worker.domain.chain.address import script_to_address
from pinning_worker.domain.chain.anchor import anchor_heights
from pinning_worker.domain.chain.networks import NETWORKS, BadCheckpoint, starting_lower, with_checkpoint
from pinning_worker.domain.chain.networks import Network as ChainRules
from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.payment import Sighting, Tip
from pinning_worker.lifecycle import Lifecycle
from pinning_worker.settings import Settings
from pinning_worker.steps.recovering import (
    promised_scripts,
)
from pinning_worker.wiring.stores import Stores

log = structlog.get_logger()


async def network_followed(settings: Settings, books: SqlBooks, index: SqlNameIndex) -> ChainRules:
    """The network's row, with the operator's checkpoint. The header chain must reach down to the lowest block with a
    payment in the books, and to the next height of the name index: payments since then are still to be read. A stored
    chain may reach that far; else a new chain starts at the row's own anchor, below the checkpoint. Raises
    BadCheckpoint, WrongCheckpoint."""
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


async def payment_watcher(
    settings: Settings, network: ChainRules, stores: Stores, clock: SystemClock
) -> PaymentWatcher:
    """A watcher that knows from the books which scripts may still be paid, and where each payment was proven."""
    books, now = stores.books, clock.now()
    known, in_use = await books.all_payments(), await books.scripts_in_use(now)
    for script in in_use - set(settings.payment_scripts):
        log.info("payment.address_kept", address=script_to_address(script, network), script=script.hex())
    return PaymentWatcher(
        network,
        clock,
        settings.electrum_servers,
        longest_unseen=settings.longest_unseen,
        scripts=[
            *settings.payment_scripts,
            *in_use,
            *await promised_scripts(books, stores.receipts, now),
        ],
        headers=HeaderFile(settings.data_dir, network),
        remembered={payment.txid: payment.proof for payment in known if not payment.gone},
        read_again=await books.payments_without_proof(),
    )


@dataclass(frozen=True, slots=True)
class Listeners:
    """Passes news of the chain to both stories; the catalogue hears only that the tip moved."""

    lifecycle: Lifecycle
    catalogue: Catalogue

    async def payment_seen(self, sighting: Sighting) -> None:
        await self.lifecycle.payment_seen(sighting)

    async def payment_gone(self, txid: Txid) -> None:
        await self.lifecycle.payment_gone(txid)

    async def tip_moved(self, tip: Tip, fork_height: int | None) -> None:
        await self.lifecycle.tip_moved(tip, fork_height)
        self.catalogue.ring()
