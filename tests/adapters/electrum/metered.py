"""A scripted server with ElectrumX's own cost limits, and an address at which ten thousand payments of a swartz stand.

What a request costs, from where on it is delayed, when the session ends: as in electrumx 2.0 (`session.py`) and aiorpcx
0.25, with their defaults. `most_cost` is the highest that the session came to; `hung_up` counts its ends.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

import trio

from pinning_worker.domain.chain.transaction import Transaction
from pinning_worker.domain.identities import Txid
from tests.adapters.electrum.scripted import Ledger, Refusal, ScriptedServer, payment

SOFT, HARD, PER_ERROR, PER_BYTE, SLOWEST, AT_ONCE = 1_000.0, 10_000.0, 100.0, 1 / 5000, 2.0, 10
_COST = {
    "blockchain.transaction.get": 1.0,
    "blockchain.transaction.get_merkle": 0.4,
    "blockchain.scripthash.get_history": 0.1,
    "blockchain.scripthash.subscribe": 1.0,
}


@dataclass
class Metered(ScriptedServer):
    cost: float = 5.0
    most_cost: float = 0.0
    hung_up: int = 0
    _owed_seconds: float = 0.0
    _at: float = field(default_factory=trio.current_time)

    def respond(self, frame: bytes) -> bytes | None:
        asked = json.loads(frame)
        requests = asked if isinstance(asked, list) else [asked]
        now = trio.current_time()
        self.cost, self._at = max(0.0, self.cost - (now - self._at) * HARD / 10_000), now
        answers = [self._metered(request) for request in requests]
        answer = json.dumps(answers if isinstance(asked, list) else answers[0]).encode()
        self.cost += (len(frame) + len(answer)) * PER_BYTE
        self.most_cost = max(self.most_cost, self.cost)
        return answer

    def _metered(self, request: dict[str, Any]) -> dict[str, Any]:
        """Each request of a batch waits for itself, some at a time."""
        strain = max(0.0, (self.cost - SOFT) / (HARD - SOFT))
        self._owed_seconds += strain * SLOWEST / max(1, math.ceil((1 - strain) * AT_ONCE))
        answer = self.answer(request)
        self.cost += PER_ERROR if "error" in answer else _COST.get(request["method"], 0.25)
        return answer

    async def tell_script(self, *arguments: Any) -> None:
        self.cost += 0.2 + 67 * len(self.ledger.history(next(iter(self.scripts)))) * 0.00002
        await super().tell_script(*arguments)

    async def think(self) -> None:
        seconds, self._owed_seconds = self._owed_seconds, 0.0
        await trio.sleep(seconds)
        if self.cost > HARD:
            self.cost, self.hung_up = 0.0, self.hung_up + 1
            self.hang_up()
            await trio.lowlevel.checkpoint()


class Crowded(Ledger):
    """Finds its transactions by their txid, and makes a history once."""

    def __init__(self) -> None:
        super().__init__()
        self._by_txid: dict[Txid, Transaction] = {}
        self._histories: dict[tuple[str, int, int], list[tuple[Txid, int]]] = {}

    def history(self, hash_: str) -> list[tuple[Txid, int]]:
        key = (hash_, self.height, len(self.mempool))
        if key not in self._histories:
            self._histories[key] = super().history(hash_)
        return self._histories[key]

    def find(self, txid: Txid) -> Transaction:
        if txid not in self._by_txid:
            everywhere = [*self.mempool, *(each for block in self.blocks for each in block.transactions)]
            self._by_txid = {each.txid: each for each in everywhere}
        if txid not in self._by_txid:
            raise Refusal("no such transaction")
        return self._by_txid[txid]


def dust(count: int) -> list[Transaction]:
    return [payment(number, amount=1) for number in range(1, count + 1)]
