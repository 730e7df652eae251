"""The steady-clock cure: the clock is set back, and who comes back to the topic is taken into the mesh all the same."""

from __future__ import annotations

import time

from pinning_worker.adapters.p2p.cures.process import steady_clock
from tests.adapters.p2p.cure_rig import (
    bare_host,
    bare_pubsub,
    brought_about,
    connect,
    know_each_other,
    outcome,
    play,
    until,
)

TOPIC = "t"
SECONDS = 12  # many times the back-off


async def back_on_the_topic_an_hour_earlier() -> str:
    soon = {"prune_back_off": 1, "unsubscribe_back_off": 1}
    async with (
        bare_host() as a,
        bare_host() as b,
        bare_pubsub(a, **soon) as one,
        bare_pubsub(b, **soon) as other,
    ):
        await one.subscribe(TOPIC)
        await other.subscribe(TOPIC)
        await connect(a, b)
        await know_each_other(TOPIC, one, other)
        mesh = one.router.mesh
        before = await until(lambda: other.my_id in mesh[TOPIC], SECONDS)
        await other.unsubscribe(TOPIC)
        assert await until(lambda: other.my_id not in mesh[TOPIC])
        assert await until(lambda: other.my_id not in one.peer_topics.get(TOPIC, ()))
        set_the_clock_back()
        await other.subscribe(TOPIC)
        again = await brought_about(lambda: other.my_id in mesh[TOPIC], SECONDS)
    return f"in the mesh: {before}, and again: {again}"


def set_the_clock_back() -> None:
    real = time.time
    time.time = lambda: real() - 3600


def test_it_is_taken_in() -> None:
    assert outcome(back_on_the_topic_an_hour_earlier, stock=False) == "in the mesh: True, and again: True"


def test_the_stock_library_bars_it() -> None:
    assert outcome(back_on_the_topic_an_hour_earlier, stock=True) == "in the mesh: True, and again: False"


if __name__ == "__main__":
    play(globals(), steady_clock)
