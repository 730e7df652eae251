"""A stored change is announced, even if the worker stops in between.

The books record the announcement as made, so the next start does not repeat it. Inside `told_once_stored` a stop waits
until the change is stored and announced, LAST_WORDS_SECONDS at most. A kill waits for nothing: then a repeated NEW-CID
brings the standing answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf

import trio

LAST_WORDS_SECONDS = 2.0  # below the limit of a stop (daemon.py)


@dataclass(slots=True)
class LastWords:
    """`are_awaited`: whether a stop waits at all. It does in a worker, and not in a test that simulates a kill."""

    are_awaited: bool
    _scopes: set[trio.CancelScope] = field(default_factory=set)
    _deadline: float = inf  # of trio's clock; finite once the worker stops

    @asynccontextmanager
    async def told_once_stored(self) -> AsyncIterator[None]:
        """The step ends with Cancelled, as any other, if the deadline passes inside: what follows the block counts on
        what is done in it."""
        with trio.CancelScope(shield=self.are_awaited, deadline=self._deadline) as scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.discard(scope)
        if scope.cancelled_caught:
            await trio.lowlevel.checkpoint()

    async def run(self) -> None:
        """Waits until cancelled. From then on pending announcements have LAST_WORDS_SECONDS."""
        try:
            await trio.sleep_forever()
        finally:
            self._deadline = trio.current_time() + LAST_WORDS_SECONDS  # also for a step that is just about to announce
            for scope in self._scopes:
                scope.deadline = self._deadline
