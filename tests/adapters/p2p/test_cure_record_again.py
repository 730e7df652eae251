"""The record-again cure: a hundred messages in a second do not collect our addresses a hundred times."""

from __future__ import annotations

from typing import Any, cast

from pinning_worker.adapters.p2p.cures.identify import record_again
from tests.adapters.p2p.cure_rig import bare_host, bare_pubsub, outcome, play

MESSAGES = 100


async def publish_in_a_second() -> str:
    async with bare_host() as host, bare_pubsub(host) as gossip:
        await gossip.subscribe("t")
        looks, get_addrs = 0, host.get_addrs

        def count() -> Any:
            nonlocal looks
            looks += 1
            return get_addrs()

        cast("Any", host).get_addrs = count
        for number in range(MESSAGES):
            await gossip.publish("t", b"%d" % number)
    return "once for each" if looks >= MESSAGES else "now and then"


def test_our_addresses_are_collected_now_and_then() -> None:
    assert outcome(publish_in_a_second, stock=False) == "now and then"


def test_by_the_stock_library_for_each() -> None:
    assert outcome(publish_in_a_second, stock=True) == "once for each"


if __name__ == "__main__":
    play(globals(), record_again)
