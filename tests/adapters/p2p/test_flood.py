"""The flood guard: a flooder loses its own, the forwarder of others' messages is not punished, bytes are bounded."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio
from libp2p.crypto.keys import KeyPair
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.pubsub.pb import rpc_pb2

from pinning_worker.adapters.p2p.bounds import flood_guard as flood
from pinning_worker.adapters.p2p.bounds.bucket import BURST_SECONDS
from pinning_worker.adapters.p2p.bounds.flood_guard import FloodGuard, GossipLimits
from pinning_worker.adapters.p2p.errors import CannotConnect
from tests.adapters.p2p.gossips import Node, meet, open_node
from tests.interop.attacker import frame, signed

MIB = 1024 * 1024


class Rig:
    def __init__(self, **limits: float) -> None:
        self.sent_away: list[bytes] = []
        self.guard = FloodGuard(GossipLimits(**limits), lambda peer, reason: self.sent_away.append(peer))

    def message(self, origin: bytes, forwarder: bytes, size: int = 100, now: float = 0.0, address: str = "") -> bool:
        taken = self.guard.admit(origin, forwarder, size, now, address)
        if taken:
            self.guard.signed(origin, now)
        return taken


def test_a_flooder_is_cut_and_then_sent_away() -> None:
    rig = Rig(messages_per_peer_per_second=10, messages_per_second=10_000)
    taken = sum(rig.message(b"flooder", b"flooder") for _ in range(50_000))
    assert taken == 10 * BURST_SECONDS
    assert rig.sent_away == [b"flooder"]
    assert rig.message(b"honest", b"honest")
    assert not rig.message(b"flooder", b"hub", now=60.0), "nor are they heard through others"
    assert rig.message(b"flooder", b"flooder", now=flood.AWAY_SECONDS + 1)


def test_who_is_a_little_over_for_long_loses_some_and_stays() -> None:
    rig = Rig(messages_per_peer_per_second=10)
    taken = sum(rig.message(b"eager", b"eager", now=n / 15) for n in range(20_000))
    assert 13_000 < taken < 14_000
    assert rig.sent_away == []


def test_who_floods_steadily_is_sent_away() -> None:
    rig = Rig(messages_per_peer_per_second=10)
    for n in range(20_000):
        rig.message(b"flooder", b"flooder", now=n / 40)
    assert rig.sent_away == [b"flooder"]


def test_who_forwards_a_flood_is_neither_punished_nor_charged_for_it() -> None:
    rig = Rig(messages_per_peer_per_second=10, messages_per_second=1_000)
    for _ in range(50_000):
        rig.message(b"flooder", b"hub")
    assert rig.sent_away == []
    assert rig.message(b"honest", b"hub")


def test_a_forger_spends_nobody_elses_budget_and_is_sent_away() -> None:
    rig = Rig(messages_per_peer_per_second=10)
    for _ in range(flood.MOST_FORGED):
        assert rig.guard.admit(b"honest", b"forger", 100, 0.0)
        rig.guard.forged(b"forger", 0.0)
    assert rig.sent_away == [b"forger"]
    assert sum(rig.message(b"honest", b"honest") for _ in range(1_000)) == 10 * BURST_SECONDS


def test_a_bad_signature_now_and_then_is_forgotten() -> None:
    rig = Rig()
    for number in range(flood.MOST_FORGED * 3):
        rig.guard.forged(b"unlucky", number * flood.FORGED_SECONDS / (flood.MOST_FORGED - 2))
    assert rig.sent_away == []


def test_one_connection_fills_a_quarter_and_all_together_the_whole() -> None:
    rig = Rig(gossip_bytes_per_second=4 * MIB)
    by_one = sum(rig.message(b"%d" % n, b"hub", MIB) for n in range(100))
    assert by_one == flood.SHARE * 4 * BURST_SECONDS
    by_all = by_one + sum(rig.message(b"%d" % n, b"hub %d" % n, MIB) for n in range(100))
    assert by_all == 4 * BURST_SECONDS
    assert rig.message(b"later", b"hub", MIB, now=1.0)


def test_who_comes_and_goes_all_the_time_is_not_followed() -> None:
    rig = Rig()
    assert sum(rig.guard.subscribes(b"fickle", 0.0) for _ in range(1_000)) == flood.CHANGES * BURST_SECONDS
    assert rig.guard.subscribes(b"honest", 0.0)
    assert rig.guard.subscribes(b"fickle", 1.0)


def test_small_messages_are_counted_by_connection_and_in_all_too() -> None:
    rig = Rig(messages_per_second=20)
    by_one = sum(rig.message(b"%d" % n, b"hub", 1) for n in range(100))
    assert by_one == flood.SHARE * 20 * BURST_SECONDS
    by_all = by_one + sum(rig.message(b"%d" % n, b"hub %d" % (n % 10), 1) for n in range(1000))
    assert 20 * BURST_SECONDS <= by_all <= 20 * BURST_SECONDS + 10, "and one of each"


def test_all_connections_of_one_address_leave_half_to_others() -> None:
    rig = Rig(messages_per_second=20)
    size = flood.FLOOR_BYTES + 1
    by_one = sum(rig.guard.admit(b"%d" % n, b"hub %d" % n, size, 0.0, "203.0.113.7") for n in range(1_000))
    assert by_one == flood.ADDRESS_SHARE * 20 * BURST_SECONDS
    assert rig.guard.admit(b"honest", b"honest", 1, 0.0, "198.51.100.1")


@pytest.mark.parametrize("addresses", [1, 10], ids=["behind one address", "behind all addresses but one"])
def test_who_says_little_is_heard_whoever_floods(addresses: int) -> None:
    """Thirty connections, 300 messages a second of each, of origins that are made up."""
    rig, heard = Rig(), 0
    for step in range(20 * 300):
        now = step / 300
        for flooder in range(30):
            rig.message(
                b"%d" % (30 * step + flooder), b"flooder %d" % flooder, now=now, address=str(flooder % addresses)
            )
        if step % 300 == 150:
            heard += rig.message(b"honest", b"honest", now=now, address="0" if addresses == 1 else "another")
    assert heard == 20


def test_millions_of_made_up_origins_are_forgotten() -> None:
    rig = Rig()
    for n in range(flood.MOST_PEERS + 500):
        rig.message(b"%d" % n, b"hub", now=float(n))
    assert len(rig.guard._origins) == flood.MOST_PEERS


async def test_a_flooder_on_the_wire_is_disconnected_and_stays_out() -> None:
    async with open_node() as victim, open_node() as flooder, open_node() as honest:
        victim.pubsub.guard.limits = GossipLimits(messages_per_peer_per_second=10)
        await meet(flooder, victim)
        await meet(honest, victim)
        private = flooder.host.raw.get_private_key()
        key = KeyPair(private, private.get_public_key())
        stream = await flooder.host.raw.new_stream(victim.host.raw.get_id(), [TProtocol("/meshsub/1.1.0")])
        with suppress(BaseLibp2pError):
            for number in range(10_000):
                await stream.write(frame(rpc_pb2.RPC(publish=[signed(key, number, b"flood")])))
        await victim_hung_up(flooder, victim)
        honest.topic.publish(b"still there?")
        await victim.hears(b"still there?")
        with suppress(CannotConnect):  # it may be sent away before it knows that it is connected
            await flooder.host.connect(victim.host.addresses[0], deadline=20)
        await victim_hung_up(flooder, victim)


async def victim_hung_up(flooder: Node, victim: Node) -> None:
    with trio.fail_after(20):
        while victim.host.is_connected(flooder.host.peer_id):  # noqa: ASYNC110  it is hung up on
            await trio.sleep(0.01)
