"""The webrtc-door cure: who begins and does not finish goes, and a browser gets in meanwhile; all are counted."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from unittest.mock import patch

import pytest

pytest.importorskip("aiortc", reason="the extra [webrtc] is not installed")

import trio
from aioice import stun
from aioice.ice import StunProtocol
from libp2p.transport.webrtc.exceptions import WebRTCConnectionError

from pinning_worker.adapters.p2p.bounds import eviction
from pinning_worker.adapters.p2p.bounds.datagram_door import TOTAL_BURST
from pinning_worker.adapters.p2p.bounds.defaults import MAX_HALF_OPEN
from pinning_worker.adapters.p2p.bounds.door import Door, DoorRules
from pinning_worker.adapters.p2p.cures.connections import deafness
from pinning_worker.adapters.p2p.cures.webrtc import bounds as webrtc_bounds
from pinning_worker.adapters.p2p.cures.webrtc import close as webrtc_close
from pinning_worker.adapters.p2p.cures.webrtc import door as webrtc_door
from pinning_worker.adapters.p2p.cures.webrtc import threads as webrtc_threads
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host
from tests.adapters.p2p.cure_rig import TCP, outcome, play, until
from tests.adapters.p2p.datagrams import CLIENT_HELLO, first_datagram, socket_at
from tests.adapters.p2p.dialling_from import dialling_from
from tests.adapters.p2p.webrtc_rig import WEBRTC, address_of, listener_of, stranger, webrtc_host

BEGINNINGS, ADDRESSES = 300, 50


async def who_never_finish() -> str:
    """From many addresses: a first datagram, half of them with a hello of DTLS after it, and silence."""
    quick = partial(Door, DoorRules(handshake_time=timedelta(seconds=4)))
    with patch.object(webrtc_door, "Door", quick):
        return await _never_finish()


async def _never_finish() -> str:
    async with webrtc_host() as host:
        listener = listener_of(host)
        mux = listener._mux
        assert mux is not None
        port = int(address_of(host).split("/")[4])
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket_at(f"127.0.1.{n + 1}")) for n in range(ADDRESSES)]
            for n in range(BEGINNINGS):
                sockets[n % ADDRESSES].sendto(first_datagram(), ("127.0.0.1", port))
                sockets[n % ADDRESSES].sendto(CLIENT_HELLO if n % 2 else b"", ("127.0.0.1", port))
                await until(lambda: False, seconds=0.005)
            held = len(mux._by_ufrag)
            try:
                async with stranger(address_of(host), seconds=6):
                    honest = "gets in"
            except (WebRTCConnectionError, trio.TooSlowError):
                honest = "is kept out"
            gone = await until(lambda: not mux._by_ufrag, seconds=8)
    few = held <= MAX_HALF_OPEN + 10  # some are being closed
    return f"few at a time: {few}, left in the end: {'none' if gone else 'some'}, the honest one {honest}"


DONE_WITH = "few at a time: True, left in the end: none, the honest one gets in"


def test_the_silent_go_and_the_honest_gets_in() -> None:
    assert outcome(who_never_finish, stock=False) == DONE_WITH


def test_of_the_stock_library_one_of_these_is_not_so() -> None:
    """Which, is the machine's: how many of the beginnings it has read when the first are 30 s old."""
    said = outcome(who_never_finish, stock=True)
    assert said.startswith("few at a time")
    assert said != DONE_WITH


def test_an_address_may_begin_often_and_all_together_oftener() -> None:
    door = webrtc_door._datagram_door(Door(DoorRules(proxies=frozenset())))
    now = time.monotonic()
    assert sum(door.allow("10.0.0.1", now) for _ in range(100)) < 10
    assert sum(door.allow(f"2001:db8::{n:x}", now) for n in range(100)) < 10, "a /64 is one address"
    assert 50 < sum(door.allow(f"10.1.{n >> 8}.{n & 255}", now) for n in range(1_000)) <= TOTAL_BURST


async def test_by_tcp_and_by_webrtc_an_address_has_one_number_of_connections() -> None:
    config = HostConfig(new_key(), (TCP, WEBRTC), max_connections_per_address=2, proxies=frozenset())
    async with open_host(config) as host:
        webrtc = next(each for each in host.addresses if "/webrtc-direct/" in each)
        port = int(next(each for each in host.addresses if "/tcp/" in each).split("/")[4])
        async with stranger(webrtc) as first, stranger(webrtc) as second:
            assert await until(lambda: len(host.peers()) == 2)
            async with stranger(webrtc) as third:
                assert await until(lambda: third.connection.is_closed), "one too many"
            ip = first.pc.sctp.transport.transport._connection._nominated[1].local_candidate.host
            async with await trio.open_tcp_stream("127.0.0.1", port, local_address=ip) as fourth:
                assert not await fourth.receive_some(), "by tcp too"
            assert not first.connection.is_closed
            assert not second.connection.is_closed
        (door,) = webrtc_door._doors.values()
        assert await until(lambda: not door.door._inside), "who left takes no place"
        async with stranger(webrtc):
            assert await until(lambda: len(host.peers()) == 1)


async def test_who_lies_about_where_it_begins_counts_where_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender of a first datagram may write any address on it. One who does so and goes on from its own would take
    the places of somebody else's, or have as many as it can think of."""
    forged = list[bytes]()
    stock = StunProtocol.send_stun

    def send(self: StunProtocol, message: stun.Message, addr: tuple[str, int]) -> None:
        if forged or message.message_class is not stun.Class.REQUEST:
            return stock(self, message, addr)
        forged.append(bytes(message))
        with socket_at("127.0.0.5") as somebody:
            somebody.sendto(forged[0], addr)
        return None  # it is said again in a moment

    async with open_host(HostConfig(new_key(), (WEBRTC,), proxies=frozenset())) as host:
        monkeypatch.setattr(StunProtocol, "send_stun", send)
        async with stranger(host.addresses[0]):
            assert await until(lambda: len(host.peers()) == 1)
            assert host.address_of(host.peers()[0]) != "127.0.0.5"
            (door,) = (each.door for each in webrtc_door._doors.values() if each.door._inside)
            assert "127.0.0.5" not in door._inside
        assert await until(lambda: not door._inside), "who left takes no place"
    assert forged


async def test_in_a_full_house_a_silent_one_by_webrtc_makes_room_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction, "GRACE_SECONDS", 0.0)
    config = HostConfig(new_key(), (TCP, WEBRTC), max_connections=5, kept_for_dialling=1, proxies=frozenset())
    async with open_host(config) as host, open_host(HostConfig(new_key(), ())) as honest:
        webrtc = next(each for each in host.addresses if "/webrtc-direct/" in each)
        tcp = next(each for each in host.addresses if "/tcp/" in each)
        async with stranger(webrtc) as first:
            assert await until(lambda: len(host.peers()) == 1)
            async with stranger(webrtc) as second:
                assert await until(lambda: len(host.peers()) == 2)
                with dialling_from("127.0.0.9"):
                    await honest.connect(tcp, deadline=10)
                assert await until(lambda: first.connection.is_closed), "the oldest"
                assert not second.connection.is_closed
                assert host.is_connected(honest.peer_id)


if __name__ == "__main__":
    play(globals(), deafness, webrtc_threads, webrtc_close, webrtc_bounds, webrtc_door)
