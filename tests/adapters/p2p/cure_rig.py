"""How a cure is shown to be needed: the same scenario, as a process of its own, on the mended and on the stock library.

A test file holds scenarios: async functions that build real peers on loopback and return one line, the outcome. Run as
a script, it plays one of them; `outcome()` does that and returns the line, or how the process died instead. Processes
keep the mended classes of one test from another test's stock library.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from functools import partial
from types import ModuleType
from typing import Any, cast

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as new_noise_key
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V12, GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.gossip.mended import MendedPubsub, MendedRouter

TCP = "/ip4/127.0.0.1/tcp/0"
SECONDS = 60
# Once in many hundred times the library dies of this while it closes a host: that says nothing of the scenario.
CLOSING = "Nursery is closed to new arrivals"
Scenario = Callable[[], Coroutine[Any, Any, str]]
Gossip = tuple[type[GossipSub], type[Pubsub]]
STOCK: Gossip = (GossipSub, Pubsub)
MENDED: Gossip = (MendedRouter, MendedPubsub)
_gossip: list[Gossip] = [STOCK]  # the last holds
_patience: list[float] = [0.2]  # the last holds; this one is the stock library's


def outcome(scenario: Scenario, *, stock: bool) -> str:
    """The outcome of the scenario on the mended or the stock library; `died: …` and the cause."""
    said = ""
    for _ in range(3):
        said = _played(scenario, stock=stock)
        if not (said.startswith("died") and CLOSING in said):
            break
    return said


def _played(scenario: Scenario, *, stock: bool) -> str:
    command = [sys.executable, "-m", scenario.__module__, scenario.__name__, "stock" if stock else "mended"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    lines = done.stdout.splitlines()
    if done.returncode == 0 and lines:
        return lines[-1]
    return f"died: {done.stderr[-2000:]}"


def play(scenarios: dict[str, Any], *cures: ModuleType, gossip: Gossip = STOCK) -> None:
    """The script: `python -m tests.adapters.p2p.test_cure_x SCENARIO stock|mended`. `gossip`: the classes that
    `bare_pubsub` makes when mended."""
    name, library = sys.argv[1:]
    if library == "mended":
        _gossip.append(gossip)
        _patience.append(1.0)
        for cure in cures:
            cure.mend()
            cure.mend()  # twice is as once

    async def within_deadline() -> str:
        with trio.fail_after(SECONDS - 10):
            return cast("str", await scenarios[name]())

    try:
        print(trio.run(within_deadline))
    except BaseExceptionGroup as group:
        print(f"died: {', '.join(sorted({repr(leaf) for leaf in _leaves(group)}))}")


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


@asynccontextmanager
async def bare_host(*listen: str, key: KeyPair | None = None, **options: Any) -> AsyncIterator[BasicHost]:
    """A host as the library makes it, on loopback."""
    key = key or create_new_key_pair()
    addresses = [Multiaddr(text) for text in listen or (TCP,)]
    security = {NOISE: Noise(key, noise_privkey=new_noise_key().private_key)}
    raw = cast("BasicHost", new_host(key_pair=key, listen_addrs=addresses, sec_opt=security, **options))
    async with raw.run(addresses):
        try:
            yield raw
        finally:
            await raw.close()


@asynccontextmanager
async def bare_pubsub(raw: BasicHost, **options: Any) -> AsyncIterator[Pubsub]:
    """The library's gossip on that host; rate limit off unless given."""
    chosen = {
        "degree": 8,
        "degree_low": 6,
        "degree_high": 12,
        "heartbeat_interval": 1,
        "max_messages_per_topic_per_second": 10_000.0,
    } | options
    router_class, pubsub_class = _gossip[-1]
    router = router_class(protocols=[PROTOCOL_ID_V12], **chosen)
    pubsub = pubsub_class(raw, router, strict_signing=True)
    async with background_trio_service(router), background_trio_service(pubsub):
        await pubsub.wait_until_ready()
        yield pubsub


async def connect(a: BasicHost, b: BasicHost) -> None:
    """a dials b."""
    await a.connect(info_from_p2p_addr(b.get_addrs()[0]))


async def until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Waits for it; False if it did not come true in time."""
    with trio.move_on_after(seconds):
        while not condition():  # noqa: ASYNC110  the library tells nobody of most of what we wait for
            await trio.sleep(0.01)
    return condition()


async def brought_about(condition: Callable[[], bool], seconds: float) -> bool:
    """Waits for what the cure brings about. The stock library never does it, so that wait ends after a fifth."""
    return await until(condition, seconds * _patience[-1])


async def know_each_other(topic: str, *pubsubs: Pubsub) -> None:
    """Until the first has heard the subscriptions of all others, and has a stream to each; and they of it, to it."""
    first, *others = pubsubs
    for other in others:
        for here, there in ((first, other), (other, first)):
            assert await until(partial(_knows, here, there.my_id, topic))


def _knows(pubsub: Pubsub, peer: ID, topic: str) -> bool:
    return peer in pubsub.peers and peer in pubsub.peer_topics.get(topic, ())


class Ear:
    """The messages of a subscription so far."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    async def listen(self, subscription: Any) -> None:
        while True:
            self.heard.append((await subscription.get()).data)

    async def is_brought(self, data: bytes, seconds: float) -> bool:
        """As `brought_about`."""
        return await brought_about(lambda: data in self.heard, seconds)

    async def hears(self, data: bytes, seconds: float = 5) -> bool:
        return await until(lambda: data in self.heard, seconds)
