"""The DHT with js-libp2p: what one provides the other finds, through a third that is js or ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from pinning_worker.adapters.p2p.dht.contacts import Contact
from pinning_worker.domain.content.cid import parse_cid
from tests.adapters.p2p.bitswap.rig import add_file, chunks
from tests.interop.helia import LOCAL_TCP, MIB, Helia, HeliaError, open_helia
from tests.interop.node_binary import needs_node
from tests.interop.test_dht_kubo import open_peer, until_told

pytestmark = [pytest.mark.interop, needs_node]

THIRD = pytest.mark.parametrize("third", ["js", "worker"])


@asynccontextmanager
async def open_third(kind: str) -> AsyncIterator[str]:
    """The address of a DHT server."""
    if kind == "js":
        async with open_helia((LOCAL_TCP,), dht=True) as js:
            yield js.tcp_addr
    else:
        async with open_peer(serves=True) as (node, _):
            yield node.address


async def found(js: Helia, cid: str) -> str:
    """js asks only servers that it has identified; nobody says when it has: it is asked again."""
    with trio.fail_after(60):
        while True:
            try:
                return (await js.find_provider(cid, deadline=10))[0]
            except HeliaError:
                await trio.sleep(0.5)


@THIRD
async def test_js_finds_what_we_provide(third: str) -> None:
    async with open_third(third) as where, open_peer(where) as (node, dht), open_helia((LOCAL_TCP,), dht=True) as js:
        root = await add_file(node.blocks, *chunks(2, MIB))
        await until_told(dht, root.multihash)
        await js.dial(where)
        assert await found(js, str(root)) == node.id


@THIRD
async def test_we_find_what_js_provides(third: str) -> None:
    async with open_third(third) as where, open_peer(where) as (node, dht), open_helia((LOCAL_TCP,), dht=True) as js:
        await js.dial(where)
        added = await js.add_file(2 * MIB)
        told: list[Contact] = []
        with trio.fail_after(60):
            while not told:
                await js.provide(added.cid)
                await dht.find(parse_cid(added.cid).multihash, told.append)
                await trio.sleep(0.2)
        assert [contact.peer for contact in told] == [js.peer_id]
        assert (await node.fetch(parse_cid(added.cid))).bytes > 2 * MIB
