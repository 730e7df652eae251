"""Peers that want more than their share of a worker process: of its work, its memory, its queue (siege.py).

By every transport that browsers have, and over tcp in a private network. What each limit does is in the tests of
`adapters/p2p`. An attacker by webrtc-direct is slow, and does not notice whether it was hung up on.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pinning_worker.adapters.p2p.relay.hop import RelayCaps
from tests.adapters.p2p.bitswap.rig import TCP, open_node
from tests.interop.attacker import GREEDY, POURED, overrunning
from tests.interop.browser import ask_for_quote
from tests.interop.node_binary import needs_node
from tests.interop.siege import MIB, SOURCES, Siege, besieged
from tests.interop.worker import free_port

pytest.importorskip("aiortc", reason="the extra [webrtc] is not installed")
pytestmark = [pytest.mark.interop, needs_node]


async def _are_withstood(siege: Siege, address: str) -> dict[str, dict[str, int]]:
    """What each of them says of itself."""
    said: dict[str, dict[str, int]] = {}

    def peer(name: str) -> Callable[[], Awaitable[None]]:
        async def attack() -> None:
            said[name] = await siege.peer(name, SOURCES[len(said)], address)

        return attack

    for attack in GREEDY:
        if attack is overrunning and "/webrtc-direct/" in address:
            continue  # it has no windows of yamux
        await siege.withstands(attack.__name__, peer(attack.__name__))
    return said


def _were_sent_away(said: dict[str, dict[str, int]]) -> None:
    assert not said["control"]["connected"], "who sends thousands of entries again and again is sent away"
    assert not said["cancelling"]["connected"], "so is who takes back what never was"
    assert not said["overrunning"]["connected"], "the window is law"
    assert said["overrunning"]["sent"] < POURED // 2


@pytest.mark.parametrize("transport", ["/ws/", "/tls/ws/", "/webrtc-direct/"])
async def test_by_every_transport_of_browsers(transport: str, tmp_path: Path) -> None:
    async with besieged(tmp_path, f"/ip4/127.0.0.1/udp/{free_port()}/webrtc-direct") as siege:
        address = siege.worker.ws_addr if transport == "/ws/" else siege.worker.address(transport)
        said = await _are_withstood(siege, address)
    if transport != "/webrtc-direct/":
        _were_sent_away(said)


async def test_a_hundred_who_want_blocks_and_read_none(tmp_path: Path) -> None:
    async with besieged(tmp_path) as siege:
        files = [await siege.honest.add_file(MIB, chunk_size=MIB, seed=f"wanted {n}") for n in range(8)]
        for file in files:
            await ask_for_quote(siege.honest, file.cid, siege.worker)
        attack = f"thirsty:{','.join(file.cid for file in files)}"

        def crowd(source: str) -> Callable[[], Awaitable[None]]:
            async def attack_from_there() -> None:
                await siege.peer(attack, source)

            return attack_from_there

        await siege.withstands("thirsty", *map(crowd, SOURCES[:4]))
        await siege.withstands("thirsty again", *map(crowd, SOURCES[4:8]))


async def test_through_a_relay(tmp_path: Path) -> None:
    async with open_node(listen=(TCP,), more={"relay": RelayCaps()}) as relay:
        assert relay.host.hop is not None
        relay.host.hop.welcome = lambda _peer: True
        async with besieged(tmp_path, PINNING_RELAYS_WANTED="1", PINNING_BOOTSTRAP=relay.address) as siege:
            await siege.worker.logged("relay.place_held")
            said = await _are_withstood(siege, f"{relay.address}/p2p-circuit/p2p/{siege.worker.peer_id}")
    _were_sent_away(said)


async def test_in_a_private_network(tmp_path: Path) -> None:
    async with besieged(tmp_path, swarm_key=secrets.token_bytes(32)) as siege:
        said = await _are_withstood(siege, siege.worker.tcp_addr)
    _were_sent_away(said)
