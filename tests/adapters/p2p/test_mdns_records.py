"""The TXT record, written and read; and which addresses are near. Over real networks, with real
peers: tests/interop/test_mdns.py."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Interface

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libp2p.crypto.ed25519 import create_new_key_pair
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.discovery.local_networks import Interface, is_near, local_interfaces, near_addresses
from pinning_worker.adapters.p2p.discovery.mdns_records import KEY, MOST_READ, MOST_TOLD, decode_txt, encode_txt
from pinning_worker.adapters.p2p.host.identity import peer_id_of

# The same in every process: a test's id holds one, and tests that run side by side are told apart by their ids.
PEER, OTHER = (peer_id_of(create_new_key_pair(bytes([seed]) * 32)) for seed in (1, 2))
HOME: list[Interface] = [IPv4Interface("192.168.7.2/24"), IPv6Interface("fd00:7::2/64")]


def at(number: int, peer: str = PEER) -> str:
    return f"/ip4/192.168.7.{number}/tcp/4001/p2p/{peer}"


def strings(*texts: bytes) -> bytes:
    return b"".join(bytes([len(text)]) + text for text in texts)


def test_one_string_for_each_address_as_the_spec_has_it() -> None:
    assert encode_txt([at(1), at(2)]) == strings(KEY + at(1).encode(), KEY + at(2).encode())


def test_what_is_written_is_read() -> None:
    assert decode_txt(encode_txt([at(1), at(2), at(3, OTHER)])) == {PEER: [at(1), at(2)], OTHER: [at(3, OTHER)]}


def test_records_of_one_string_each_are_the_same_one_after_another() -> None:
    assert decode_txt(encode_txt([at(1)]) + encode_txt([at(2)])) == {PEER: [at(1), at(2)]}


def test_what_is_told_fits_into_a_packet() -> None:
    many = [at(number) for number in range(100)]
    too_long = f"/dns4/{'long.' * 50}example/tcp/1/p2p/{PEER}"
    assert decode_txt(encode_txt([too_long, *many])) == {PEER: many[:MOST_TOLD]}
    assert len(encode_txt(many)) < 1000


def test_what_is_no_address_of_a_peer_is_left_out() -> None:
    garbage = strings(b"", b"dnsaddr", KEY, KEY + b"\xff", KEY + b"/ip4/192.168.7.1/tcp/4001", b"id=1", KEY + b"/p2p/1")
    assert decode_txt(garbage + encode_txt([at(1)]) + b"\xffcut off") == {PEER: [at(1)]}


def test_no_more_is_read_than_a_peer_could_mean() -> None:
    assert len(decode_txt(encode_txt([at(1)]) * 1000)[PEER]) == MOST_READ


@given(
    st.binary(max_size=300)
    | st.lists(st.text(max_size=40)).map(lambda all: strings(*(KEY + t.encode()[:200] for t in all)))
)
def test_garbage_is_nobody(garbage: bytes) -> None:
    assert decode_txt(garbage) == {}


@pytest.mark.parametrize(
    ("address", "near"),
    [
        ("/ip4/192.168.7.9/tcp/4001", True),
        ("/ip4/192.168.7.9/tcp/4001/ws", True),
        ("/ip6/fd00:7::9/tcp/4001", True),
        ("/ip4/192.168.8.9/tcp/4001", False),
        ("/ip4/127.0.0.1/tcp/4001", False),
        ("/ip4/1.1.1.1/tcp/4001", False),
        ("/ip6/fe80::1/tcp/4001", False),
        ("/ip6/::1/tcp/4001", False),
        ("/dns4/home.local/tcp/4001", False),
        ("/ip4/192.168.7.9/udp/4001/quic-v1", False),
        (f"/ip4/192.168.7.9/tcp/4001/p2p/{OTHER}/p2p-circuit", False),
    ],
)
def test_near_is_what_shares_a_network_with_us_and_can_be_dialled(address: str, near: bool) -> None:
    assert is_near(f"{address}/p2p/{PEER}", HOME) is near


def test_near_addresses_are_those_of_our_interfaces_tcp_first() -> None:
    told = [
        "/ip4/0.0.0.0/tcp/4001/ws",
        "/ip4/0.0.0.0/tcp/4001",
        "/ip6/::/tcp/4001",
        "/ip4/192.168.7.2/tcp/4002",
        "/ip4/0.0.0.0/tcp/443/tls/ws",
        "/ip4/127.0.0.1/tcp/4003",
        "/ip4/0.0.0.0/udp/4001/webrtc-direct",
    ]
    assert near_addresses(map(Multiaddr, told), HOME) == [
        "/ip4/192.168.7.2/tcp/4001",
        "/ip6/fd00:7::2/tcp/4001",
        "/ip4/192.168.7.2/tcp/4002",
        "/ip4/192.168.7.2/tcp/4001/ws",
    ]


def test_the_machines_own_networks_are_private_and_not_the_loopback() -> None:
    for one in local_interfaces():
        assert not one.ip.is_global
        assert not one.ip.is_loopback
