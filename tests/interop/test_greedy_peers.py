"""Peers that want more than their share of a worker process: of its work, its memory, its queue (siege.py).

Over a websocket, and over tcp in a private network; what each limit does is in the tests of `adapters/p2p`.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.interop.attacker import GREEDY, POURED
from tests.interop.node_binary import needs_node
from tests.interop.siege import SOURCES, Siege, besieged

pytestmark = [pytest.mark.interop, needs_node]


async def _is_withstood(siege: Siege, address: str) -> None:
    said: dict[str, dict[str, int]] = {}

    def peer(name: str) -> Callable[[], Awaitable[None]]:
        async def attack() -> None:
            said[name] = await siege.peer(name, SOURCES[len(said)], address)

        return attack

    for attack in GREEDY:
        await siege.withstands(attack.__name__, peer(attack.__name__))
    assert not said["control"]["connected"], "who sends thousands of entries again and again is sent away"
    assert not said["overrunning"]["connected"], "the window is law"
    assert said["overrunning"]["sent"] < POURED // 2
    assert not said["cancelling"]["connected"], "so is who takes back what never was"


async def test_over_a_websocket(tmp_path: Path) -> None:
    async with besieged(tmp_path) as siege:
        await _is_withstood(siege, siege.worker.ws_addr)


async def test_in_a_private_network(tmp_path: Path) -> None:
    async with besieged(tmp_path, swarm_key=secrets.token_bytes(32)) as siege:
        await _is_withstood(siege, siege.worker.tcp_addr)
