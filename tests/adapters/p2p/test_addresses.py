"""Which addresses that strangers name are dialled: nobody makes us knock on the doors of our own network."""

from __future__ import annotations

import pytest

from pinning_worker.adapters.p2p.addresses import parse, worth_dialling
from pinning_worker.adapters.p2p.errors import BadAddress

PUBLIC = "/ip4/8.8.8.8/tcp/4001"
PEER = "/p2p/12D3KooWPxsrDfy6rYv6jCe4EWZ73KJxDkanHKeWmf1iHNM5CsEH"


@pytest.mark.parametrize(
    ("address", "on_the_internet", "on_a_private_network"),
    [
        ("/ip4/1.1.1.1/tcp/4001", True, True),
        ("/ip4/1.1.1.1/tcp/4001/ws" + PEER, True, True),
        ("/dns4/example.org/tcp/443/tls/ws" + PEER, True, True),
        ("/ip6/2606:4700::1111/tcp/4001", True, True),
        ("/ip4/127.0.0.1/tcp/22" + PEER, False, True),
        ("/ip4/10.0.0.1/tcp/4001", False, True),
        ("/ip4/169.254.169.254/tcp/80", False, True),
        ("/ip6/::1/tcp/4001", False, True),
        ("/ip6/64:ff9b::7f00:1/tcp/4001", False, True),
        ("/ip6/2002:7f00:1::/tcp/4001", False, True),
        ("/ip6/::127.0.0.1/tcp/4001", False, True),
        ("/ip6/::ffff:10.0.0.1/tcp/4001", False, True),
        ("/ip4/224.0.0.251/tcp/5353", False, True),
        ("/ip4/1.1.1.1/udp/4001/quic-v1", False, False),
        ("/ip4/1.1.1.1/tcp/4001" + PEER + "/p2p-circuit", True, True),
        ("/dns4/example.org/tcp/443/tls/ws" + PEER + "/p2p-circuit" + PEER, True, True),
        ("/ip4/10.0.0.1/tcp/4001" + PEER + "/p2p-circuit" + PEER, False, True),
        ("/ip4/1.1.1.1/udp/4001/quic-v1" + PEER + "/p2p-circuit" + PEER, False, False),
        ("/ip4/1.1.1.1/tcp/4001/p2p-circuit" + PEER, False, False),
        (PEER + "/p2p-circuit" + PEER, False, False),
        ("/ip4/1.1.1.1/tcp/4001" + PEER + "/p2p-circuit" + PEER + "/p2p-circuit" + PEER, False, False),
    ],
)
def test_worth_dialling(address: str, on_the_internet: bool, on_a_private_network: bool) -> None:
    assert worth_dialling(address, [PUBLIC]) is on_the_internet
    assert worth_dialling(address, ["/ip4/192.168.1.5/tcp/4001"]) is on_a_private_network


@pytest.mark.parametrize(
    ("announced", "knocks_on_our_own_doors"),
    [
        ("/dns4/pin.example.org/tcp/443/tls/ws" + PEER, False),
        ("/dnsaddr/pin.example.org" + PEER, False),
        ("/dns4/worker.lan/tcp/4001" + PEER, True),
        ("/dns4/localhost/tcp/4001/ws" + PEER, True),
    ],
)
def test_who_announces_a_name_only_is_on_the_internet(announced: str, knocks_on_our_own_doors: bool) -> None:
    assert worth_dialling("/ip4/10.0.0.1/tcp/4001", [announced]) is knocks_on_our_own_doors


@pytest.mark.parametrize("text", ["not an address", "/ip6zone/1", "/ip6zone/x/ip6/fe80::1/tcp/1" + PEER])
def test_what_is_no_address(text: str) -> None:
    """Catches: multiaddr takes an ip6zone, and raises whenever it is read. It came as an origin in a NEW-CID, and ended
    the process."""
    assert not worth_dialling(text, [PUBLIC])
    with pytest.raises(BadAddress):
        parse(text)
