"""Fetch from Helia and serve to Helia, against Helia to Helia, in one run: `python -m tests.bench.bench_bitswap`.

Each round moves one file three ways, one after the other: Helia <- Helia, we <- Helia, Helia <- us. Every store is on
disk. The worker's host and engine run in this process; its memory is sampled while it fetches, against the idle host.
Over ws we dial, and the Helia that dials a Helia uses the `ws` package (node/fast-websocket.mjs): Node's own WebSocket
client is slow, whoever receives. Where Kubo is at hand (`make kubo`), a second line has the same with Kubo.

Aims on tcp: fetch at least 1.5x (256 KiB chunks) and 1.2x (1 MiB), serve at least 1.0x, memory at most 150 MB above
idle.
"""

import argparse
import statistics
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import structlog
import trio

from pinning_worker.adapters.blocks.disk import DiskBlocks
from pinning_worker.adapters.p2p.bitswap.engine import Engine
from pinning_worker.domain.content.cid import parse_cid
from tests.adapters.p2p.bitswap.rig import BUDGET, TCP, WS, open_engine
from tests.bench.kubo_rounds import kubo_line
from tests.interop.helia import KIB, MIB, Added, Helia, HeliaError, open_helia
from tests.interop.kubo import BINARY

SAMPLE = 0.02


@dataclass
class Figures:
    """MB/s of every round, and the highest resident megabytes above idle."""

    helia: list[float] = field(default_factory=list)
    fetch: list[float] = field(default_factory=list)
    serve: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    def line(self, over: str, chunk_size: int) -> str:
        helia, fetch, serve = (statistics.median(figures) for figures in (self.helia, self.fetch, self.serve))
        return (
            f"{over:4}{chunk_size // KIB:5} KiB   Helia<-Helia {helia:6.1f}   we<-Helia {fetch:6.1f} "
            f"({fetch / helia:.2f}x)   Helia<-us {serve:6.1f} ({serve / helia:.2f}x)   "
            f"memory +{max(self.memory):.0f} MB"
        )


async def main() -> None:
    told = _arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    print(f"{told.size} MiB, median of {told.rounds}, MB/s", flush=True)
    for over in told.over:
        for chunk_size in (256 * KIB, MIB):
            figures = Figures()
            for number in range(told.rounds):
                await _round(over, chunk_size, told.size * MIB, seed=f"{over} {chunk_size} {number}", figures=figures)
            print(figures.line(over, chunk_size), flush=True)
            if BINARY.exists():
                print(await kubo_line(over, chunk_size, told.size * MIB, told.rounds), flush=True)


async def _round(over: str, chunk_size: int, size: int, seed: str, figures: Figures) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        async with (
            open_helia(topic=None, blockstore=root / "giver") as giver,
            open_helia(topic=None, blockstore=root / "reader", fast_websocket=over == "ws") as reader,
            open_engine(await DiskBlocks.open(root / "ours"), listen=(TCP, WS)) as (host, engine),
        ):
            file = await giver.add_file(size, seed=seed, chunk_size=chunk_size)
            giver_address = giver.ws_addr if over == "ws" else giver.tcp_addr
            await _dial(reader, giver_address)
            figures.helia.append(await _read(reader, file))
            await reader.forget()
            await reader.hangup(giver.peer_id)
            await host.connect(giver_address, 10)
            figures.fetch.append(await _fetch(engine, giver, file, figures))
            await host.connect(reader.ws_addr if over == "ws" else reader.tcp_addr, 10)
            figures.serve.append(await _read(reader, file))


async def _dial(reader: Helia, address: str) -> None:
    """Again if need be: the `ws` package can miss the listener's first frame, see node/fast-websocket.mjs."""
    for _ in range(10):
        with suppress(HeliaError):
            await reader.dial(address)
            return
    await reader.dial(address)


async def _fetch(engine: Engine, giver: Helia, file: Added, figures: Figures) -> float:
    process = psutil.Process()
    idle = peak = process.memory_info().rss

    async def sample() -> None:
        nonlocal peak
        while True:
            peak = max(peak, process.memory_info().rss)
            await trio.sleep(SAMPLE)

    async def ignore(blocks: int, size: int) -> None:
        pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sample)
        started = trio.current_time()
        root = parse_cid(file.cid)
        fetched = await engine.fetch(root, peers=[giver.peer_id], origins=[], budget=BUDGET, progress=ignore)
        seconds = trio.current_time() - started
        nursery.cancel_scope.cancel()
    assert fetched.bytes == file.dag_bytes
    figures.memory.append((peak - idle) / 1e6)
    return file.bytes / seconds / 1e6


async def _read(reader: Helia, file: Added) -> float:
    read = await reader.cat(file.cid)
    assert read.sha256 == file.sha256
    return file.bytes / read.ms / 1e3


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=100, help="MiB (100)")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median is printed (3)")
    parser.add_argument("--over", nargs="+", choices=["tcp", "ws"], default=["tcp", "ws"])
    return parser.parse_args()


if __name__ == "__main__":
    trio.run(main)
