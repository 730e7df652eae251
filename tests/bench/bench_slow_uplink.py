"""A Helia that only dials, as a browser does, behind a slow uplink: `python -m tests.bench.bench_slow_uplink`.

It shares a file, and we fetch it. Prints how long that took, how often it hung up meanwhile (js-libp2p does when its
ping takes five seconds), and how many times over its bytes the line carried. The aim is no hang-up at all.
"""

import argparse
from dataclasses import replace
from datetime import timedelta

import structlog
import trio

from pinning_worker.domain.content.cid import parse_cid
from pinning_worker.ports.content import FetchFailed
from tests.adapters.p2p.bitswap.rig import BUDGET, TCP, WS, open_node
from tests.interop.helia import KIB, open_helia
from tests.interop.slow_line import slow_line

PATIENT = replace(BUDGET, fetch_time=timedelta(seconds=900))


async def main() -> None:
    told = _arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    for rate in told.rates:
        for chunk_size in told.chunks:
            print(f"{rate:8} B/s {chunk_size:5} KiB   {await _fetch(rate, told.size, chunk_size * KIB)}", flush=True)


async def _fetch(rate: int, size: int, chunk_size: int) -> str:
    left: list[str] = []
    async with open_helia(listen=(), topic=None) as peer, open_node(listen=(TCP, WS)) as node:
        node.host.on_disconnected.append(left.append)
        file = await peer.add_file(size, chunk_size=chunk_size)
        async with slow_line(node.ws_address, rate) as address:
            await peer.dial(address)
            began, outcome = trio.current_time(), "whole"
            try:
                await node.fetch(parse_cid(file.cid), peer.peer_id, budget=PATIENT)
            except FetchFailed as error:
                outcome = type(error).__name__
            took, hung_up = trio.current_time() - began, len(left)
        return f"{outcome} in {took:6.1f} s, {took * rate / size:.2f} times the line's, hung up {hung_up} times"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, default=4_000_000, help="bytes of the file (4000000)")
    parser.add_argument("--rates", type=int, nargs="+", default=[100_000, 50_000], help="bytes a second (100000 50000)")
    parser.add_argument("--chunks", type=int, nargs="+", default=[1024, 256], help="KiB of a block (1024 256)")
    return parser.parse_args()


if __name__ == "__main__":
    trio.run(main)
