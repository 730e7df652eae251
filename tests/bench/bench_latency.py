"""How long a browser waits: `python -m tests.bench.bench_latency [ROUNDS]` (20).

Two latencies, each the median and the worst of so many rounds, with a real Helia in Node, a worker process and a real
ElectrumX on loopback: a NEW-CID for 1 kB until its ADDING-CID (aim: 30 ms), over tcp and over ws; and the block that
makes a payment deep enough until ADDED-CID (aim: 300 ms), Electrum by ws. What is measured against: the same Helia
asking another Helia for 1 kB by bitswap, and ElectrumX telling its own client of the block, in the same run.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import trio

from tests.interop.browser import ask_for_quote, join
from tests.interop.helia import Heard, Helia, open_helia
from tests.interop.market import CONFIRMATIONS, Market, open_market
from tests.interop.worker import Worker

SIZE = 1000


def show(what: str, seconds: Sequence[float], against: str, baseline: Sequence[float]) -> None:
    median, base = statistics.median(seconds) * 1000, statistics.median(baseline) * 1000
    worst = max(seconds) * 1000
    print(
        f"{what:<42}{median:7.1f} ms  worst {worst:7.1f} ms   {against} {base:6.1f} ms   {median / base:.1f}x",
        flush=True,
    )


async def quotes(peer: Helia, worker: Worker, rounds: int) -> list[float]:
    took = []
    for _ in range(rounds):
        added = await peer.add_file(SIZE, seed=f"{trio.current_time()}")
        began = trio.current_time()
        await ask_for_quote(peer, added.cid, worker)
        took.append(trio.current_time() - began)
    return took


async def reads(giver: Helia, taker: Helia, rounds: int) -> list[float]:
    took = []
    for _ in range(rounds):
        added = await giver.add_file(SIZE, seed=f"{trio.current_time()}")
        began = trio.current_time()
        await taker.cat(added.cid)
        took.append(trio.current_time() - began)
    return took


async def pins(peer: Helia, worker: Worker, market: Market, rounds: int) -> tuple[list[float], list[float]]:
    took, told = [], []
    for number in range(rounds):
        added = await peer.add_file(SIZE, seed=f"{trio.current_time()}")
        market.pay(await ask_for_quote(peer, added.cid, worker), f"bench/{number}")
        await market.mine(CONFIRMATIONS - 1)
        await peer.heard(partial(_seen, cid=added.cid, confirmations=CONFIRMATIONS - 1))
        began = trio.current_time()
        await market.mine(1)
        told.append(trio.current_time() - began)
        await peer.heard(partial(Heard.says, status="ADDED-CID", cid=added.cid))
        took.append(trio.current_time() - began)
    return took, told


def _seen(message: Heard, cid: str, confirmations: int) -> bool:
    return message.says("PAYMENT-SEEN", cid) and message.json["confirmations"] == confirmations


async def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            open_market(Path(folder)) as market,
            market.worker() as worker,
            open_helia() as alice,
            open_helia(listen=()) as bob,
        ):
            await join(alice, worker)
            await bob.dial(alice.tcp_addr)
            baseline = await reads(alice, bob, rounds)
            show("NEW-CID to ADDING-CID, 1 kB, tcp", await quotes(alice, worker, rounds), "Helia<-Helia", baseline)
            took, told = await pins(alice, worker, market, rounds)
            show("payment's block to ADDED-CID", took, "ElectrumX's own client", told)
            async with open_helia(listen=()) as carol:
                await join(carol, worker, worker.ws_addr)
                show("NEW-CID to ADDING-CID, 1 kB, ws", await quotes(carol, worker, rounds), "Helia<-Helia", baseline)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 20)
