"""A stop ends the stories in order, and no slow goodbye of the network holds up their last words."""

from __future__ import annotations

from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest
import trio
import trio.testing
from trio.testing import MockClock
from trio_typing import TaskStatus

from pinning_worker.wiring import stories

ROUTER_SECONDS = 3.0  # a router that does not answer, when its ports are given back


async def until_cancelled(*_: Any, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    task_status.started()
    await trio.sleep_forever()


async def told(
    monkeypatch: pytest.MonkeyPatch, part: Any, lifecycle: Any, peers: Any, on_ready: Any, until: trio.CancelScope
) -> None:
    for name in (
        "Backfill",
        "Catalogue",
        "DenylistFile",
        "Engine",
        "RequestReader",
        "SystemClock",
        "TakeDown",
        "Tally",
    ):
        monkeypatch.setattr(stories, name, MagicMock(return_value=part))
    for name in ("ReleaseFile", "RequestBudget", "TopicAnnouncer", "terms_of", "Neighbours"):
        monkeypatch.setattr(stories, name, MagicMock())
    monkeypatch.setattr(stories, "Lifecycle", MagicMock(return_value=lifecycle))
    for name in ("network_followed", "begin_tariffs"):
        monkeypatch.setattr(stories, name, AsyncMock())
    monkeypatch.setattr(stories, "differs", MagicMock(return_value=False))
    monkeypatch.setattr(stories, "payment_watcher", AsyncMock(return_value=part))
    built = await stories.build_stories(MagicMock(), peers, MagicMock(), MagicMock())
    await built.run(on_ready, lambda _reason: None, until=until)


async def test_a_router_that_does_not_answer_holds_up_no_last_words(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """Catches: the loop went on for the router's three seconds, and all that the worker has for its end were over
    before its last words."""
    lifecycle, peers, until, seconds = MagicMock(), MagicMock(dht=None), trio.CancelScope(), list[float]()
    part = MagicMock(apply=AsyncMock(), run=until_cancelled)

    async def tell(*_: Any, task_status: TaskStatus[None]) -> None:
        task_status.started()
        began = trio.current_time()
        try:
            await trio.sleep_forever()
        finally:
            seconds.append(trio.current_time() - began)

    async def find_peers() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(ROUTER_SECONDS)

    async def on_ready(_host: Any) -> None:
        await trio.testing.wait_all_tasks_blocked()
        until.cancel()

    lifecycle.run, peers.find_peers, peers.pubsub.join = tell, find_peers, AsyncMock()
    await told(monkeypatch, part, lifecycle, peers, on_ready, until)
    assert seconds == [0]
