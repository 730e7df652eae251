"""Garbage of any kind over bitswap: the engine lives, the next honest request is answered, the sender pays for it."""

import random
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
import trio
from libp2p.exceptions import BaseLibp2pError

from pinning_worker.adapters.p2p.bitswap.conduct import BAN_AT, Fault
from pinning_worker.adapters.p2p.bitswap.peer_wants import MOST_WANTS, LeftOut
from pinning_worker.adapters.p2p.bitswap.receiver import AT_A_TIME, MOST_STREAMS, WANTLIST_FRAME, Receiver
from pinning_worker.adapters.p2p.bitswap.server import Server
from pinning_worker.adapters.p2p.bitswap.wire import (
    MOST_FIELDS,
    Block,
    Message,
    Presence,
    Want,
    WantType,
    decode,
    encode,
)
from pinning_worker.adapters.p2p.frames import write_frame
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.domain.content.cid import Cid, CidBytes, cid_of, encode_varint
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.identities import PeerId
from pinning_worker.ports.content import NotFound
from tests.adapters.p2p.bitswap.raw_peer import RawPeer, blocks_in, cancels_in, open_raw_peer, wants_in
from tests.adapters.p2p.bitswap.rig import BUDGET, Node, add, add_file, chunks, open_node, until
from tests.domain.dagpb import RAW


async def assert_serves(node: Node) -> None:
    """An honest stranger is served."""
    cid = await add(node.blocks, RAW, b"honest")
    async with open_raw_peer() as honest:
        await honest.connect(node)
        await honest.say(node, Message([Want(cid.binary)]))
        await honest.until(lambda heard: blocks_in(heard) == [b"honest"])


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xff\xff\xff\xff\xff",
        encode_varint(WANTLIST_FRAME + 1),
        encode_varint(1 << 40),
        b"\x05\xff\xff\xff\xff\xff",
        random.Random(1).randbytes(5000),
    ],
)
async def test_garbage_costs_its_stream_and_then_the_connection(garbage: bytes) -> None:
    async with open_node() as node, open_raw_peer() as peer:
        await peer.connect(node)
        for _ in range(4):
            assert node.host.is_connected(peer.id)
            stream = await peer.open(node)
            await stream.write(garbage)
            with trio.fail_after(20), pytest.raises(BaseLibp2pError):
                await stream.read()
        await until(lambda: not node.host.is_connected(peer.id))
        assert node.engine.conduct.faults[Fault.BAD_MESSAGE] == 4
        await assert_serves(node)


async def test_a_banned_peer_that_comes_back_is_sent_away() -> None:
    key = new_key()
    async with open_node() as node:
        async with open_raw_peer(key) as peer:
            await peer.connect(node)
            while not node.engine.conduct.blame(peer.id, Fault.BAD_MESSAGE, trio.current_time()):
                pass
        async with open_raw_peer(key) as peer:
            await peer.connect(node)
            await until(lambda: not node.host.is_connected(peer.id))


@pytest.mark.parametrize(
    ("entry", "fault"),
    [(b"\x1a\x00", Fault.UNASKED_BLOCK), (b"\x22\x00", Fault.BAD_MESSAGE)],
    ids=["blocks", "presences"],
)
async def test_of_thousands_of_faults_in_one_message_no_more_count_than_make_a_ban(entry: bytes, fault: Fault) -> None:
    """Each is a line in the log, and the message has 16 kB."""
    async with open_node() as node, open_raw_peer() as peer:
        await peer.connect(node)
        with suppress(BaseLibp2pError):
            await write_frame(await peer.open(node), entry * 8000)
        await until(lambda: not node.host.is_connected(peer.id))
        assert node.engine.conduct.faults[fault] * fault < 2 * BAN_AT
        await assert_serves(node)


async def test_thousands_of_presences_are_noted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    noted, pieces = 0, []

    def note(_self: Receiver, _peer: PeerId, _presence: Presence) -> None:
        nonlocal noted
        noted += 1

    async def watch() -> None:
        before = 0
        while noted < 5000:
            await trio.lowlevel.checkpoint()
            pieces.append(noted - before)
            before = noted

    monkeypatch.setattr(Receiver, "_note", note)
    async with open_node() as node, open_raw_peer() as peer, trio.open_nursery() as nursery:
        await peer.connect(node)
        nursery.start_soon(watch)
        presences = [Presence(cid_of(RAW, number.to_bytes(4, "big")).binary, have=True) for number in range(5000)]
        await peer.say(node, Message(presences=presences))
        await until(lambda: noted == 5000)
    assert max(pieces) <= 2 * AT_A_TIME


async def test_a_storm_of_cancels_is_heard_in_pieces_beside_the_loop_and_blamed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Thousands of entries in one message: each piece of work is small, and whoever repeats it leaves."""
    pieces, decoded_by = [], set()
    receive = Server.receive

    def noted(self: Server, peer: PeerId, message: Message) -> LeftOut:
        pieces.append(len(message.wants))
        return receive(self, peer, message)

    def beside(frame: memoryview, most_fields: int = MOST_FIELDS) -> Message:
        message = decode(frame, most_fields)
        decoded_by.add(threading.current_thread())
        return message

    monkeypatch.setattr(Server, "receive", noted)
    monkeypatch.setattr(f"{Receiver.__module__}.decode", beside)
    async with open_node() as node, open_raw_peer() as peer:
        await peer.connect(node)
        never = [Want(cid_of(RAW, n.to_bytes(4, "big")).binary, cancel=True) for n in range(4_000)]
        await peer.say(node, Message(never))
        await until(lambda: node.engine.conduct.faults[Fault.FLOOD] == 1)
        assert sum(pieces) == 4_000
        assert max(pieces) <= 2 * AT_A_TIME
        assert threading.main_thread() not in decoded_by
        await assert_serves(node)


async def test_messages_of_wants_are_parsed_one_at_a_time_and_blocks_do_not_wait_behind_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parsed, go_on = [], threading.Event()

    def slowly(frame: memoryview, most_fields: int = MOST_FIELDS) -> Message:
        message = decode(frame, most_fields)
        if threading.current_thread() is not threading.main_thread():
            parsed.append(message)
            go_on.wait(20)
        return message

    monkeypatch.setattr(f"{Receiver.__module__}.decode", slowly)
    many = Message([Want(cid_of(RAW, n.to_bytes(4, "big")).binary) for n in range(1_000)])
    block = bytes(100_000)
    async with open_node() as node, open_raw_peer() as greedy, open_raw_peer() as honest:
        for peer in (greedy, honest):
            await peer.connect(node)
        try:
            for _ in range(5):
                await greedy.say(node, many)
            await until(lambda: bool(parsed))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(node.fetch, cid_of(RAW, block), honest.id)
                await honest.until_wants(1)
                await honest.give(node, block)
            assert len(parsed) == 1
        finally:
            go_on.set()


async def test_blocks_that_nobody_asked_for_are_dropped_and_counted() -> None:
    async with open_node() as node, open_raw_peer() as peer:
        await peer.connect(node)
        await peer.say(node, Message(blocks=[Block(b"\x01\x55\x12\x20", b"unasked")] * 3))
        await until(lambda: node.engine.conduct.faults[Fault.UNASKED_BLOCK] == 3)
        assert not node.blocks.data
        await assert_serves(node)


async def test_a_block_with_the_wrong_hash_answers_nothing() -> None:
    async with open_node() as node, open_raw_peer() as liar:
        cid = cid_of(RAW, b"right")
        await liar.connect(node)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.fetch, cid, liar.id)
            await liar.until_wants(1)
            await liar.say(node, Message(blocks=[Block(b"\x01\x55\x12\x20", b"wrong")]))
            await until(lambda: node.engine.conduct.faults[Fault.UNASKED_BLOCK] == 1)
            assert not node.blocks.data
            await liar.say(node, Message(blocks=[Block(b"\x01\x55\x12\x20", b"right")]))
        assert node.blocks.data == {cid.multihash: b"right"}


async def test_a_peer_that_says_have_and_never_gives_does_not_keep_us_from_one_that_does() -> None:
    async with open_node() as node, open_node() as holder, open_raw_peer() as liar:
        root = await add_file(holder.blocks, *chunks(5, 3000))
        await liar.connect(node)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.fetch, root)
            (want,) = await liar.until_wants(1)
            await liar.say(node, Message(presences=[Presence(want.cid, have=True)]))
            await liar.until(lambda heard: any(want.kind is WantType.BLOCK for want in wants_in(heard)))
            await holder.connect(node)
        await liar.until(lambda heard: root.binary in cancels_in(heard))


async def test_a_block_that_comes_twice_or_late_is_nobodys_fault() -> None:
    async with open_node() as node, open_raw_peer() as peer:
        cid = cid_of(RAW, b"block")
        answer = Message(blocks=[Block(b"\x01\x55\x12\x20", b"block")] * 2)
        await peer.connect(node)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.fetch, cid, peer.id)
            await peer.until_wants(1)
            await peer.say(node, answer)
        await peer.say(node, answer)
        await until(lambda: node.engine.receiver.duplicates >= 2)
        assert node.engine.conduct.faults[Fault.UNASKED_BLOCK] == 0


async def test_when_a_fetch_is_given_up_its_wants_are_cancelled() -> None:
    async with open_node() as node, open_raw_peer() as peer:
        cid = cid_of(RAW, b"never")
        await peer.connect(node)
        with pytest.raises(NotFound):
            await node.fetch(cid, peer.id, budget=replace(BUDGET, first_block_time=timedelta(seconds=0.5)))
        await peer.until(lambda heard: cancels_in(heard) == {cid.binary})
        assert [(want.cid, want.kind, want.send_dont_have) for want in wants_in(peer.heard)] == [
            (cid.binary, WantType.BLOCK, True)
        ]


async def test_a_flood_of_wants_is_bounded() -> None:
    async with open_node() as node, open_raw_peer() as peer:
        await peer.connect(node)
        for batch in range(3):
            wants = [Want(cid_of(RAW, b"%d %d" % (batch, n)).binary) for n in range(MOST_WANTS)]
            await peer.say(node, Message(wants))
        await until(lambda: node.engine.conduct.faults[Fault.FLOOD] >= 2)
        await assert_serves(node)


async def test_odd_cids_in_a_wantlist_are_left_out_and_the_good_ones_answered() -> None:
    """An identity CID of 128 bytes, one whose digest is longer still, and bytes that are no CID at all."""
    identity = Cid(1, RAW, Multihash(b"\x00\x80\x01" + bytes(128))).binary
    assert len(identity) == 133
    async with open_node() as node, open_raw_peer() as peer:
        cid = await add(node.blocks, RAW, b"good")
        await peer.connect(node)
        for round_number in range(1, 6):
            wants = [Want(CidBytes(odd), send_dont_have=True) for odd in (identity, bytes(151), bytes(1000))]
            await peer.say(node, Message([*wants, Want(cid.binary)]))
            await peer.until(lambda heard, answers=round_number: len(blocks_in(heard)) == answers)  # type: ignore[misc]  # mypy has no default arguments in lambdas
        assert {presence.cid for message in peer.heard for presence in message.presences} == {identity}
        assert node.engine.receiver.odd == 10
        assert not any(node.engine.conduct.faults.values())


async def test_messages_that_say_nothing_are_a_flood_too() -> None:
    async with open_node() as node, open_raw_peer() as peer:
        await peer.connect(node)
        with suppress(BaseLibp2pError):
            await (await peer.open(node)).write(bytes(200_000))
        await until(lambda: not node.host.is_connected(peer.id))
        assert BAN_AT <= node.engine.conduct.faults[Fault.FLOOD] < 2 * BAN_AT, "the rest is not even read"
        await assert_serves(node)


async def test_streams_of_one_peer_are_bounded() -> None:
    async with open_node() as node, open_raw_peer() as peer:
        await peer.connect(node)
        held = [await peer.open(node) for _ in range(MOST_STREAMS)]
        for stream in held:
            await stream.write(b"\x05abc")
        with trio.fail_after(20), pytest.raises(BaseLibp2pError):
            await (await peer.open(node)).read()
        await assert_serves(node)


async def test_a_small_storm_of_random_frames() -> None:
    """Bytes that are nearly messages: valid frames, flipped here and there."""
    chance = random.Random(7)
    honest = Message(
        [Want(cid_of(RAW, b"w").binary)],
        blocks=[Block(b"\x01\x55\x12\x20", b"b")],
        presences=[Presence(CidBytes(b"\x01"), have=True)],
    )
    async with open_node() as node:
        for _ in range(10):
            async with open_raw_peer() as peer:
                await storm(peer, node, honest, chance)
        await assert_serves(node)


async def storm(peer: RawPeer, node: Node, honest: Message, chance: random.Random) -> None:
    await peer.connect(node)
    for _ in range(10):
        frame = bytearray(encode(honest))
        for _ in range(chance.randint(1, 4)):
            frame[chance.randrange(len(frame))] = chance.randrange(256)
        try:
            stream = await peer.open(node)
            await stream.write(encode_varint(len(frame)) + bytes(frame))
            await stream.close()
        except BaseLibp2pError:
            return  # banned: that is an outcome too
