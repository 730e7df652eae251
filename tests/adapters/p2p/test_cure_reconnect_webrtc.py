"""The reconnect cure over webrtc: a peer whose stream from us has failed is told again, on a new one."""

from __future__ import annotations

from typing import Any, cast

import pytest

pytest.importorskip("aiortc", reason="the extra [webrtc] is not installed")

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.network.swarm import Swarm
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.cures.connections import deafness
from pinning_worker.adapters.p2p.cures.gossip import one_writer, reconnect
from pinning_worker.adapters.p2p.cures.webrtc import close as webrtc_close
from pinning_worker.adapters.p2p.cures.webrtc import threads as webrtc_threads
from tests.adapters.p2p.cure_rig import Ear, bare_host, bare_pubsub, know_each_other, outcome, play
from tests.adapters.p2p.test_cure_reconnect import TOPIC, heard
from tests.adapters.p2p.webrtc_rig import address_of, transport, webrtc_host

PATIENCE = 15


async def one_whose_stream_from_us_has_failed() -> str:
    key = create_new_key_pair()
    async with (
        webrtc_host() as a,
        bare_host(key=key) as b,
        bare_pubsub(a) as at_a,
        bare_pubsub(b) as at_b,
        trio.open_nursery() as nursery,
    ):
        ear = Ear()
        await at_a.subscribe(TOPIC)
        nursery.start_soon(ear.listen, await at_b.subscribe(TOPIC))
        swarm = cast("Swarm", b.get_network())
        swarm.transport_manager.add_transport(transport(key))
        await swarm.dial_addr(Multiaddr(address_of(a)), a.get_id())
        await know_each_other(TOPIC, at_a, at_b)
        before = await heard(at_a, ear)
        stream: Any = at_a.peers[b.get_id()]
        await stream.muxed_stream.reset()
        ear.heard.clear()
        after = False
        with trio.move_on_after(PATIENCE):
            while not after:
                after = await heard(at_a, ear)
        nursery.cancel_scope.cancel()
    return f"before: {before}, after: {after}"


def test_it_is_told_again() -> None:
    said = outcome(one_whose_stream_from_us_has_failed, stock=False)
    assert said == "before: True, after: True"


def test_by_the_stock_library_it_is_not() -> None:
    said = outcome(one_whose_stream_from_us_has_failed, stock=True)
    assert said == "before: True, after: False"


if __name__ == "__main__":
    play(globals(), deafness, webrtc_threads, webrtc_close, one_writer, reconnect)
