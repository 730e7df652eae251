"""The sender-records cure: a node that starts again while its clock is behind is heard."""

from __future__ import annotations

import time
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer import peer_record
from libp2p.peer.id import ID
from libp2p.pubsub.pubsub import Pubsub

from pinning_worker.adapters.p2p.cures.gossip import sender_records
from tests.adapters.p2p.cure_rig import MENDED, Ear, bare_host, bare_pubsub, connect, outcome, play, until

TOPIC = "t"
HOUR = 3600 * 10**9


async def behind_after_a_restart() -> str:
    key = create_new_key_pair()
    heard: list[bool] = []
    async with bare_host() as listener, bare_pubsub(listener) as gossip, trio.open_nursery() as nursery:
        ear = Ear()
        nursery.start_soon(ear.listen, await gossip.subscribe(TOPIC))
        for behind in (0, HOUR):
            turn_back_the_clock(behind)
            async with bare_host(key=key) as speaker, bare_pubsub(speaker) as voice:
                await voice.subscribe(TOPIC)
                await connect(speaker, listener)
                assert await until(partial(_has_subscriber, voice, gossip.my_id))
                said = f"{behind} behind".encode()
                await voice.publish(TOPIC, said)
                heard.append(await ear.hears(said, seconds=15))
        nursery.cancel_scope.cancel()
    return f"heard before: {heard[0]}, after: {heard[1]}"


def _has_subscriber(pubsub: Pubsub, peer: ID) -> bool:
    return peer in pubsub.peer_topics.get(TOPIC, ())


def turn_back_the_clock(behind: int) -> None:
    """Only for the library's records, as a new process would have it: the last number is forgotten."""
    cast("Any", peer_record).time = SimpleNamespace(time_ns=lambda: time.time_ns() - behind)
    peer_record._last_timestamp = 0


def test_it_is_heard() -> None:
    assert outcome(behind_after_a_restart, stock=False) == "heard before: True, after: True"


def test_the_stock_library_hears_nothing_of_it() -> None:
    assert outcome(behind_after_a_restart, stock=True) == "heard before: True, after: False"


if __name__ == "__main__":
    play(globals(), sender_records, gossip=MENDED)
