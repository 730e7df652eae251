"""The pure parts: the routing table, the records of a server, and whom a walk asks next."""

from __future__ import annotations

import secrets
from contextlib import suppress

import pytest
import trio
import trio.testing
from hypothesis import example, given
from hypothesis import strategies as st
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from libp2p.peer.id import ID

from pinning_worker.adapters.p2p.addresses import worth_dialling
from pinning_worker.adapters.p2p.dht import records as records_module
from pinning_worker.adapters.p2p.dht.contacts import (
    CLOSEST,
    BadMessage,
    Contact,
    place_of,
    read_contacts,
    read_message,
    write_contact,
)
from pinning_worker.adapters.p2p.dht.records import KEEP_SECONDS, MOST_OF_ONE, Records
from pinning_worker.adapters.p2p.dht.table import Table
from pinning_worker.adapters.p2p.dht.walk import MOST_ASKED, WALK_SECONDS, Walk, walk
from pinning_worker.adapters.p2p.errors import BadAddress
from pinning_worker.adapters.p2p.host.identity import new_key, peer_id_of
from pinning_worker.adapters.p2p.peer_ids import parse_peer_id
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.identities import PeerId


def somebody(*addresses: str) -> Contact:
    return Contact(peer_id_of(new_key()), addresses)


KEY = Multihash(b"some key")
PEERS = [somebody() for _ in range(200)]


def nearest(key: bytes, peers: list[Contact]) -> list[Contact]:
    return sorted(peers, key=lambda peer: peer.place ^ place_of(key))


# ---------------------------------------------------------------- table


def test_the_closest_are_told() -> None:
    table = Table(somebody())
    known = [peer for peer in PEERS if table.add(peer)]
    assert table.closest(KEY) == nearest(KEY, known)[:CLOSEST]


def test_half_of_the_world_fills_one_bucket_and_who_was_there_first_stays() -> None:
    table = Table(somebody())
    for peer in PEERS:
        table.add(peer)
    before = set(table.closest(KEY, 10_000))
    assert len(table) == len(before) < 120  # 20 for each length of the shared prefix
    for _ in range(200):
        table.add(somebody())
    assert before <= set(table.closest(KEY, 10_000))


def test_new_addresses_replace_old_ones_and_who_is_removed_is_gone() -> None:
    table, peer = Table(PEERS[0]), PEERS[1]
    assert table.add(peer)
    assert table.add(Contact(peer.peer, ("/ip4/192.0.2.1/tcp/1",)))
    assert table.closest(KEY) == [Contact(peer.peer, ("/ip4/192.0.2.1/tcp/1",))]
    table.remove(peer.peer)
    assert not table.add(PEERS[0]), "ourselves"
    assert len(table) == 0


# ---------------------------------------------------------------- records


def test_a_record_is_kept_two_days_from_when_it_was_last_said() -> None:
    records = Records()
    records.add(KEY, PEERS[0], 0.0)
    records.add(KEY, PEERS[1], 0.0)
    records.add(KEY, PEERS[0], 1000.0)
    assert set(records.of(KEY, 1000.0)) == {PEERS[0], PEERS[1]}
    assert records.of(KEY, KEEP_SECONDS) == [PEERS[0]]
    assert records.of(KEY, KEEP_SECONDS + 1000.0) == []
    assert len(records) == 0


def test_one_key_and_one_peer_have_so_many_at_most() -> None:
    records = Records()
    assert [records.add(KEY, peer, 0.0) for peer in PEERS].count(True) == CLOSEST
    flooder = somebody()
    assert sum(records.add(Multihash(b"%d" % n), flooder, 0.0) for n in range(MOST_OF_ONE * 2)) == MOST_OF_ONE
    assert records.add(Multihash(b"honest"), somebody(), 0.0)


def test_all_together_are_bounded_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_module, "MOST", 100)
    records = Records()
    for number in range(1_000):
        records.add(Multihash(b"%d" % number), PEERS[number % len(PEERS)], float(number))
    assert len(records) == 100
    assert records.of(Multihash(b"0"), 1_000.0) == []
    assert records.of(Multihash(b"999"), 1_000.0) == [PEERS[999 % len(PEERS)]]
    assert len(records._of_key) == 100
    assert sum(records._of_peer.values()) == 100


# ---------------------------------------------------------------- walk


def run(way: Walk, knows: dict[PeerId, list[Contact]], dead: frozenset[PeerId] = frozenset()) -> list[PeerId]:
    asked = []
    while (contact := way.next()) is not None:
        way.asked(contact.peer)
        asked.append(contact.peer)
        if contact.peer in dead:
            way.failed(contact.peer)
        else:
            way.answered(contact.peer, knows.get(contact.peer, []))
    return asked


def test_a_walk_ends_at_the_closest_of_all() -> None:
    """Each knows twenty at random: from one of them the closest are found."""
    knows = {peer.peer: secrets.SystemRandom().sample(PEERS, 20) + nearest(KEY, PEERS)[:3] for peer in PEERS}
    way = Walk(KEY, [PEERS[0]])
    asked = run(way, knows)
    assert way.found()[:3] == nearest(KEY, PEERS)[:3]
    assert len(asked) == len(set(asked)) <= MOST_ASKED


def test_who_does_not_answer_is_not_found_and_makes_room() -> None:
    closest = nearest(KEY, PEERS)
    dead = frozenset(peer.peer for peer in closest[:CLOSEST])
    way = Walk(KEY, PEERS)
    run(way, {}, dead)
    assert way.found() == closest[CLOSEST : 2 * CLOSEST]


def test_peers_who_invent_ever_closer_ones_are_not_followed_for_ever() -> None:
    way, asked = Walk(KEY, PEERS[:1]), 0
    while (contact := way.next()) is not None:
        way.asked(contact.peer)
        asked += 1
        invented = nearest(KEY, [somebody() for _ in range(30)])[:3]
        way.answered(contact.peer, invented)
    assert asked <= MOST_ASKED


# ---------------------------------------------------------------- messages


@pytest.mark.parametrize("data", [b"\xff" * 20, b"\x12\xff\xff\xff\xff\x0f", b"\x12\x81\x01" + b"k" * 129])
def test_nonsense_is_said_to_be(data: bytes) -> None:
    with pytest.raises(BadMessage):
        read_message(data)


def test_of_contacts_what_cannot_be_read_is_left_out() -> None:
    message = read_message(b"")
    good = message.closerPeers.add()
    good.id = _binary(PEERS[0])
    good.addrs.extend([b"\xff\xff", b"\x2a\x03a/b", b"\x04\x7f\x00\x00\x01\x06\x0f\xa1", bytes(5_000)])
    message.closerPeers.add().id = b""
    message.closerPeers.add().id = bytes(500)
    assert read_contacts(message.closerPeers) == [Contact(PEERS[0].peer, ("/ip4/127.0.0.1/tcp/4001",))]


def test_of_contacts_the_first_twenty_are_read() -> None:
    message = read_message(b"")
    for peer in PEERS:
        message.closerPeers.add().id = _binary(peer)
    assert read_contacts(message.closerPeers) == PEERS[:CLOSEST]


def _binary(peer: Contact) -> bytes:

    return ID.from_base58(peer.peer).to_bytes()


async def test_a_walk_that_takes_too_long_ends_with_who_answered(autojump_clock: trio.testing.MockClock) -> None:
    async def ask(contact: Contact) -> list[Contact] | None:
        if contact != PEERS[0]:
            await trio.sleep(1_000)
        return []

    begin = trio.current_time()
    assert await walk(KEY, PEERS[:5], ask) == [PEERS[0]]
    assert trio.current_time() - begin == WALK_SECONDS


READ_AS_ANOTHER = bytes.fromhex("c2007bae151772a6a21877f29e3a6e9e30e30b2b9ed0f55a62ee3cc0fab7f3e1ef")


@example(READ_AS_ANOTHER, [])
@given(
    st.one_of(st.binary(max_size=70), st.binary(max_size=42).map(lambda key: bytes([0, len(key)]) + key)),
    st.lists(st.binary(max_size=60), max_size=4),
)
def test_whatever_is_read_can_be_used(peer: bytes, addresses: list[bytes]) -> None:
    message = Message()
    said = message.closerPeers.add()
    said.id = peer
    said.addrs.extend([*addresses, *(b"\x36" + bytes([len(name)]) + name + b"\x06\x0f\xa1" for name in addresses)])
    for contact in read_contacts(message.closerPeers):
        assert parse_peer_id(contact.peer).to_bytes() == peer
        assert contact.place >= 0
        write_contact(Message().providerPeers.add(), contact, connected=False)
        for address in contact.addresses:
            with suppress(BadAddress):
                worth_dialling(address, ())
