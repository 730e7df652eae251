"""The lines of Kubo in `bench_bitswap`, when there is one (`make kubo`): Kubo <- Kubo, we <- Kubo, Kubo <- us.

Kubo's time is that of `ipfs pin add`, which reads every block and prints nothing; a tenth of a second of it is the
command itself. Kubo listens over the one transport that is measured, and so do we.
"""

from __future__ import annotations

import random
import statistics
import tempfile
from pathlib import Path

import trio

from pinning_worker.adapters.blocks.disk import DiskBlocks
from pinning_worker.domain.content.cid import parse_cid
from tests.adapters.p2p.bitswap.rig import BUDGET, TCP, WS, open_engine
from tests.interop.helia import KIB
from tests.interop.kubo import Kubo, open_kubo


async def kubo_line(over: str, chunk_size: int, size: int, rounds: int) -> str:
    """One line: medians in MB/s."""
    figures = [await _round(over, chunk_size, size, seed=f"kubo {over} {chunk_size} {n}") for n in range(rounds)]
    kubo, fetch, serve = (statistics.median(column) for column in zip(*figures, strict=True))
    return (
        f"{over:4}{chunk_size // KIB:5} KiB   Kubo<-Kubo   {kubo:6.1f}   we<-Kubo  {fetch:6.1f} "
        f"({fetch / kubo:.2f}x)   Kubo<-us  {serve:6.1f} ({serve / kubo:.2f}x)"
    )


async def _round(over: str, chunk_size: int, size: int, seed: str) -> tuple[float, float, float]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        async with (
            open_kubo(root / "giver", over) as giver,
            open_kubo(root / "reader", over) as reader,
            open_engine(await DiskBlocks.open(root / "ours"), listen=(TCP if over == "tcp" else WS,)) as (host, engine),
        ):
            cid = await giver.add(random.Random(seed).randbytes(size), chunk_size)
            await reader.connect(giver.addrs[0])
            kubo = size / await _pin(reader, cid) / 1e6
            await reader.forget(cid)
            await reader.disconnect(giver.peer_id)
            await host.connect(giver.addrs[0], 10)
            started = trio.current_time()
            await engine.fetch(parse_cid(cid), peers=[giver.peer_id], origins=[], budget=BUDGET, progress=_ignore)
            fetch = size / (trio.current_time() - started) / 1e6
            await reader.connect(host.addresses[0])
            return kubo, fetch, size / await _pin(reader, cid) / 1e6


async def _pin(kubo: Kubo, cid: str) -> float:
    """Seconds."""
    started = trio.current_time()
    await kubo.ipfs("pin", "add", "--progress=false", cid)
    return trio.current_time() - started


async def _ignore(blocks: int, size: int) -> None:
    pass
