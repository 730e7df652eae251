"""Bitswap with a real Helia: files both ways over tcp and ws, and transfers that break in the middle."""

import hashlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import trio

from pinning_worker.adapters.memory.blocks import MemoryBlocks
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.domain.content.cid import parse_cid
from pinning_worker.domain.content.dag import look_up, reading
from pinning_worker.domain.content.metadata import ImageLink, parse_metadata
from pinning_worker.ports.content import NotFound, Unreadable
from tests.adapters.p2p.bitswap.rig import BUDGET, TCP, WS, Node, open_node, until
from tests.interop.helia import KIB, MIB, Added, Helia, open_helia
from tests.interop.node_binary import needs_node

pytestmark = [pytest.mark.interop, needs_node]


async def fetch_all(node: Node, peer: Helia, file: Added) -> None:
    """Exactly the file's DAG is stored, and every block's hash is right."""
    fetched = await node.fetch(parse_cid(file.cid), peer.peer_id)
    assert (len(fetched.blocks), fetched.bytes) == (file.blocks, file.dag_bytes)
    assert await node.blocks.audit(list(fetched.blocks)) == set()


@pytest.mark.parametrize("over", ["tcp", "ws"])
@pytest.mark.parametrize("chunk_size", [256 * KIB, MIB])
@pytest.mark.parametrize("size", [10 * MIB, 100 * MIB])
async def test_a_file_there_and_back(size: int, chunk_size: int, over: str) -> None:
    async with open_helia(topic=None) as peer, open_node(listen=(TCP, WS)) as node:
        file = await peer.add_file(size, seed=over, chunk_size=chunk_size)
        await node.host.connect(peer.tcp_addr if over == "tcp" else peer.ws_addr, 10)
        await fetch_all(node, peer, file)
        await peer.forget()
        read = await peer.cat(file.cid)
        assert (read.bytes, read.sha256) == (size, file.sha256)
        assert node.engine.receiver.duplicates == 0


async def test_a_peer_that_only_dials_as_a_browser_does() -> None:
    async with open_helia(listen=(), topic=None) as peer, open_node(listen=(TCP, WS)) as node:
        await peer.dial(node.ws_address)
        file = await peer.add_file(3 * MIB, chunk_size=256 * KIB)
        await fetch_all(node, peer, file)
        await peer.forget()
        assert (await peer.cat(file.cid)).sha256 == file.sha256


async def test_a_file_in_the_old_layout() -> None:
    """CIDv0, leaves wrapped in dag-pb."""
    async with open_node() as node, open_helia(topic=None) as peer:
        file = await peer.add_file(2 * MIB, chunk_size=256 * KIB, raw_leaves=False, cid_version=0)
        assert file.cid.startswith("Qm")
        await node.host.connect(peer.tcp_addr, 10)
        await fetch_all(node, peer, file)
        await peer.forget()
        assert (await peer.cat(file.cid)).sha256 == file.sha256


async def test_a_metadata_document_is_fetched_and_read() -> None:
    async with open_node() as node, open_helia(topic=None) as peer:
        image = await peer.add_file(300 * KIB, chunk_size=256 * KIB)
        metadata = await peer.add_metadata("art", image=image.cid)
        await node.host.connect(peer.tcp_addr, 10)
        await fetch_all(node, peer, metadata)
        root = parse_cid(metadata.cid)
        text = look_up(reading(root, MIB), lambda cid: node.blocks.data.get(cid.multihash))
        document = parse_metadata(text)
        assert document is not None
        assert (document.name, document.images) == ("art", (ImageLink(parse_cid(image.cid)),))
        assert hashlib.sha256(text).hexdigest() == metadata.sha256


async def test_a_browser_that_reads_what_only_we_have_after_the_giver_left() -> None:
    async with open_node() as node, open_helia(listen=(), topic=None) as reader:
        async with open_helia(topic=None) as giver:
            file = await giver.add_file(5 * MIB, chunk_size=256 * KIB)
            await node.host.connect(giver.tcp_addr, 10)
            await fetch_all(node, giver, file)
            await giver.stop()
        await reader.dial(node.address)
        assert (await reader.cat(file.cid)).sha256 == file.sha256


async def test_a_want_that_we_cannot_meet_yet_is_met_when_the_block_comes() -> None:
    """Two Helias that don't know each other: one waits at ours for what the other then gives us."""
    async with open_node() as node, open_helia(topic=None) as giver, open_helia(listen=(), topic=None) as reader:
        file = await giver.add_file(2 * MIB, chunk_size=256 * KIB)
        await reader.dial(node.address)
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                assert (await reader.cat(file.cid)).sha256 == file.sha256

            nursery.start_soon(read)
            await until(lambda: reader.peer_id in node.engine.server.waiting())
            await node.host.connect(giver.tcp_addr, 10)
            await fetch_all(node, giver, file)


async def test_a_block_that_is_asked_for_again_comes_at_once() -> None:
    """Helia's ledger holds what it sent for five seconds, and longer when it sends nothing meanwhile: five blocks, lost
    again as soon as they came, and once more after a while. The patience of the fetch is shorter than that."""
    async with open_node() as node, open_helia(topic=None) as peer:
        await node.host.connect(peer.tcp_addr, 10)
        file = await peer.add_file(MIB, chunk_size=256 * KIB)
        for pause in (0, 6, 0):
            await node.fetch(
                parse_cid(file.cid), peer.peer_id, budget=replace(BUDGET, first_block_time=timedelta(seconds=4))
            )
            node.blocks.data.clear()
            await trio.sleep(pause)


async def test_what_it_has_not_and_what_we_do_not_read() -> None:
    async with open_node() as node, open_helia(topic=None) as peer:
        await node.host.connect(peer.tcp_addr, 10)
        cbor = await peer.put_block(b"\xa0", 0x71)
        with pytest.raises(Unreadable):
            await node.fetch(parse_cid(cbor), peer.peer_id)
        missing = await peer.put_block(b"there", 0x55)
        await peer.forget()
        quick = replace(BUDGET, first_block_time=timedelta(seconds=1))
        with pytest.raises(NotFound):
            await node.fetch(parse_cid(missing), peer.peer_id, budget=quick)


# ---------------------------------------------------------------- in the middle of a transfer


async def test_the_giver_is_killed_and_comes_back(tmp_path: Path) -> None:
    """kill -9 of Helia's process; a new one with the same identity and blocks dials us, and the fetch goes on."""
    seed = bytes(range(32))
    async with open_node() as node, trio.open_nursery() as nursery:
        async with open_helia(topic=None, seed=seed, blockstore=tmp_path) as giver:
            file = await giver.add_file(100 * MIB, chunk_size=256 * KIB)
            await node.host.connect(giver.tcp_addr, 10)
            nursery.start_soon(fetch_all, node, giver, file)
            await until(lambda: len(node.blocks.data) > 20)
        held = len(node.blocks.data)
        assert held < file.blocks, "it was killed too late to show anything"
        async with open_helia(topic=None, seed=seed, blockstore=tmp_path) as giver:
            await giver.dial(node.address)
            await until(lambda: len(node.blocks.data) == file.blocks, deadline=60)


async def test_the_giver_hangs_up_and_dials_again() -> None:
    async with open_node() as node, open_helia(topic=None) as giver, trio.open_nursery() as nursery:
        file = await giver.add_file(60 * MIB, chunk_size=256 * KIB)
        await giver.dial(node.address)
        nursery.start_soon(fetch_all, node, giver, file)
        for more in (20, 60, 100):
            await until(lambda more=more: len(node.blocks.data) > more)  # type: ignore[misc]  # mypy has no default arguments in lambdas
            await giver.hangup(node.id)
            await giver.dial(node.address)


async def test_we_restart_while_helia_reads_from_us() -> None:
    key, blocks = new_key(), MemoryBlocks()
    async with open_helia(topic=None) as peer, trio.open_nursery() as nursery:
        async with open_node(blocks, key=key) as node:
            file = await peer.add_file(60 * MIB, chunk_size=256 * KIB)
            await node.host.connect(peer.tcp_addr, 10)
            await fetch_all(node, peer, file)
            await peer.forget()

            async def read() -> None:
                assert (await peer.cat(file.cid)).sha256 == file.sha256

            nursery.start_soon(read)
            await until(lambda: node.engine.server.blocks_sent > 20)
        async with open_node(blocks, key=key) as node:
            await node.host.connect(peer.tcp_addr, 10)
            await until(lambda: node.engine.server.blocks_sent > 100)
            await until(lambda: not nursery.child_tasks)
