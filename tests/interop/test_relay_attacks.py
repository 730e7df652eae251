"""The attack list against a worker that is reached through relays, by those that it made its relays: whoever it is
connected to is asked for a place, and a stranger may say yes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.hostile_relay import RELAYS_AT_ONCE
from tests.interop.node_binary import needs_node
from tests.interop.siege import SOURCES, besieged

pytestmark = [pytest.mark.interop, needs_node]

NEWCOMERS = 4


async def test_by_its_relays(tmp_path: Path) -> None:
    said: dict[str, dict[str, int]] = {}

    async def relaying() -> None:
        said["relaying"] = await siege.peer("relaying", SOURCES[0])

    async def crowding() -> None:
        said["crowding"] = await siege.peer("crowding", SOURCES[1])

    async def newcomers() -> None:
        for _ in range(NEWCOMERS):
            await siege.newcomer(siege.worker.tcp_addr)

    async with besieged(tmp_path, PINNING_RELAYS_WANTED=str(RELAYS_AT_ONCE)) as siege:
        await siege.withstands("relaying", relaying)
        await siege.withstands("crowding", crowding, newcomers)
        assert not [line for line in siege.worker.log if "bug_in_our_handler" in line]
    assert said["relaying"]["sent"] > 40, "all was thrown"
    crowd = said["crowding"]
    assert crowd["refused"], "each brings its share, and no more"
    assert crowd["closed"], "those that it brought went when their time for the handshake was over"
