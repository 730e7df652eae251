"""The DHT with Kubo: what we provide it finds and fetches, and we find at Kubo what nobody has whom we know. All know
only a third node, once a Kubo, once a worker.

Kubo has two DHTs: on loopback nobody has a public address, so it uses the one of private networks.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from pinning_worker.adapters.memory.blocks import MemoryBlocks
from pinning_worker.adapters.p2p.bitswap.engine import Engine
from pinning_worker.adapters.p2p.dht.node import Dht
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host
from pinning_worker.domain.content.cid import parse_cid
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.ungroup import one_error
from tests.adapters.p2p.bitswap.rig import Node, add_file, chunks
from tests.interop.browser import answer, ask_for_quote, join
from tests.interop.helia import KIB, LOCAL_TCP, MIB, open_helia
from tests.interop.kubo import Kubo, needs_kubo, open_kubo
from tests.interop.market import CONFIRMATIONS, open_market
from tests.interop.node_binary import needs_node

pytestmark = [pytest.mark.interop, needs_kubo]

SWARM_KEY = secrets.token_bytes(32)
THIRD = pytest.mark.parametrize("third", ["kubo", "worker"])


@asynccontextmanager
async def open_peer(*bootstrap: str, serves: bool = False, key: bytes | None = None) -> AsyncIterator[tuple[Node, Dht]]:
    """A worker's host, bitswap and DHT."""
    config = HostConfig(new_key(), (LOCAL_TCP,), bootstrap=bootstrap, swarm_key=key)
    async with open_host(config) as host:
        dht, blocks = Dht(host, serves=serves), MemoryBlocks()
        engine = Engine(host, blocks, providers=dht)
        with one_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(dht.run)
                await nursery.start(engine.run)
                yield Node(host, engine, blocks), dht
                nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_third(kind: str, folder: Path, key: bytes | None = None) -> AsyncIterator[str]:
    """The address of a DHT server."""
    if kind == "kubo":
        async with open_kubo(folder / "third", dht=True, swarm_key=key) as kubo:
            yield kubo.addrs[0]
    else:
        async with open_peer(serves=True, key=key) as (node, _):
            yield node.address


async def join_dht(kubo: Kubo, where: str) -> None:
    """Connected, and the third is in its table: before that it provides to nobody, and does not say so."""
    await kubo.connect(where)
    await kubo.until(lambda table: where.rpartition("/")[2] in table, "stats", "dht", "lan")


async def until_told(dht: Dht, key: Multihash) -> None:
    """Provides until somebody was told: who has just connected is not known for a server yet."""
    with trio.fail_after(60):
        while not await dht.provide(key):  # noqa: ASYNC110  no event says that a peer has identified itself
            await trio.sleep(0.2)


@THIRD
@pytest.mark.parametrize("swarm_key", [None, SWARM_KEY], ids=["open", "private"])
async def test_kubo_finds_what_we_provide(third: str, swarm_key: bytes | None, tmp_path: Path) -> None:
    async with (
        open_third(third, tmp_path, swarm_key) as where,
        open_peer(where, key=swarm_key) as (node, dht),
        open_kubo(tmp_path / "reader", dht=True, swarm_key=swarm_key) as reader,
    ):
        pieces = chunks(3, MIB)
        root = await add_file(node.blocks, *pieces)
        await until_told(dht, root.multihash)
        await join_dht(reader, where)
        assert await reader.cat(str(root)) == b"".join(pieces)
        assert node.id in await reader.ipfs("routing", "findprovs", str(root))


@THIRD
@pytest.mark.parametrize("swarm_key", [None, SWARM_KEY], ids=["open", "private"])
async def test_we_find_what_kubo_has(third: str, swarm_key: bytes | None, tmp_path: Path) -> None:
    async with (
        open_third(third, tmp_path, swarm_key) as where,
        open_kubo(tmp_path / "holder", dht=True, swarm_key=swarm_key) as holder,
        open_peer(where, key=swarm_key) as (node, _),
    ):
        await join_dht(holder, where)
        cid = await holder.add(secrets.token_bytes(2 * MIB), chunk_size=256 * KIB)
        await holder.ipfs("routing", "provide", cid)
        assert not node.host.is_connected(holder.peer_id)
        fetched = await node.fetch(parse_cid(cid))
        assert fetched.bytes > 2 * MIB


@needs_node
async def test_the_worker_provides_what_was_paid_and_finds_what_the_asker_has_not(tmp_path: Path) -> None:
    """As processes: a browser asks for what only a stranger's Kubo has, pays, and leaves; another stranger reads it all
    with nothing but the CID."""
    async with (
        open_market(tmp_path) as market,
        open_third("kubo", tmp_path) as where,
        open_kubo(tmp_path / "reader", dht=True) as reader,
        market.worker(PINNING_DHT="client", PINNING_BOOTSTRAP=where) as worker,
    ):
        await join_dht(reader, where)
        image = secrets.token_bytes(MIB)
        async with open_kubo(tmp_path / "holder", dht=True) as holder, open_helia(listen=()) as alice:
            await join_dht(holder, where)
            named = await holder.add(image)
            document = json.dumps({"name": "art", "description": "", "image": f"ipfs://{named}"}).encode()
            cid = await holder.add(document)
            for each in (cid, named):
                await holder.ipfs("routing", "provide", each)
            await join(alice, worker)
            quote = await ask_for_quote(alice, cid, worker)
            assert quote["bytes"]["total"] > MIB
            market.pay(quote, "art/1")
            await market.mine(CONFIRMATIONS)
            await answer(alice, "CID-PINNED-WITH-NAME", cid, worker)
        await reader.until(lambda found: worker.peer_id in found, "routing", "findprovs", named)
        assert await reader.cat(cid) == document
        assert await reader.cat(named) == image
