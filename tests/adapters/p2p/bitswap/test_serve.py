"""Serving, to a peer that speaks by hand: which answer to which want, and what is remembered."""

import pytest
import trio
import trio.testing
from libp2p.abc import INetStream

from pinning_worker.adapters.memory.blocks import MemoryBlocks
from pinning_worker.adapters.p2p.bitswap import server
from pinning_worker.adapters.p2p.bitswap.server import SMALL, Server
from pinning_worker.adapters.p2p.bitswap.wire import Block, Message, Presence, Want, WantType
from pinning_worker.adapters.p2p.frames import StreamGone
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.domain.content.cid import Cid, cid_of
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.identities import PeerId
from tests.adapters.p2p.bitswap.raw_peer import blocks_in, open_raw_peer
from tests.adapters.p2p.bitswap.rig import MIB, add, chunks, open_node, until
from tests.domain.dagpb import DAG_PB, RAW

HAVE = WantType.HAVE


async def test_a_wanted_block_comes_on_a_new_stream_with_its_prefix() -> None:
    """The wantlist's stream is closed by then, as Helia closes it."""
    async with open_node() as node, open_raw_peer() as peer:
        cid = await add(node.blocks, RAW, b"x" * 5000)
        await peer.connect(node)
        await peer.say(node, Message([Want(cid.binary)]))
        (message,) = await peer.until(lambda heard: len(heard) == 1)
        assert message == Message(blocks=[Block(b"\x01\x55\x12\x20", b"x" * 5000)])
        old = Cid(0, DAG_PB, (await add(node.blocks, DAG_PB, b"")).multihash)
        await peer.say(node, Message([Want(old.binary)]))
        await peer.until(lambda heard: Block(b"\x00\x70\x12\x20", b"") in heard[-1].blocks)


@pytest.mark.parametrize("size", [SMALL, SMALL + 1])
async def test_have_is_answered_with_the_block_itself_when_that_is_small(size: int) -> None:
    async with open_node() as node, open_raw_peer() as peer:
        cid = await add(node.blocks, RAW, bytes(size))
        await peer.connect(node)
        await peer.say(node, Message([Want(cid.binary, HAVE)]))
        (message,) = await peer.until(lambda heard: len(heard) == 1)
        small = size <= SMALL
        assert blocks_in([message]) == ([bytes(size)] if small else [])
        assert message.presences == ([] if small else [Presence(cid.binary, have=True)])


async def test_dont_have_is_said_at_once_to_those_who_asked_for_it_and_the_want_is_kept() -> None:
    async with open_node() as node, open_raw_peer() as peer:
        told, untold = cid_of(RAW, b"told"), cid_of(RAW, b"untold")
        await peer.connect(node)
        await peer.say(node, Message([Want(told.binary, send_dont_have=True), Want(untold.binary)]))
        (message,) = await peer.until(lambda heard: len(heard) == 1)
        assert message == Message(presences=[Presence(told.binary, have=False)])
        for block in (b"told", b"untold"):
            node.engine.block_stored((await add(node.blocks, RAW, block)).multihash)
        await peer.until(lambda heard: sorted(blocks_in(heard)) == [b"told", b"untold"])


async def test_what_was_cancelled_or_replaced_by_a_full_list_is_not_sent() -> None:
    async with open_node() as node, open_raw_peer() as peer:
        gone, replaced, kept = (cid_of(RAW, block) for block in (b"gone", b"replaced", b"kept"))
        await peer.connect(node)
        await peer.say(node, Message([Want(gone.binary), Want(replaced.binary)]))
        await until(lambda: node.engine.server.waiting() == [peer.id])
        await peer.say(node, Message([Want(gone.binary, cancel=True)]))
        await peer.say(node, Message([Want(kept.binary, send_dont_have=True)], full=True))
        await peer.until(bool)
        for block in (b"gone", b"replaced", b"kept"):
            node.engine.block_stored((await add(node.blocks, RAW, block)).multihash)
        await peer.until(lambda heard: bool(blocks_in(heard)))
        assert blocks_in(peer.heard) == [b"kept"]


async def test_a_want_outlives_its_connection_and_is_met_when_the_peer_is_back() -> None:
    key = new_key()
    async with open_node() as node:
        async with open_raw_peer(key) as peer:
            await peer.connect(node)
            await peer.say(node, Message([Want(cid_of(RAW, b"late").binary)]))
            await until(lambda: node.engine.server.waiting() == [peer.id])
        await until(lambda: not node.host.peers())
        node.engine.block_stored((await add(node.blocks, RAW, b"late")).multihash)
        async with open_raw_peer(key) as peer:
            await peer.connect(node)
            await peer.until(lambda heard: blocks_in(heard) == [b"late"])


async def test_an_answer_that_broke_off_is_sent_again_when_the_peer_is_back() -> None:
    key = new_key()
    async with open_node() as node:
        cids = [await add(node.blocks, RAW, block) for block in chunks(30, MIB)]
        async with open_raw_peer(key) as peer:
            await peer.connect(node)
            await peer.say(node, Message([Want(cid.binary) for cid in cids]))
            await peer.until(lambda heard: len(heard) >= 3)
        await until(lambda: not node.host.peers())
        left = 30 - node.engine.server.blocks_sent  # those on their way were sent whole, read or not
        assert left
        async with open_raw_peer(key) as peer:
            await peer.connect(node)
            await peer.until(lambda again: len(set(blocks_in(again))) == left)


async def test_a_message_stays_under_what_peers_read() -> None:
    async with open_node() as node, open_raw_peer() as peer:
        sizes = [900_000, 3 * MIB, 10, 4 * MIB - 70_000, 5 * MIB]
        cids = [await add(node.blocks, RAW, bytes(size)) for size in sizes]
        await peer.connect(node)
        await peer.say(node, Message([Want(cid.binary, send_dont_have=True) for cid in cids]))
        heard = await peer.until(lambda heard: len(blocks_in(heard)) == 4 and any(m.presences for m in heard))
        assert all(sum(len(block.data) for block in message.blocks) <= 4 * MIB - 65_536 for message in heard)
        assert [p for m in heard for p in m.presences] == [Presence(cids[-1].binary, have=False)]


async def test_a_block_that_is_stored_while_we_look_for_it_is_sent() -> None:
    """The look misses it, and the bell rings before the want is on the list of those that wait."""

    class JustTooLate(MemoryBlocks):
        async def get(self, multihash: Multihash) -> bytes | None:
            found = await super().get(multihash)
            if found is None:
                await self.put(multihash, b"late")
                node.engine.block_stored(multihash)
            return found

    async with open_node(source=JustTooLate()) as node, open_raw_peer() as peer:
        await peer.connect(node)
        await peer.say(node, Message([Want(cid_of(RAW, b"late").binary, send_dont_have=True)]))
        (message,) = await peer.until(lambda heard: len(heard) == 1)
        assert message == Message(blocks=[Block(b"\x01\x55\x12\x20", b"late")])


async def test_a_store_that_cannot_be_read_answers_dont_have() -> None:
    class Broken:
        async def get(self, multihash: Multihash) -> bytes | None:
            raise OSError(5, "Input/output error")

        async def size(self, multihash: Multihash) -> int | None:
            raise OSError(5, "Input/output error")

    async with open_node(source=Broken()) as node, open_raw_peer() as peer:
        cid = cid_of(RAW, b"")
        await peer.connect(node)
        for kind in WantType:
            await peer.say(node, Message([Want(cid.binary, kind, send_dont_have=True)]))
        await peer.until(lambda heard: [p.have for m in heard for p in m.presences] == [False, False])


async def test_what_peers_want_is_remembered_of_so_many_and_of_those_who_left_the_shortest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A peer id is made up for nothing. Beyond the cap those who are away are forgotten first, then whoever has said
    nothing for longest."""

    async def open_stream(_peer: PeerId) -> INetStream:
        raise StreamGone("nobody is there")

    monkeypatch.setattr(server, "MOST_LEDGERS", 3)
    async with trio.open_nursery() as nursery:
        memory = Server(MemoryBlocks(), open_stream, nursery.start_soon)
        ann, bob, cid, dan, eve = (PeerId(name) for name in ("ann", "bob", "cid", "dan", "eve"))

        async def heard(peer: PeerId) -> list[PeerId]:
            memory.receive(peer, Message([Want(cid_of(RAW, b"missing").binary)]))
            await trio.testing.wait_all_tasks_blocked()  # until it was looked for
            return memory.waiting()

        for peer in (ann, bob, cid):
            await heard(peer)
        memory.disconnected(bob)
        assert await heard(dan) == [ann, cid, dan]
        assert await heard(ann) == [cid, dan, ann]
        assert await heard(eve) == [dan, ann, eve]
        nursery.cancel_scope.cancel()
