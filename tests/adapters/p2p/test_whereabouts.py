"""Which address a connected peer counts for: as its socket says, over tcp and ws, and through a relay."""

from __future__ import annotations

from contextlib import AsyncExitStack
from ipaddress import ip_address

import pytest
import trio
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.addresses import relay_in
from pinning_worker.adapters.p2p.bounds.defaults import PROXIES
from pinning_worker.adapters.p2p.gossip.pubsub import open_pubsub
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host
from pinning_worker.adapters.p2p.peer_ids import library_id
from pinning_worker.adapters.p2p.relay.hop import RelayCaps
from tests.adapters.p2p.dialling_from import dialling_from

ANYWHERE = ("/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/tcp/0/ws")


@pytest.mark.parametrize("transport", ["", "/ws"])
async def test_a_peer_counts_for_its_address_and_behind_a_proxy_for_itself(transport: str) -> None:
    async with (
        open_host(HostConfig(new_key(), ANYWHERE, proxies=frozenset({*PROXIES, "127.0.0.9"}))) as host,
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


async def test_who_comes_by_a_proxy_with_ipv6_counts_for_itself() -> None:
    """A proxy is known by its whole address; what is counted as one is the /64. `localhost` is ::1 to many a proxy."""
    async with (
        open_host(HostConfig(new_key(), ("/ip6/::1/tcp/0",))) as host,
        open_host(HostConfig(new_key(), ())) as browser,
    ):
        await browser.connect(host.addresses[0], deadline=10)
        with trio.fail_after(10):
            while not host.is_connected(browser.peer_id):
                await host.changed()
        assert host.address_of(browser.peer_id) == ""


async def test_relays_at_one_address_are_one() -> None:
    """A relay is a peer id like any other, made up for nothing: who has one address has no more with ten of them."""
    async with open_host(HostConfig(new_key(), ANYWHERE)) as host, AsyncExitStack() as stack:
        counted = []
        for ip in ("127.0.0.2", "127.0.0.2", "127.0.0.3"):
            listen = (f"/ip4/{ip}/tcp/0",)
            relay = await stack.enter_async_context(open_host(HostConfig(new_key(), listen, relay=RelayCaps())))
            behind = await stack.enter_async_context(
                open_host(
                    HostConfig(new_key(), ("/ip4/127.0.0.1/tcp/0",), bootstrap=tuple(relay.addresses), relays_wanted=1)
                )
            )
            with trio.fail_after(10):
                while not relay.hop or not len(relay.hop.reservations):  # noqa: ASYNC110  nobody is told
                    await trio.sleep(0.01)
            await host.connect(f"{relay.addresses[0]}/p2p-circuit/p2p/{behind.peer_id}", deadline=10)
            counted.append(host.address_of(behind.peer_id))
        assert counted == ["127.0.0.2", "127.0.0.2", "127.0.0.3"]


@pytest.mark.parametrize("proxies", [frozenset(PROXIES), frozenset()], ids=["behind a proxy", "by itself"])
async def test_what_a_peer_has_not_ended_counts_where_the_peer_does(proxies: frozenset[str]) -> None:
    """Catches: two rules for one thing."""
    async with (
        open_host(HostConfig(new_key(), ("/ip6/::1/tcp/0",), proxies=proxies)) as host,
        open_host(HostConfig(new_key(), ())) as peer,
        open_pubsub(host) as ours,
        open_pubsub(peer) as theirs,
    ):
        await ours.join("/topic")
        saying = await theirs.join("/topic")
        await peer.connect(host.addresses[0], deadline=10)
        with trio.fail_after(10):
            while not saying.has_subscriber(host.peer_id) or not len(ours._raw.ears.unfinished):  # noqa: ASYNC110
                await trio.sleep(0.01)
        (reading,) = ours._raw.ears.unfinished._all
        assert (reading.address or "") == host.address_of(peer.peer_id) == ("" if proxies else "::/64")


async def test_a_peer_by_webrtc_is_heard_and_counts_for_its_address() -> None:
    """Catches: each message of a browser by webrtc-direct ends the stream that it came on; one address that counts for
    as many as it has connections."""
    pytest.importorskip("aiortc", reason="the extra [webrtc] is not installed")
    from tests.adapters.p2p.webrtc_rig import WEBRTC, transport

    key = new_key()
    listening = HostConfig(new_key(), (WEBRTC,), proxies=frozenset())
    async with open_host(listening) as host, open_host(HostConfig(key, ())) as far:
        swarm = far.swarm
        swarm.transport_manager.add_transport(transport(key))
        async with open_pubsub(host) as ours, open_pubsub(far) as theirs:
            topic, saying = await ours.join("/topic"), await theirs.join("/topic")
            await swarm.dial_addr(Multiaddr(host.addresses[0]), library_id(host.peer_id))
            with trio.fail_after(20):
                while not saying.has_subscriber(host.peer_id):  # noqa: ASYNC110  nobody is told
                    await trio.sleep(0.05)
                saying.publish(b"from a browser")
                heard = await topic.intake.get()
            assert (heard.data, heard.forwarder) == (b"from a browser", far.peer_id)
            assert ip_address(heard.address) is not None, "of whichever interface it has dialled from"


def test_who_comes_through_a_relay_counts_for_the_relay() -> None:
    assert relay_in("/ip4/203.0.113.7/tcp/4001/p2p/12D3KooWRelay/p2p-circuit/p2p/12D3KooWPeer") == "12D3KooWRelay"
    assert relay_in("/ip4/203.0.113.7/tcp/4001") == ""
