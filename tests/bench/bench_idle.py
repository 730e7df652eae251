"""What 250 idle peers cost: `python -m tests.bench.bench_idle [PEERS] [SECONDS]` (250, 60).

So many real Helia peers are connected and subscribed, and nobody says anything: the worker's memory and processor
time, alone and with them. What is measured against: Kubo with the same peers, where it is built (`make kubo`).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import psutil
import trio

from tests.bench.crowd import open_crowd
from tests.interop.kubo import BINARY, open_kubo
from tests.interop.market import open_market

MIB = 1_048_576


async def at_rest(process: psutil.Process, seconds: float) -> tuple[float, float]:
    """MiB that it holds at the end, percent of one core that it used."""
    used = _processor(process)
    await trio.sleep(seconds)
    return process.memory_info().rss / MIB, (_processor(process) - used) / seconds * 100


def _processor(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


async def measure(name: str, pid: int, addr: str, peer_id: str, peers: int, seconds: float) -> None:
    process = psutil.Process(pid)
    alone = await at_rest(process, seconds / 4)
    async with open_crowd(peers, addr, peer_id):
        crowded = await at_rest(process, seconds)
    told = "alone {:6.1f} MiB {:5.1f} %   with {} peers {:6.1f} MiB {:5.1f} %   a peer {:5.0f} KiB"
    print(f"{name:<8}", told.format(*alone, peers, *crowded, (crowded[0] - alone[0]) / peers * 1024), flush=True)


async def main(peers: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_market(Path(folder)) as market, market.worker() as worker:
            await measure("worker", worker.process.pid, worker.tcp_addr, worker.peer_id, peers, seconds)
        if BINARY.exists():
            async with open_kubo(Path(folder) / "kubo") as kubo:
                await measure("Kubo", kubo.pid, kubo.addrs[0], kubo.peer_id, peers, seconds)
        else:
            print("no Kubo on this machine (`make kubo`): nothing to measure against")


if __name__ == "__main__":
    trio.run(main, *(int(argument) for argument in (*sys.argv[1:3], "250", "60")[:2]))
