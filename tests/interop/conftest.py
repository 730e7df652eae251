"""Every test with real peers is watched: what stops its event loop is told, with its stack (tests/event_loop.py)."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator

import pytest

from tests.event_loop import Watch, watched


@pytest.fixture
async def event_loop_watched() -> AsyncIterator[Watch]:
    with watched() as watch:
        yield watch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that have an event loop: a test that is a plain function has none to watch."""
    for item in items:
        if (
            isinstance(item, pytest.Function)
            and "interop" in item.path.parts
            and inspect.iscoroutinefunction(item.function)
        ):
            item.fixturenames.append("event_loop_watched")
