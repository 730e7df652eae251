"""Servers that send what no honest one has to send: it is measured before it is read, told once, and stalls nobody.

Every monster is let loose beside an honest server, whose payment is proven all the same. What it took (seconds in which
our loop did nothing else, memory of Python's) is printed; asserted is what it was left for, and bytes.
"""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog
import trio

from pinning_worker.adapters.electrum.answers import HistoryRow
from pinning_worker.adapters.electrum.sightings import Sightings
from pinning_worker.adapters.electrum.watcher import PaymentWatcher
from pinning_worker.domain.chain.transaction import Transaction, TxInput, TxOutput, compact_size, double_sha256
from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.swartz import Swartz
from tests.adapters.electrum.listening import eventually
from tests.adapters.electrum.scripted import PAYEE, Ledger, ScriptedServer, payment
from tests.adapters.electrum.watching import watching

MIB = 1 << 20
MOST_MEMORY = 256 * MIB  # of Python's own while a monster is dealt with; most of it is the server's, in this process
BOTH = pytest.mark.parametrize("websocket", [False, True], ids=["tcp", "ws"])


def heavy(size: int) -> bytes:
    """A payment of so many bytes, nearly all of them outputs of the smallest kind."""
    light = Transaction(2, (TxInput(Txid("11" * 32), 0),), (TxOutput(Swartz(7_004_482), PAYEE),)).serialise()
    outputs_at, more = 4 + 1 + 41, size // 9
    dust = (b"\x01" + bytes(8)) * more
    return light[:outputs_at] + compact_size(1 + more) + light[outputs_at + 1 : -4] + dust + light[-4:]


@dataclass
class Raw(ScriptedServer):
    """`monsters[method]` is written as the whole answer to that method, once it is there."""

    monsters: dict[str, bytes] = field(default_factory=dict)

    def respond(self, frame: bytes) -> bytes | None:
        asked = json.loads(frame)
        for request in asked if isinstance(asked, list) else [asked]:
            if (monster := self.monsters.get(request["method"])) is not None:
                return monster.replace(b"$id", str(request["id"]).encode())
        return super().respond(frame)


@dataclass
class Cost:
    longest_stall: float = 0.0
    peak: int = 0


@asynccontextmanager
async def measured() -> AsyncIterator[Cost]:
    """The longest time in which our loop did not turn, and Python's memory at its highest."""
    cost, last = Cost(), trio.current_time()

    async def tick() -> None:
        nonlocal last
        while True:  # what is measured is when this comes to its turn
            await trio.sleep(0.001)
            now = trio.current_time()
            cost.longest_stall, last = max(cost.longest_stall, now - last), now

    tracemalloc.start()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tick)
            yield cost
            nursery.cancel_scope.cancel()
    finally:
        cost.peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(f"longest stall {cost.longest_stall:.2f} s, {cost.peak / MIB:.0f} MiB at its highest")


def pair(websocket: bool = False) -> tuple[Raw, ScriptedServer]:
    ledger = Ledger()
    ledger.mine(count=10)
    return Raw(ledger.copy(), websocket=websocket), ScriptedServer(ledger)


async def until_left(watcher: PaymentWatcher, why: str) -> None:
    def is_left() -> bool:
        state = watcher.servers()[0]
        return not state.connected and why in state.fault

    await eventually(is_left, f"the server is left because of: {why}")


async def require_left(liar: Raw, honest: ScriptedServer, let_loose: Callable[[], Any], why: str) -> Cost:
    """The honest server's payment is seen, and proven after the monster; the liar's fault is told once."""
    true = payment(100)
    honest.ledger.mempool.append(true)
    with structlog.testing.capture_logs() as lines:
        async with watching(liar, honest) as (watcher, heard):
            await heard.until(lambda: heard.is_unproven(true.txid) and all(s.connected for s in watcher.servers()))
            async with measured() as cost:
                let_loose()
                await liar.tell_all()
                await until_left(watcher, why)
            honest.ledger.mine(true)
            await honest.tell_all()
            await heard.until(lambda: heard.proven_at(true.txid) == 11)
    (line,) = [line for line in lines if line["event"] == "electrum.server_misbehaved"]
    assert why in line["why"]
    assert "PINNING_ELECTRUM_SERVERS" in line["mend"]
    return cost


@BOTH
@pytest.mark.parametrize(
    ("size", "why"), [(15_900_000, "a frame over"), (500_000, "a transaction of more than 400000")]
)
async def test_a_transaction_larger_than_any_mempool_has(websocket: bool, size: int, why: str) -> None:
    liar, honest = pair(websocket)
    monster = heavy(size)
    txid, answer = (
        double_sha256(monster)[::-1].hex(),
        b'{"jsonrpc":"2.0","id":$id,"result":"%b"}' % monster.hex().encode(),
    )

    def let_loose() -> None:
        liar.answers["blockchain.scripthash.get_history"] = lambda _: [{"tx_hash": txid, "height": 0}]
        liar.monsters["blockchain.transaction.get"] = answer

    cost = await require_left(liar, honest, let_loose, why)
    assert cost.peak < MOST_MEMORY


async def test_made_up_bytes_for_a_transaction_of_a_block_are_not_built() -> None:
    """The branch is true, so the bytes are read: as far as it takes to see that they are others."""
    liar, honest = pair()
    monster, mined = heavy(2_000_000).hex(), payment(7)

    def let_loose() -> None:
        for server in (liar, honest):
            server.ledger.mine(mined)
        liar.answers["blockchain.transaction.get"] = lambda _txid: monster

    cost = await require_left_at(liar, honest, let_loose)
    assert cost.peak < 40 * MIB


async def require_left_at(liar: Raw, honest: ScriptedServer, let_loose: Callable[[], Any]) -> Cost:
    async with watching(liar, honest) as (watcher, heard):
        await heard.until(lambda: heard.tip is not None and all(state.connected for state in watcher.servers()))
        async with measured() as cost:
            let_loose()
            await liar.tell_all()
            await until_left(watcher, "not the one asked for")
        await honest.tell_all()
        await heard.until(lambda: len(heard.sightings) == 1)
    return cost


@BOTH
@pytest.mark.parametrize(
    ("method", "count", "why"),
    [
        ("blockchain.scripthash.get_history", 10_000_000, "a frame over"),
        ("blockchain.scripthash.get_history", 4_000_000, "JSON elements"),
        ("blockchain.transaction.get", 2_000_000, "JSON elements"),
    ],
)
async def test_very_many_elements_in_one_answer(websocket: bool, method: str, count: int, why: str) -> None:
    (liar, honest), monster = pair(websocket), b'{"jsonrpc":"2.0","id":$id,"result":[' + b"[]," * count + b"[]]}"

    def let_loose() -> None:
        liar.ledger.mempool.append(payment(1))
        liar.monsters[method] = monster

    cost = await require_left(liar, honest, let_loose, why)
    assert cost.peak < MOST_MEMORY


async def test_a_history_of_more_rows_than_are_followed_is_no_history() -> None:
    """It is refused as ElectrumX refuses one: the server stays, and the other one tells."""
    long, honest = pair()
    row = json.dumps({"tx_hash": "ab" * 32, "height": 1})
    long.monsters["blockchain.scripthash.get_history"] = (
        b'{"jsonrpc":"2.0","id":$id,"result":[' + b",".join([row.encode()] * 100_001) + b"]}"
    )
    paid = payment(1)
    for server in (long, honest):
        server.ledger.mine(paid)
    with structlog.testing.capture_logs() as lines:
        async with watching(long, honest) as (watcher, heard):
            await heard.until(lambda: heard.proven_at(paid.txid) == 11)
            await eventually(lambda: any(line["event"] == "electrum.history_refused" for line in lines), "it is told")
            assert watcher.servers()[0].connected


async def test_news_without_end() -> None:
    liar, honest = pair()
    news = json.dumps({"jsonrpc": "2.0", "method": "blockchain.scripthash.subscribe", "params": ["ab" * 32, None]})

    async def chatter() -> None:
        for _ in range(200):
            await liar.send_raw(b"\n".join([news.encode()] * 100))

    async with watching(liar, honest) as (watcher, heard):
        await heard.until(lambda: heard.tip is not None and all(state.connected for state in watcher.servers()))
        await chatter()
        await until_left(watcher, "news without end")


async def test_a_long_history_is_not_looked_through_at_each_of_its_servers_news(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: five thousand rows that nobody can read, a notification every few milliseconds, and a loop that does
    nothing but go through them."""
    liar, honest = pair()
    rows = [{"tx_hash": f"{number:064x}", "height": 0} for number in range(1, 5_001)]
    liar.answers["blockchain.scripthash.get_history"] = lambda _: rows
    liar.answers["blockchain.scripthash.subscribe"] = lambda _: "moved"
    looks, shown = Counter[str](), Sightings.shown

    def counted(sightings: Sightings, server: str) -> Iterator[list[HistoryRow]]:
        looks[server] += 1
        return shown(sightings, server)

    monkeypatch.setattr(Sightings, "shown", counted)
    async with watching(liar, honest) as (watcher, heard):
        await eventually(lambda: looks[liar.url] > 0, "its history was read")
        for _ in range(500):
            await liar.tell_tip()
            await trio.sleep(0.002)
        print(f"{looks[liar.url]} looks at 500 notifications")
        assert looks[liar.url] < 100
        true = payment(100)
        honest.ledger.mempool.append(true)
        await honest.tell_script()
        await heard.until(lambda: heard.is_unproven(true.txid))
        assert watcher.servers()[0].fault == ""
