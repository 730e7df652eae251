"""What one Electrum server says about the payment scripts today, asked once by an operator (`ledger check --chain`).

The introduction is the worker's own. Histories are claims: a server may hide a payment or be behind, so each is
compared with the books, and believed about nothing. A transaction that the books lack is fetched; it counts if it
hashes to its txid and pays one of the scripts. (A history also lists transactions that spend from a script.)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice

import trio

from pinning_worker.adapters.electrum.answers import HistoryRow, read_history, read_transaction_of
from pinning_worker.adapters.electrum.endpoint import Endpoint
from pinning_worker.adapters.electrum.faults import ElectrumTrouble, RequestRefused
from pinning_worker.adapters.electrum.frames import open_frames
from pinning_worker.adapters.electrum.introduction import introduce
from pinning_worker.adapters.electrum.pace import Pace
from pinning_worker.adapters.electrum.patience import Patience
from pinning_worker.adapters.electrum.wire import Wire
from pinning_worker.domain.chain.address import scripthash
from pinning_worker.domain.chain.networks import Network
from pinning_worker.domain.identities import Script, Txid
from pinning_worker.domain.ledger_check import Shown
from pinning_worker.domain.money.swartz import Swartz

MOST_FETCHED = 2_000  # unknown transactions of one server; a wallet that spends daily makes some hundred a year
ALL_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class HistoryReader:
    """`known`: the transactions in the books."""

    network: Network
    patience: Patience
    scripts: Collection[Script]
    known: Collection[Txid]

    async def read_all(self, endpoints: Sequence[Endpoint]) -> list[Shown | str]:
        """Asks all servers at the same time. A text is the fault of a server that gave no answer."""
        found: dict[Endpoint, Shown | str] = {}

        async def look(endpoint: Endpoint) -> None:
            found[endpoint] = await self._read(endpoint)

        async with trio.open_nursery() as nursery:
            for endpoint in dict.fromkeys(endpoints):
                nursery.start_soon(look, endpoint)
        return [found[endpoint] for endpoint in dict.fromkeys(endpoints)]

    async def _read(self, endpoint: Endpoint) -> Shown | str:
        found: Shown | str = f"{endpoint.url}: no answer within {ALL_SECONDS:g} s"
        with trio.move_on_after(ALL_SECONDS):
            async with trio.open_nursery() as nursery:
                found = await self._converse(endpoint, nursery)
                nursery.cancel_scope.cancel()
        return found

    async def _converse(self, endpoint: Endpoint, nursery: trio.Nursery) -> Shown | str:
        try:
            async with open_frames(endpoint, nursery) as frames:
                wire = Wire(frames, lambda _method, _params: None, lambda: None, Pace(), self.patience.answer_seconds)
                nursery.start_soon(wire.read)
                await introduce(wire, self.network)
                rows = await self._histories(wire)
                heights = {row.txid: row.height for row in rows if row.height > 0}
                return Shown(endpoint.url, heights, await self._unbooked(wire, heights))
        except ElectrumTrouble as fault:
            return f"{endpoint.url}: {fault}"

    async def _histories(self, wire: Wire) -> list[HistoryRow]:
        """Raises RequestRefused, LinkLost, ServerMisbehaved."""
        calls = [("blockchain.scripthash.get_history", (scripthash(script),)) for script in self.scripts]
        rows: list[HistoryRow] = []
        for answer in await wire.batch(calls):
            if isinstance(answer, RequestRefused):
                raise answer
            rows += read_history(answer)
        return rows

    async def _unbooked(self, wire: Wire, heights: Collection[Txid]) -> dict[Txid, Swartz]:
        unknown = list(islice((txid for txid in heights if txid not in self.known), MOST_FETCHED))
        answers = await wire.batch([("blockchain.transaction.get", (txid,)) for txid in unknown])
        found: dict[Txid, Swartz] = {}
        for txid, answer in zip(unknown, answers, strict=True):
            if isinstance(answer, RequestRefused):
                raise answer
            transaction = await read_transaction_of(txid, answer)
            paid = [output.amount for output in transaction.outputs if output.script in self.scripts]
            if paid:
                found[txid] = Swartz.total(paid)
        return found
