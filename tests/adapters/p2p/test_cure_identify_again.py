"""The identify-again cure: who comes back is asked who it is, and who is here is asked again when that has lapsed."""

from __future__ import annotations

import time
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import trio
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.peer import peerdata
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStoreError

from pinning_worker.adapters.p2p.cures.identify import identify_again
from tests.adapters.p2p.cure_rig import bare_host, brought_about, connect, outcome, play, until

BEFORE, AFTER = TProtocol("/before/1"), TProtocol("/after/1")
SECONDS = 15


async def back_with_another_protocol() -> str:
    key = create_new_key_pair()
    known = []
    async with bare_host() as host:
        for protocol, comes in ((BEFORE, until), (AFTER, brought_about)):
            async with bare_host(key=key) as peer:
                peer.set_stream_handler(protocol, _hold)
                await connect(peer, host)
                known.append(await comes(partial(_speaks, host, peer.get_id(), protocol), SECONDS))
            assert await until(lambda: not host.get_network().connections)
    return f"known at first: {known[0]}, when it is back: {known[1]}"


async def three_hours_later() -> str:
    async with bare_host() as host, bare_host() as peer:
        await connect(peer, host)
        known = await until(lambda: _is_somewhere(host, peer.get_id()), SECONDS)
        cast("Any", peerdata).time = SimpleNamespace(time=lambda: time.time() + 3 * 3600)
        lapsed = not _is_somewhere(host, peer.get_id())
        host._schedule_identify(peer.get_id(), reason="asked again")
        again = await brought_about(lambda: _is_somewhere(host, peer.get_id()), SECONDS)
    return f"known: {known}, lapsed: {lapsed}, known again: {again}"


async def _hold(_: INetStream) -> None:
    await trio.sleep_forever()


def _speaks(host: BasicHost, peer: ID, protocol: TProtocol) -> bool:
    try:
        return protocol in host.get_peerstore().get_protocols(peer)
    except PeerStoreError:
        return False


def _is_somewhere(host: BasicHost, peer: ID) -> bool:
    try:
        return bool(host.get_peerstore().addrs(peer))
    except PeerStoreError:
        return False


def test_who_comes_back_is_asked_again() -> None:
    assert outcome(back_with_another_protocol, stock=False) == "known at first: True, when it is back: True"


def test_in_the_stock_library_it_is_what_it_was() -> None:
    assert outcome(back_with_another_protocol, stock=True) == "known at first: True, when it is back: False"


def test_what_lapsed_is_asked_again() -> None:
    assert outcome(three_hours_later, stock=False) == "known: True, lapsed: True, known again: True"


def test_in_the_stock_library_it_is_not() -> None:
    assert outcome(three_hours_later, stock=True) == "known: True, lapsed: True, known again: False"


if __name__ == "__main__":
    play(globals(), identify_again)
