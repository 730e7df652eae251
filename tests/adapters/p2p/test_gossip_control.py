"""The work that one frame of a stranger can cause: little, however often it says the same thing.

Each test counts what we do; how long the event loop stood still is printed, and not asserted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils import encode_varint_prefixed

from pinning_worker.adapters.p2p.bounds import flood_guard as flood
from pinning_worker.adapters.p2p.bounds import gossip_budget, retold, unfinished
from pinning_worker.adapters.p2p.bounds.bucket import BURST_SECONDS
from pinning_worker.adapters.p2p.gossip.router import Router
from pinning_worker.adapters.p2p.gossip.stream import LARGEST_RPC
from pinning_worker.adapters.p2p.host.identity import new_key
from tests.adapters.p2p.gossips import TOPIC, Node, meet, open_node
from tests.adapters.p2p.stranger import Stranger, open_stranger
from tests.event_loop import watched

PAIRS = 3_000
CROWD = 500
LARGE = 700_000
UNSIGNED = rpc_pb2.Message(from_id=b"\x00\x01", seqno=bytes(8), topicIDs=[TOPIC])


def field(number: int, data: bytes) -> bytes:
    """Of protobuf: bytes, or a message."""
    return bytes([number << 3 | 2]) + encode_varint_prefixed(data)


def full_of(number: int, *inside: int) -> bytes:
    """A frame of 1 MiB full of the empty field `number`, in the fields `inside`, the outermost first."""
    data = field(number, b"") * (LARGEST_RPC // 2 - 20)
    for outer in reversed(inside):
        data = field(outer, data)
    return data


TINY = {
    "subscriptions": full_of(1),
    "messages": full_of(2),
    "topics of one message": full_of(4, 2),
    "controls": full_of(3),
    "IHAVEs": full_of(1, 3),
    "ids in an IHAVE": field(3, field(1, field(1, TOPIC.encode()) + field(2, b"\xff") * (LARGEST_RPC // 3 - 40))),
    "IWANTs": full_of(2, 3),
    "ids in an IWANT": field(3, field(2, field(1, b"\xff") * (LARGEST_RPC // 3 - 40))),
    "GRAFTs": full_of(3, 3),
    "PRUNEs": full_of(4, 3),
    "peers in a PRUNE": full_of(2, 4, 3),
    "IDONTWANTs": full_of(5, 3),
    "what nobody knows": full_of(15),
}


class Told:
    """Our messages to the stranger, counted where they are put into its queue."""

    def __init__(self, victim: Node, peer: ID) -> None:
        self.frames: list[rpc_pb2.RPC] = []
        queue = victim.pubsub._raw.peer_queues[peer]
        push = queue.push

        def count(rpc: rpc_pb2.RPC, *args: object, **more: object) -> bool:
            self.frames.append(rpc_pb2.RPC.FromString(rpc.SerializeToString()))
            return push(rpc, *args, **more)  # type: ignore[arg-type]  # as it was called

        queue.push = count  # type: ignore[method-assign]  # counted, and done

    @property
    def prunes(self) -> int:
        return sum(len(frame.control.prune) for frame in self.frames)

    @property
    def asked(self) -> int:
        return sum(len(iwant.messageIDs) for frame in self.frames for iwant in frame.control.iwant)

    def messages(self, data: bytes) -> int:
        return sum(message.data == data for frame in self.frames for message in frame.publish)


@asynccontextmanager
async def told_to_a_stranger() -> AsyncIterator[tuple[Stranger, Node, Router, Told]]:
    async with open_stranger() as (stranger, victim, router):
        with watched() as watch:
            yield stranger, victim, router, Told(victim, stranger.node.host.raw.get_id())
        print(f"longest stop: {watch.longest * 1000:.0f} ms, at work {watch.most_work * 1000:.0f} ms at most")


async def test_thousands_of_GRAFTs_after_a_PRUNE_are_refused_once_a_heartbeat() -> None:
    async with told_to_a_stranger() as (stranger, _, _, told):
        graft, prune = rpc_pb2.ControlGraft(topicID=TOPIC), rpc_pb2.ControlPrune(topicID=TOPIC)
        await stranger.control(prune=[prune])
        began = trio.current_time()
        for _ in range(10):
            await stranger.control(graft=[graft] * (PAIRS // 10), prune=[prune] * (PAIRS // 10))
        await stranger.heard_out()
        heartbeats = int(trio.current_time() - began) + 2
        print(f"{told.prunes} PRUNEs in {heartbeats} heartbeats")
        assert 1 <= told.prunes <= heartbeats


async def test_a_message_is_told_three_times_to_who_wants_it_a_thousand_times() -> None:
    async with told_to_a_stranger() as (stranger, victim, router, told):
        data = bytes(LARGE)
        victim.topic.publish(data)
        await stranger.node.hears(data)
        (wanted,) = (each for each, message in router.mcache.msgs.items() if message.data == data)
        usual = told.messages(data)
        for _ in range(20):
            await stranger.control(iwant=[rpc_pb2.ControlIWant(messageIDs=[wanted] * 500)] * 2)
        await stranger.heard_out()
        assert told.messages(data) - usual == retold.MOST_TIMES


async def test_of_what_it_says_it_has_we_ask_for_what_we_would_take() -> None:
    async with told_to_a_stranger() as (stranger, _, _, told):
        for number in range(20):
            ids = [b"%08d" % (number * 2_000 + n) + b"\xff" * 40 for n in range(2_000)]
            await stranger.control(ihave=[rpc_pb2.ControlIHave(topicID=TOPIC, messageIDs=ids)])
        await stranger.heard_out()
        heartbeats = 10
        assert 0 < told.asked <= gossip_budget.ASKED * (BURST_SECONDS + heartbeats)


async def test_what_it_does_not_want_is_remembered_if_it_is_little() -> None:
    async with told_to_a_stranger() as (stranger, _, router, _):
        peer = stranger.node.host.raw.get_id()
        most = []
        router._prune_idontwant_entries = lambda: None  # type: ignore[method-assign]  # no heartbeat forgets it
        for ids in ([bytes(LARGE)], [b"%d" % n for n in range(1_000)]):
            await stranger.control(idontwant=[rpc_pb2.ControlIDontWant(messageIDs=ids)])
            await stranger.heard_out()
            most.append(len(router.dont_send_message_ids[peer]))
        assert most == [0, gossip_budget.MOST_UNWANTED]


@pytest.mark.parametrize("frame", TINY.values(), ids=TINY)
async def test_a_frame_full_of_tiny_things_stops_nobody(frame: bytes) -> None:
    assert len(frame) <= LARGEST_RPC
    async with told_to_a_stranger() as (stranger, victim, _, told):
        for _ in range(3):
            await stranger.write(frame)
        await stranger.heard_out()
        assert len(told.frames) < 20
        assert victim.host.is_connected(stranger.node.host.peer_id), "three times is no flood yet"


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (TINY["IWANTs"], "control"),
        (field(2, UNSIGNED.SerializeToString()) * (LARGEST_RPC // 70), "forged"),
    ],
    ids=["of control", "of messages that nobody signed"],
)
async def test_who_goes_on_with_it_is_sent_away(frame: bytes, reason: str) -> None:
    async with told_to_a_stranger() as (stranger, victim, _, _):
        with trio.fail_after(30):
            with suppress(BaseLibp2pError):
                for _ in range(flood.MOST_OVERDONE + 4):
                    await stranger.write(frame)
            while victim.host.is_connected(stranger.node.host.peer_id):  # noqa: ASYNC110  it is hung up on
                await trio.sleep(0.01)
        assert victim.pubsub.guard.dropped[reason] >= flood.MOST_OVERDONE


async def test_between_two_signed_messages_of_one_frame_everybody_has_a_turn() -> None:
    turns = 0

    async def everybody() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with told_to_a_stranger() as (stranger, victim, _, _), trio.open_nursery() as nursery:
        messages = [stranger.signed(b"%d" % n, n.to_bytes(8, "big"), TOPIC) for n in range(1, CROWD + 1)]
        nursery.start_soon(everybody)
        heard_in = []
        await stranger.say(publish=messages)
        for message in messages:
            await victim.hears(message.data)
            heard_in.append(turns)
        nursery.cancel_scope.cancel()
        print(f"{CROWD} messages in {heard_in[-1] - heard_in[0]} turns")
        assert heard_in[-1] - heard_in[0] >= CROWD - 1


async def test_what_js_and_go_say_at_most_is_no_flood() -> None:
    """In each of ten heartbeats, which came all at once after a standstill: ten IHAVE with 5000 ids in all, an IWANT,
    and an IDONTWANT for each of a hundred messages."""
    ids = [b"\x00\x24\x08\x01\x12\x20" + b"%040d" % n for n in range(5_000)]
    async with told_to_a_stranger() as (stranger, victim, _, _):
        for _ in range(10):
            await stranger.control(
                graft=[rpc_pb2.ControlGraft(topicID=TOPIC)],
                ihave=[
                    rpc_pb2.ControlIHave(topicID=TOPIC, messageIDs=ids[at : at + 500]) for at in range(0, 5_000, 500)
                ],
                iwant=[rpc_pb2.ControlIWant(messageIDs=ids[:500])],
            )
            for each in ids[:100]:
                await stranger.control(idontwant=[rpc_pb2.ControlIDontWant(messageIDs=[each])])
        await stranger.heard_out()
        assert victim.pubsub.guard.dropped["control"] == 0
        assert victim.host.is_connected(stranger.node.host.peer_id)


async def test_frames_that_never_end_are_held_up_to_a_bound() -> None:
    whole = encode_varint_prefixed(bytes(LARGEST_RPC - 20))
    async with open_node() as victim, open_node("another topic") as node, open_node() as honest:
        await meet(honest, victim)
        await node.host.connect(victim.host.addresses[0], deadline=20)
        ears, most = victim.pubsub._raw.ears, 0
        streams = []
        for _ in range(30):
            stream = await node.host.raw.new_stream(victim.host.raw.get_id(), ["/meshsub/1.1.0"])  # type: ignore[list-item]  # a plain str is one
            streams.append(stream)
            await stream.write(whole[: LARGEST_RPC // 2])
            most = max(most, ears.unfinished.held)
        with trio.fail_after(20):
            while len(ears.unfinished) > unfinished.STREAMS + len([honest]):  # noqa: ASYNC110  the last ones are on their way
                await trio.sleep(0.01)
        print(f"{most} bytes held at most, {ears.unfinished.held} now")
        assert 0 < most <= unfinished.OF_A_PEER + LARGEST_RPC
        honest.topic.publish(b"and I am heard")
        await victim.hears(b"and I am heard")


async def test_a_heartbeat_tells_each_peer_its_own_and_nothing_of_the_one_before() -> None:
    router, told = Router(), {}
    first, second = (ID.from_pubkey(new_key().public_key) for _ in range(2))

    async def note(control_msg: rpc_pb2.ControlMessage, to_peer: ID) -> None:
        grafts, ihaves = control_msg.graft, control_msg.ihave
        told[to_peer] = ([each.topicID for each in grafts], [list(each.messageIDs) for each in ihaves])

    router.emit_control_message = note  # type: ignore[method-assign]  # noted, and done
    await router._emit_control_msgs({first: ["a"], second: ["b"]}, {}, {first: {"a": [b"1"]}, second: {"b": [b"2"]}})
    assert told == {first: (["a"], [[b"1"]]), second: (["b"], [[b"2"]])}


@pytest.mark.parametrize("over", [0, 1], ids=["tcp", "ws"])
async def test_what_is_held_of_unfinished_frames_is_counted_by_address(over: int) -> None:
    """Behind a proxy many have one: they are not counted."""
    for proxies, counted in ((frozenset[str](), "127.0.0.1"), (frozenset({"127.0.0.1"}), None)):
        async with open_node(more={"proxies": proxies}) as victim, open_node() as node:
            await node.host.connect(victim.host.addresses[over], deadline=20)
            with trio.fail_after(20):
                while not len(victim.pubsub._raw.ears.unfinished):  # noqa: ASYNC110  its stream is on its way
                    await trio.sleep(0.01)
            assert victim.pubsub._raw.ears.unfinished._of_addresses.keys() == {counted}
