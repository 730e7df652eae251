"""Which address a connected peer counts for: as its socket says, over tcp and ws, and through a relay."""

from __future__ import annotations

import pytest
import trio
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.addresses import relay_in
from pinning_worker.adapters.p2p.cures.half_open import LOOPBACK
from pinning_worker.adapters.p2p.identity import new_key
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host
from pinning_worker.adapters.p2p.pubsub import open_pubsub
from tests.adapters.p2p.dialling_from import dialling_from

ANYWHERE = ("/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/tcp/0/ws")


@pytest.mark.parametrize("transport", ["", "/ws"])
async def test_a_peer_counts_for_its_address_and_behind_a_proxy_for_itself(transport: str) -> None:
    async with (
        open_host(HostConfig(new_key(), ANYWHERE, proxies=LOOPBACK | {"127.0.0.9"})) as host,
        open_host(HostConfig(new_key(), ())) as far,
        open_host(HostConfig(new_key(), ())) as behind_a_proxy,
    ):
        port = host.listening[0].value_for_protocol("tcp")
        for peer, ip in ((far, "127.0.0.2"), (behind_a_proxy, "127.0.0.9")):
            with dialling_from(ip):
                await peer.connect(f"/ip4/127.0.0.1/tcp/{port}{transport}/p2p/{host.peer_id}", deadline=10)
            with trio.fail_after(10):
                while not host.is_connected(peer.peer_id):
                    await host.changed()
        assert [host.address_of(peer.peer_id) for peer in (far, behind_a_proxy)] == ["127.0.0.2", ""]


async def test_what_is_heard_says_from_which_address() -> None:
    async with (
        open_host(HostConfig(new_key(), ANYWHERE)) as host,
        open_host(HostConfig(new_key(), ())) as far,
        open_pubsub(host) as ours,
        open_pubsub(far) as theirs,
    ):
        topic, saying = await ours.join("/topic"), await theirs.join("/topic")
        port = host.listening[0].value_for_protocol("tcp")
        with dialling_from("127.0.0.2"):
            await far.connect(f"/ip4/127.0.0.1/tcp/{port}/p2p/{host.peer_id}", deadline=10)
        with trio.fail_after(10):
            while not saying.has_subscriber(host.peer_id):  # noqa: ASYNC110  nobody is told
                await trio.sleep(0.05)
            saying.publish(b"from afar")
            heard = await topic.intake.get()
        assert (heard.data, heard.forwarder, heard.source) == (b"from afar", far.peer_id, "127.0.0.2")


async def test_a_peer_by_webrtc_is_heard_and_is_its_own_address() -> None:
    """Catches: each message of a browser by webrtc-direct ends the stream that it came on."""
    pytest.importorskip("aiortc", reason="the extra [webrtc] is not installed")
    from tests.adapters.p2p.webrtc_rig import WEBRTC, transport

    key = new_key()
    async with open_host(HostConfig(new_key(), (WEBRTC,))) as host, open_host(HostConfig(key, ())) as far:
        swarm = far.swarm
        swarm.transport_manager.add_transport(transport(key))
        async with open_pubsub(host) as ours, open_pubsub(far) as theirs:
            topic, saying = await ours.join("/topic"), await theirs.join("/topic")
            await swarm.dial_addr(Multiaddr(host.addresses[0]), ID.from_base58(host.peer_id))
            with trio.fail_after(20):
                while not saying.has_subscriber(host.peer_id):  # noqa: ASYNC110  nobody is told
                    await trio.sleep(0.05)
                saying.publish(b"from a browser")
                heard = await topic.intake.get()
            assert (heard.data, heard.forwarder, heard.source) == (b"from a browser", far.peer_id, far.peer_id)


def test_who_comes_through_a_relay_counts_for_the_relay() -> None:
    assert relay_in("/ip4/203.0.113.7/tcp/4001/p2p/12D3KooWRelay/p2p-circuit/p2p/12D3KooWPeer") == "12D3KooWRelay"
    assert relay_in("/ip4/203.0.113.7/tcp/4001") == ""
