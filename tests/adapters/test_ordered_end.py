"""A worker that is told to end blames nobody for it, however long the work under way holds it up."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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


@asynccontextmanager
async def nothing(_settings: Any) -> AsyncIterator[Any]:
    yield SimpleNamespace(pubsub=SimpleNamespace(said=trio.sleep_forever))


async def test_a_sync_that_outlasts_the_order_to_end_is_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: whoever's root was being synced at three restarts is set aside. What follows the order may be SIGKILL
    (systemd waits for TimeoutStopSec): so the note is gone before the work has ended."""
    at_work = tmp_path / AT_WORK

    async def work(*arguments: Any, until: trio.CancelScope) -> None:
        (crashes,) = (each for each in arguments if isinstance(each, CrashFile))
        crashes.begin(WORK)
        assert at_work.exists()
        await trio.testing.wait_all_tasks_blocked()  # until signals are received
        os.kill(os.getpid(), signal.SIGTERM)
        await trio.to_thread.run_sync(until_it_is_gone)

    def until_it_is_gone() -> None:
        deadline = time.monotonic() + 5
        while at_work.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not at_work.exists()

    monkeypatch.setattr(daemon, "LAST_WORDS_SECONDS", 0.05)
    monkeypatch.setattr(daemon, "open_network", nothing)
    monkeypatch.setattr(daemon, "open_stores", nothing)
    monkeypatch.setattr(daemon, "require_ready", lambda _url: None)
    monkeypatch.setattr(daemon, "tell_stories", work)
    prepare_data_dir(tmp_path, "doichain-regtest")
    await daemon.run(load(Settings, environ=REGTEST | {"PINNING_DATA_DIR": str(tmp_path)}, env_file=None))


async def test_a_worker_that_is_told_to_end_while_it_opens_begins_no_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: what was due began after the order to end, and its note blamed it for the SIGKILL that may follow."""
    begun = []

    @asynccontextmanager
    async def slow_to_open(_settings: Any) -> AsyncIterator[Any]:
        await trio.testing.wait_all_tasks_blocked()  # until signals are received
        os.kill(os.getpid(), signal.SIGTERM)
        await trio.testing.wait_all_tasks_blocked()
        yield SimpleNamespace(pubsub=SimpleNamespace(said=trio.lowlevel.checkpoint))

    async def work(*_arguments: Any, until: trio.CancelScope) -> None:
        begun.append(WORK)

    monkeypatch.setattr(daemon, "open_network", slow_to_open)
    monkeypatch.setattr(daemon, "open_stores", nothing)
    monkeypatch.setattr(daemon, "require_ready", lambda _url: None)
    monkeypatch.setattr(daemon, "tell_stories", work)
    prepare_data_dir(tmp_path, "doichain-regtest")
    await daemon.run(load(Settings, environ=REGTEST | {"PINNING_DATA_DIR": str(tmp_path)}, env_file=None))
    assert not begun
    assert not (tmp_path / AT_WORK).exists()
