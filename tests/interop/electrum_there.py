"""An Electrum server on another machine's loopback, for a worker there: without one it sees no chain and sells nothing.

    async with electrum_there(machine):
        …

It is a process inside the machine's network namespace, which serves a chain of one mined block where
`tests.adapters.test_settings.SERVER` says; it ends with the block.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE
from urllib.parse import urlsplit

import trio

from tests.adapters.electrum.scripted import Ledger, ScriptedServer, serving
from tests.adapters.test_settings import SERVER
from tests.interop.namespaces import Machine

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60
LISTENS = b"listens\n"


@asynccontextmanager
async def electrum_there(machine: Machine) -> AsyncIterator[None]:
    """Serves while the context lasts."""
    command = [*machine.inside, sys.executable, "-m", "tests.interop.electrum_there"]
    process = await trio.lowlevel.open_process(command, stdin=DEVNULL, stdout=PIPE, cwd=ROOT)
    assert process.stdout is not None
    try:
        with trio.fail_after(START_SECONDS):
            assert await process.stdout.receive_some(len(LISTENS)) == LISTENS, "it ended instead"
        yield
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def serve() -> None:
    ledger = Ledger()
    ledger.mine()
    port = urlsplit(SERVER).port
    assert port is not None
    async with serving(ScriptedServer(ledger, websocket=True, port=port)):
        sys.stdout.buffer.write(LISTENS)
        sys.stdout.buffer.flush()
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(serve)
