"""The Peer message of the discovery topic. That js-libp2p reads ours and we its: tests/interop/test_p2p_helia.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libp2p.crypto.ed25519 import create_new_key_pair
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.discovery.pubsub_peer import (
    LARGEST,
    MOST_ADDRESSES,
    BadPeerRecord,
    decode_peer,
    encode_peer,
)
from pinning_worker.adapters.p2p.host.identity import peer_id_of

KEY = create_new_key_pair(bytes(32))
OTHER = peer_id_of(create_new_key_pair(b"\x01" * 32))
ME = peer_id_of(KEY)
WS = "/ip4/192.0.2.1/tcp/4001/ws"


def record(*addresses: str) -> bytes:
    return encode_peer(KEY.public_key, [Multiaddr(address) for address in addresses])


def test_what_is_said_is_read() -> None:
    found = decode_peer(record(WS, "/dns4/example.org/tcp/443/wss"))
    assert found.peer == ME
    assert found.addresses == (WS, "/dns4/example.org/tcp/443/wss")


def test_an_address_may_end_with_its_own_peer_id_and_with_no_other() -> None:
    assert decode_peer(record(f"{WS}/p2p/{ME}")).addresses == (WS,)
    assert decode_peer(record(f"{WS}/p2p/{OTHER}")).addresses == ()


def test_an_address_that_cannot_be_read_is_left_out() -> None:
    unreadable = b"\x12\x03\xff\xff\xff"
    assert decode_peer(record(WS) + unreadable).addresses == (WS,)


def test_no_more_addresses_than_a_peer_needs() -> None:
    many = [f"/ip4/192.0.2.{n}/tcp/1" for n in range(40)]
    assert len(decode_peer(record(*many)).addresses) == MOST_ADDRESSES
    key = record()
    assert len(decode_peer(key + b"".join(record(one)[len(key) :] for one in many)).addresses) == MOST_ADDRESSES


@pytest.mark.parametrize("message", [b"", b"\x0a\x00", record(WS)[:-1], b"\x08\x01", bytes(LARGEST + 1)])
def test_what_is_no_peer_is_refused(message: bytes) -> None:
    with pytest.raises(BadPeerRecord):
        decode_peer(message)


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda tail: record(WS) + tail))
def test_anything_is_a_peer_or_a_bad_record(message: bytes) -> None:
    try:
        found = decode_peer(message)
    except BadPeerRecord:
        return
    assert len(found.addresses) <= MOST_ADDRESSES
    for address in found.addresses:
        Multiaddr(address)
