"""Many Helia peers in one Node process (tests/interop/node/crowd.mjs), connected to one node and in its mesh."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from subprocess import PIPE
from typing import Any

import trio

from tests.interop.helia import CONTENT_TOPIC
from tests.interop.node_binary import HOW_TO_GET_IT, NODE_PROJECT, node_binary

COMING_SECONDS = 300
ASKING_SECONDS = 600


class CrowdError(Exception):
    """The crowd ended, or did not do a thing in time. Its stderr stands above."""


@dataclass
class Crowd:
    """Made by `open_crowd` only. `addrs`: one of each peer; `cids`: of all their files."""

    process: trio.Process
    addrs: list[str]
    cids: list[str]

    async def ask(self) -> tuple[list[float], dict[str, int]]:
        """Every peer asks for the price of its files, one after the other. Milliseconds of each; the other answers."""
        assert self.process.stdin is not None
        await self.process.stdin.send_all(b"go\n")
        answer = await _line(self.process, ASKING_SECONDS)
        return answer["ms"], answer["others"]


@asynccontextmanager
async def open_crowd(peers: int, addr: str, peer_id: str, files: int = 0, size: int = 1000) -> AsyncIterator[Crowd]:
    """`peers` of them, all in the mesh of that node; gone when the block ends."""
    node = node_binary()
    if node is None:
        raise CrowdError(HOW_TO_GET_IT)
    options = {
        "peers": peers,
        "addr": addr,
        "peerId": peer_id,
        "topic": CONTENT_TOPIC,
        "files": files,
        "size": size,
    }
    process = await trio.lowlevel.open_process(
        [str(node), "crowd.mjs", json.dumps(options)], stdin=PIPE, stdout=PIPE, cwd=NODE_PROJECT
    )
    try:
        came = await _line(process, COMING_SECONDS)
        yield Crowd(process, came["addrs"], came["cids"])
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()


async def _line(process: trio.Process, deadline: float) -> Any:
    assert process.stdout is not None
    line = b""
    with trio.move_on_after(deadline):
        async for chunk in process.stdout:
            line += chunk
            if line.endswith(b"\n"):
                return json.loads(line)
    raise CrowdError(f"no answer within {deadline} s" if process.poll() is None else "it has ended")
