"""The many-tasks cure: one task of a service may start more than a thousand others."""

from __future__ import annotations

import trio
from libp2p.tools.anyio_service import Service, background_trio_service

from pinning_worker.adapters.p2p.cures.process import many_tasks
from tests.adapters.p2p.cure_rig import outcome, play

MANY = 1_100


class _ATaskForEach(Service):
    def __init__(self) -> None:
        self.started = trio.Event()

    async def run(self) -> None:
        for _ in range(MANY):
            self.manager.run_task(trio.sleep_forever)
        self.started.set()


async def a_task_for_each() -> str:
    service = _ATaskForEach()
    async with background_trio_service(service):
        await service.started.wait()
    return "all run"


def test_all_run() -> None:
    assert outcome(a_task_for_each, stock=False) == "all run"


def test_the_stock_library_ends() -> None:
    assert "TooManyChildren" in outcome(a_task_for_each, stock=True)


if __name__ == "__main__":
    play(globals(), many_tasks)
