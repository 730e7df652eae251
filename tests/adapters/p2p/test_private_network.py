"""Private networks on loopback: who has the key is in, over tcp and ws; who has none, or another, never is."""

from __future__ import annotations

import secrets

import pytest

from pinning_worker.adapters.p2p.errors import BadAddress, CannotConnect
from pinning_worker.adapters.p2p.identity import new_key
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host

TCP, WS = "/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"
KEY = secrets.token_bytes(32)


def config(swarm_key: bytes | None, *listen: str) -> HostConfig:
    return HostConfig(new_key(), listen or (TCP, WS), swarm_key=swarm_key, handshake_seconds=3.0)


async def test_who_has_the_key_is_in() -> None:
    async with open_host(config(KEY)) as a, open_host(config(KEY)) as b:
        for address in a.addresses:
            assert await b.connect(address, deadline=20) == a.peer_id
            await b.disconnect(a.peer_id)


@pytest.mark.parametrize(
    ("inside", "outside"), [(KEY, None), (None, KEY), (KEY, bytes(32))], ids=["none", "a key at an open one", "another"]
)
async def test_who_has_not_is_refused_and_the_next_one_is_not(inside: bytes | None, outside: bytes | None) -> None:
    async with open_host(config(inside)) as host, open_host(config(outside)) as stranger:
        with pytest.raises(CannotConnect):  # over ws: tests/interop/test_private_helia.py
            await stranger.connect(host.addresses[0], deadline=20)
        assert host.peers() == []
        async with open_host(config(inside)) as friend:
            assert await friend.connect(host.addresses[0], deadline=20) == host.peer_id


@pytest.mark.parametrize("address", ["/ip4/127.0.0.1/udp/0/webrtc-direct", "/ip4/127.0.0.1/udp/0/quic-v1"])
async def test_what_takes_no_key_is_not_listened_on(address: str) -> None:
    with pytest.raises(BadAddress, match="in a private network: no swarm key protects webrtc-direct or QUIC"):
        async with open_host(config(KEY, TCP, address)):
            pass


def test_the_key_is_in_no_print() -> None:
    assert "swarm_key" not in repr(config(KEY))
