"""The peer-records cure: however much a peer tells about itself, little of it is kept, and nobody waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import pytest
import trio
import trio.lowlevel
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.peer.envelope import seal_record
from libp2p.peer.peer_record import PeerRecord
from libp2p.peer.peerstore import PeerStore
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V12
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils import encode_varint_prefixed
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.cures.identify import peer_records
from pinning_worker.adapters.p2p.cures.process import crash
from tests.adapters.p2p.cure_rig import Scenario, bare_host, bare_pubsub, connect, outcome, play, until

PUSH = TProtocol("/ipfs/id/push/1.0.0")
ADDRESSES = 8_000  # the library takes two seconds for them; four minutes for what 1 MiB holds
STOOD_STILL = 0.5  # seconds: what the mended one takes in no time, the stock one never
REFUSED = 3.0  # seconds after which nothing more is expected of a message


def some(number: int) -> list[Multiaddr]:
    return [Multiaddr(f"/ip4/10.{n >> 16}.{n >> 8 & 255}.{n & 255}/tcp/1") for n in range(number)]


def record(peer: BasicHost, number: int) -> bytes:
    made = PeerRecord(peer.get_id(), some(number), time.time_ns())
    return seal_record(made, peer.get_private_key()).marshal_envelope()


class Watch:
    """The longest time for which no task of the program could run."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def run(self) -> None:
        while True:
            began = time.process_time()  # not what other programs take
            try:
                await trio.sleep(0.01)
            finally:
                self.longest = max(self.longest, time.process_time() - began)


def kept(host: BasicHost, peer: BasicHost) -> tuple[int, int]:
    """How many addresses and protocols of it."""
    data = cast("PeerStore", host.get_peerstore()).peer_data_map.get(peer.get_id())
    return (len(data.get_addrs()), len(data.get_protocols())) if data else (0, 0)


async def pushed(message: Callable[[BasicHost], Identify]) -> tuple[int, int, float]:
    """The part of it that is kept, and the longest time that everybody stood still for it."""
    async with bare_host() as host, bare_host() as peer, trio.open_nursery() as nursery:
        await connect(peer, host)
        await until(lambda: kept(host, peer)[1] > 0)  # identify is over
        data = encode_varint_prefixed(message(peer).SerializeToString())
        watch = Watch()
        nursery.start_soon(watch.run)
        stream = await peer.new_stream(host.get_id(), [PUSH])
        before = kept(host, peer)
        with suppress(BaseLibp2pError):
            await stream.write(data)
        await until(lambda: kept(host, peer) != before, REFUSED)
        nursery.cancel_scope.cancel()
    return (*kept(host, peer), watch.longest)


async def a_long_record() -> str:
    addresses, _, longest = await pushed(lambda peer: Identify(signedPeerRecord=record(peer, ADDRESSES)))
    return f"{'few' if addresses <= 64 else 'all'}, {'all wait' if longest > STOOD_STILL else 'nobody waits'}"


async def many_addresses() -> str:
    raw = [address.to_bytes() for address in some(1_000)]
    addresses, _, _ = await pushed(lambda _: Identify(listen_addrs=raw))
    return "few" if addresses <= 64 else "all"


async def many_protocols() -> str:
    _, protocols, _ = await pushed(lambda _: Identify(protocols=["/p"] * 10_000))
    return "few" if protocols <= 256 else "all"


async def half_an_address() -> str:
    """The library keeps what it cannot read, and raises at whoever asks where that peer is."""
    raw = [b"\xff\xff", b"\x2a\x01\x31", b"\x06", *(address.to_bytes() for address in some(1))]
    addresses, _, _ = await pushed(lambda _: Identify(listen_addrs=raw))
    return "whole ones" if addresses <= 2 else "all"


async def a_long_record_in_a_gossip_frame() -> str:
    async with bare_host() as host, bare_host() as peer, bare_pubsub(host), trio.open_nursery() as nursery:
        await connect(peer, host)
        await until(lambda: kept(host, peer)[1] > 0)
        rpc = rpc_pb2.RPC(senderRecord=record(peer, ADDRESSES))
        watch = Watch()
        nursery.start_soon(watch.run)
        stream = await peer.new_stream(host.get_id(), [PROTOCOL_ID_V12])
        before = kept(host, peer)
        with suppress(BaseLibp2pError):
            await stream.write(encode_varint_prefixed(rpc.SerializeToString()))
        await until(lambda: kept(host, peer) != before, REFUSED)
        nursery.cancel_scope.cancel()
    addresses = kept(host, peer)[0]
    return f"{'few' if addresses <= 64 else 'all'}, {'all wait' if watch.longest > STOOD_STILL else 'nobody waits'}"


async def what_honest_peers_tell() -> str:
    async with bare_host() as host, bare_host() as peer:
        await connect(peer, host)
        await until(lambda: kept(host, peer)[0] > 0)
        here = host.get_peerstore().addrs(peer.get_id())
        protocols = host.get_peerstore().get_protocols(peer.get_id())
    return f"{len(here)} address, {'/ipfs/ping/1.0.0' in protocols}"


SCENARIOS: dict[Scenario, tuple[str, str]] = {
    a_long_record: ("few, nobody waits", "all, all wait"),
    a_long_record_in_a_gossip_frame: ("few, nobody waits", "all, all wait"),
    many_addresses: ("few", "all"),
    half_an_address: ("whole ones", "all"),
    many_protocols: ("few", "all"),
}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_little_is_kept_and_nobody_waits(scenario: Scenario) -> None:
    assert outcome(scenario, stock=False) == SCENARIOS[scenario][0]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_the_stock_library_takes_all(scenario: Scenario) -> None:
    assert outcome(scenario, stock=True) == SCENARIOS[scenario][1]


def test_what_honest_peers_tell_is_kept() -> None:
    assert outcome(what_honest_peers_tell, stock=False) == "1 address, True"


if __name__ == "__main__":
    play(globals(), crash, peer_records)
