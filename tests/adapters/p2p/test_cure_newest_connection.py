"""The newest-connection cure: a peer that came back is spoken to where it is now, not where it was."""

from __future__ import annotations

from functools import partial

import trio
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol

from pinning_worker.adapters.p2p.cures.connections import newest_connection
from tests.adapters.p2p.cure_rig import bare_host, connect, outcome, play, until

CALL = TProtocol("/call/1")


async def who_hears() -> str:
    """One peer as two processes with one key: the old one, with streams open, and the new one."""
    heard: list[str] = []

    async def hear(name: str, stream: INetStream) -> None:
        heard.append(name)

    key = create_new_key_pair()
    async with bare_host() as caller, bare_host(key=key) as old, bare_host(key=key) as new:
        old.set_stream_handler(CALL, partial(hear, "old"))
        new.set_stream_handler(CALL, partial(hear, "new"))
        await connect(old, caller)
        for _ in range(3):
            await caller.new_stream(old.get_id(), [CALL])
        await until(lambda: len(heard) == 3)
        await connect(new, caller)
        await until(lambda: len(caller.get_network().get_connections(new.get_id())) == 2)
        await caller.new_stream(new.get_id(), [CALL])
        with trio.move_on_after(5):
            await until(lambda: len(heard) == 4)
    return heard[-1]


def test_the_new_one_hears() -> None:
    assert outcome(who_hears, stock=False) == "new"


def test_on_the_stock_library_the_old_one_does() -> None:
    assert outcome(who_hears, stock=True) == "old"


if __name__ == "__main__":
    play(globals(), newest_connection)
