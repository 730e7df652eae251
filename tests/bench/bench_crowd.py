"""1 000 NEW-CIDs from 50 peers: `python -m tests.bench.bench_crowd [PEERS] [FILES]` (50, 20).

Every peer, a real Helia, asks for the price of its files of 1 kB, the next one as soon as it has a price: how many a
second the worker answers, and how long one waits (median, worst). What is measured against: one Helia, connected to
the same 50 peers, reads the same 1 000 files by bitswap, as many at once as the worker fetches.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import psutil
import trio

from tests.bench.crowd import open_crowd
from tests.interop.helia import Helia, open_helia
from tests.interop.market import open_market

AT_ONCE = 8  # PINNING_FETCHES_AT_ONCE
MIB = 1_048_576


async def read_all(helia: Helia, cids: list[str]) -> float:
    """Seconds that it takes to read them all."""
    began = trio.current_time()
    places = trio.CapacityLimiter(AT_ONCE)

    async def read(cid: str) -> None:
        async with places:
            await helia.cat(cid)

    async with trio.open_nursery() as nursery:
        for cid in cids:
            nursery.start_soon(read, cid)
    return trio.current_time() - began


def processor(process: psutil.Process) -> float:
    """Seconds that it used, of all cores."""
    times = process.cpu_times()
    return times.user + times.system


async def main(peers: int, files: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_market(Path(folder)) as market, market.worker() as worker:
            process = psutil.Process(worker.process.pid)
            async with open_crowd(peers, worker.tcp_addr, worker.peer_id, files) as crowd, open_helia(listen=()) as bob:
                memory, used = process.memory_info().rss, processor(process)
                began = trio.current_time()
                waits, others = await crowd.ask()
                took = trio.current_time() - began
                used, memory = processor(process) - used, process.memory_info().rss - memory
                for addr in crowd.addrs:
                    await bob.dial(addr)  # one after the other: Helia limits who dials at once
                base = await read_all(bob, crowd.cids)
    each, other = len(waits) / took, len(waits) / base
    print(
        f"{len(waits)} NEW-CIDs from {peers} peers: {took:.1f} s, {each:.0f} a second; memory {memory / MIB:+.0f} MiB"
    )
    print(f"one waits {statistics.median(waits):.0f} ms, worst {max(waits):.0f} ms; other answers: {others or 'none'}")
    print(f"the worker's processor time for each: {used / len(waits) * 1000:.1f} ms")
    print(f"one Helia reads those files from those peers: {base:.1f} s, {other:.0f} a second; {each / other:.2f}x")


if __name__ == "__main__":
    trio.run(main, *(int(argument) for argument in (*sys.argv[1:3], "50", "20")[:2]))
