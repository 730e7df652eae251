"""A browser behind a slow uplink: what it shares gets in, and it does not hang up over its own blocks.

Helia's monitor has two fifths of its patience here, and the line two and a half times the 100 kB/s that are meant: the
same story in less time. The long one is in bench/bench_slow_uplink.py.
"""

import pytest

from pinning_worker.domain.content.cid import parse_cid
from tests.adapters.p2p.bitswap.rig import TCP, WS, open_node
from tests.interop.helia import KIB, MIB, open_helia
from tests.interop.node_binary import needs_node
from tests.interop.slow_line import slow_line

pytestmark = [pytest.mark.interop, needs_node]


async def test_it_stays_connected_while_its_file_is_fetched() -> None:
    left: list[str] = []
    async with open_helia(listen=(), topic=None, ping_patience=2) as peer, open_node(listen=(TCP, WS)) as node:
        node.host.on_disconnected.append(left.append)
        file = await peer.add_file(2 * MIB, chunk_size=MIB)
        async with slow_line(node.ws_address, 250_000) as address:
            await peer.dial(address)
            fetched = await node.fetch(parse_cid(file.cid), peer.peer_id)
            assert fetched.bytes == file.dag_bytes
            assert left == []
    within = [size for blocks, size in node.told if blocks == 1 and size > 64 * KIB]
    assert within, "told while the first block was under way"
