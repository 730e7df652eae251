"""The quietness cure: a connection that comes and goes installs no handler on the root logger and says nothing."""

from __future__ import annotations

import logging

from pinning_worker.adapters.p2p.cures.process import quiet
from tests.adapters.p2p.cure_rig import bare_host, connect, outcome, play


async def come_and_go() -> str:
    async with bare_host() as a, bare_host() as b:
        await connect(a, b)
    return f"root handlers: {len(logging.getLogger().handlers)}"


def test_logging_stays_ours() -> None:
    assert outcome(come_and_go, stock=False) == "root handlers: 0"


def test_the_stock_library_takes_it() -> None:
    assert outcome(come_and_go, stock=True) == "root handlers: 1"


if __name__ == "__main__":
    play(globals(), quiet)
