"""A worker that is told to end blames nobody for it, however long the work under way holds it up."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from pinning_worker import daemon
from pinning_worker.adapters.machine.crash_file import AT_WORK, CrashFile
from pinning_worker.adapters.machine.datadir import prepare_data_dir
from pinning_worker.settings import Settings, load
from tests.adapters.test_settings import REGTEST

WORK = "step bafyart 0123456789abcdef"

Work = Callable[[CrashFile], Awaitable[None]]


async def no_signal() -> None: ...


@dataclass
class Worker:
    """A worker on a data directory of its own, whose network, stores and stories stand in for real ones."""

    folder: Path
    patch: pytest.MonkeyPatch

    @property
    def at_work(self) -> Path:
        return self.folder / AT_WORK

    async def run(
        self,
        work: Work,
        *,
        opening: Callable[[], Awaitable[None]] = no_signal,
        building: Callable[[], Awaitable[None]] = no_signal,
        last_message: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
    ) -> None:
        @asynccontextmanager
        async def open_network(_settings: Settings) -> AsyncIterator[Any]:
            await opening()
            yield SimpleNamespace(pubsub=SimpleNamespace(drain=last_message))

        @asynccontextmanager
        async def open_stores(_settings: Settings) -> AsyncIterator[None]:
            yield

        async def build_stories(_settings: Settings, _network: Any, _stores: None, crashes: CrashFile) -> Any:
            async def run(*_arguments: Any, until: trio.CancelScope) -> None:
                await work(crashes)

            await building()
            return SimpleNamespace(look_again=lambda: None, run=run)

        self.patch.setattr(daemon, "require_ready", lambda _url: None)
        for stand_in in (open_network, open_stores, build_stories):
            self.patch.setattr(daemon, stand_in.__name__, stand_in)
        prepare_data_dir(self.folder, "doichain-regtest")
        await daemon.run(load(Settings, environ=REGTEST | {"PINNING_DATA_DIR": str(self.folder)}, env_file=None))


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    return Worker(tmp_path, monkeypatch)


async def order_to_end() -> None:
    await trio.testing.wait_all_tasks_blocked()  # until signals are received
    os.kill(os.getpid(), signal.SIGTERM)


async def test_a_sync_that_outlasts_the_order_to_end_is_no_crash(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: three restarts during the sync of a root set this root aside. A SIGKILL may follow the order (systemd
    waits for TimeoutStopSec): so the note is gone before the work has ended."""

    async def work(crashes: CrashFile) -> None:
        crashes.begin(WORK)
        assert worker.at_work.exists()
        await order_to_end()
        await trio.to_thread.run_sync(until_it_is_gone)

    def until_it_is_gone() -> None:
        deadline = time.monotonic() + 5
        while worker.at_work.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not worker.at_work.exists()

    monkeypatch.setattr(daemon, "LAST_WORDS_SECONDS", 0.05)
    await worker.run(work, last_message=trio.sleep_forever)


@pytest.mark.parametrize("moment", ["opening", "building"])
async def test_a_worker_that_receives_the_order_to_end_before_its_stories_run_begins_no_work(
    worker: Worker, moment: str
) -> None:
    """Catches: due work began after the order to end, and its note blamed it for the SIGKILL that may follow."""
    begun = []

    async def end_now() -> None:
        await order_to_end()
        await trio.testing.wait_all_tasks_blocked()

    async def work(_crashes: CrashFile) -> None:
        begun.append(WORK)

    await worker.run(work, **{moment: end_now})
    assert not begun
    assert not worker.at_work.exists()
