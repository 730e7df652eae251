"""The peerstore stays bounded: we and the connected stay, of the others the newest do."""

from __future__ import annotations

from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.host.peerstore import AT_ONCE, MOST_PEERS, KnownPeers
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host
from pinning_worker.adapters.p2p.peer_ids import library_id
from tests.adapters.p2p.cure_rig import until

SOMEWHERE = Multiaddr("/ip4/192.0.2.1/tcp/4001")
MANY = MOST_PEERS + 3 * AT_ONCE


def stranger(number: int) -> ID:
    return ID(b"\x00\x24\x08\x01\x12\x20" + number.to_bytes(32, "big"))


def shake_hands(store: KnownPeers, key: KeyPair) -> ID:
    peer = ID.from_pubkey(key.public_key)
    store.add_pubkey(peer, key.public_key)
    return peer


def test_the_newest_of_many_who_told_an_address_are_kept() -> None:
    store = KnownPeers()
    for number in range(MANY):
        store.add_addrs(stranger(number), [SOMEWHERE], 3600)
    known = store.peer_ids()
    assert MOST_PEERS - AT_ONCE <= len(known) <= MOST_PEERS
    assert known == [stranger(number) for number in range(MANY - len(known), MANY)]


def test_so_are_those_who_told_none() -> None:
    store, key = KnownPeers(), create_new_key_pair()
    for number in range(MANY):
        store.add_protocols(stranger(number), ["/p/1"])
    newest = shake_hands(store, key)
    assert len(store.peer_ids()) <= MOST_PEERS
    assert store.pubkey(newest) == key.public_key


def test_who_is_connected_stays_however_long_ago_it_came() -> None:
    store = KnownPeers()
    connected = {stranger(number) for number in range(10)}
    store.connected = lambda: connected
    for number in range(MANY):
        store.add_addrs(stranger(number), [SOMEWHERE], 3600)
    assert connected < set(store.peer_ids())
    assert len(store.peer_ids()) <= MOST_PEERS + len(connected)


async def test_a_host_knows_itself_and_its_peers_after_thousands_have_come() -> None:
    key, other = create_new_key_pair(), create_new_key_pair()
    async with (
        open_host(HostConfig(key, ("/ip4/127.0.0.1/tcp/0",))) as host,
        open_host(HostConfig(other, ("/ip4/127.0.0.1/tcp/0",))) as peer,
    ):
        await host.connect(peer.addresses[0], deadline=20)
        store = host.raw.get_peerstore()
        assert await until(lambda: store.has_peer(library_id(peer.peer_id)))
        for number in range(MANY):
            store.add_addrs(stranger(number), [SOMEWHERE], 3600)
        assert host.raw.get_public_key() == key.public_key
        assert store.pubkey(library_id(peer.peer_id)) == other.public_key
        assert host.raw.get_private_key() == key.private_key
